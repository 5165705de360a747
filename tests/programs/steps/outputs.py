"""What a program lets others read: events, of which each has its last value, and a stream of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.source import value_of

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer

KEYS = ("state", "zuständig")
STREAMS = ("items", "lög")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEvent(p.Labeled):
    key: str
    value: p.Expression

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> SetEvent:
        return SetEvent(**author.labeled(), key=author.pick(KEYS), value=author.expression(scope))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.set_event(self.key, code.read(self.value)))

    def see(self, model: Model) -> None:
        model.see(self, ["value", None])
        model.judgement.values[self.key] = model.read(self.value)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.set_event({self.key!r}, {value_of(self.value)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(p.Labeled):
    stream: str
    item: p.Expression

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Publish:
        return Publish(**author.labeled(), stream=author.pick(STREAMS), item=author.expression(scope))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.publish(code.read(self.item), stream=self.stream))

    def see(self, model: Model) -> None:
        model.see(self, ["value", None])
        model.judgement.items.setdefault(self.stream, []).append(model.read(self.item))

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.publish({value_of(self.item)}, stream={self.stream!r})")
