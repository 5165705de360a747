"""Signals, which somebody outside sends, or another run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.model import Disagreement

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer

SIGNALS = ("go", "stöp")
TOLD = "töld"  # what children say, if they do: nobody else sends it


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSignal(p.Binding):
    name: str
    timeout: p.Seconds | None = None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitSignal:
        name = TOLD if scope.children and author.chance(0.4) else author.pick(SIGNALS)
        # Other runs send something or not, and nobody else sends signals to children: waits end by a timeout.
        is_sure = name != TOLD and not author.child_depth
        timeout = author.sometimes() if is_sure else author.duration()
        given = author.labeled()
        return WaitSignal(**given, name=name, timeout=timeout, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.wait_signal(self.name, timeout=self.timeout))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        value = None
        if found == ["timeout"] and self.timeout is not None:
            left = len(model.around.signals.get(self.name, ())) - len(model.judgement.consumed.get(self.name, ()))
            if model.around.signals_first and self.name != TOLD and model.is_alone and left:
                raise Disagreement(f"step {self.label} waited in vain for {self.name}, which had come")
            model.pass_time(self.timeout)
        elif not model.is_cancel(found):
            value = model.take_signal(self.label, self.name, found)
        model.values[self.binds] = value
        model.settle(self, found)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.wait_signal({self.name!r}, timeout={self.timeout!r})")

    def awaited(self) -> tuple[str, ...]:
        return () if self.name == TOLD else (self.name,)
