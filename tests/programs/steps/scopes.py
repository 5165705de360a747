"""Parts of the code that can be canceled by themselves, by their time limit or by code inside of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.model import Disagreement, Part, Raised

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelScope(p.Labeled):
    """The trace has whether it was canceled, if the code goes on behind it."""

    binds: str
    timeout: p.Seconds | None
    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> CancelScope:
        inner, given = scope.inner(), author.labeled()
        timeout = author.duration() if author.chance(0.6) else None
        binds = author.bind(inner.scopes)
        return CancelScope(**given, binds=binds, timeout=timeout, body=author.block(inner, 4, depth + 1))

    def run(self, code: Interpreter) -> p.Returned | None:
        with code.ctx.cancel_scope(self.timeout) as scope:
            code.values[self.binds] = scope
            returned = code.block(self.body)
            if returned is not None:
                return returned
        code.do(self, lambda: scope.was_canceled)
        return None

    def see(self, model: Model) -> p.Returned | None:
        part = Part(timeout=self.timeout)
        model.values[self.binds] = part
        model.parts.append(part)
        try:
            returned = model.block(self.body)
        except Raised as raised:
            if str(raised) != "ScopeCanceled" or not model.comes(self.label):
                raise
            part.was_raised = True
        else:
            if returned is not None:
                return returned
        finally:
            model.parts.remove(part)
        found = model.next(self.label)
        allowed = [["value", was_canceled] for was_canceled in part.may_have_been_canceled]
        if found not in allowed:
            raise Disagreement(f"step {self.label} saw {found}; expected one of {allowed}")
        return None

    def write(self, writer: Writer) -> None:
        writer.inner(f"with ctx.cancel_scope({self.timeout!r}) as {self.binds}:", self.body)
        writer.call(self, f"{self.binds}.was_canceled")

    def blocks(self) -> Iterable[p.Block]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp(p.Labeled):
    """From inside of the scope."""

    handle: str

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> GiveUp:
        return GiveUp(**author.labeled(), handle=author.pick(scope.scopes))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.values[self.handle].cancel(self._reason))

    @property
    def _reason(self) -> str:
        return f"{self.handle} is given up"

    def see(self, model: Model) -> None:
        part: Part = model.values[self.handle]
        found = model.next(self.label)
        if found not in (["value", False], ["value", True]):
            raise Disagreement(f"step {self.label} saw {found}; expected whether it was in time")
        part.give_up(self.label, self._reason, in_time=found[1])

    def write(self, writer: Writer) -> None:
        writer.call(self, f"{self.handle}.cancel({self._reason!r})")
