"""Messages between runs: a program tells its children something, or its parent, or asks children to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.model import Disagreement
from tests.programs.source import value_of
from tests.programs.steps.signals import SIGNALS, TOLD

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry

REASON = "told to end"


@dataclass(frozen=True, slots=True, kw_only=True)
class TellChild(p.Labeled):
    """What has come to the child, its own history says: the audit holds that against what was sent."""

    handle: str
    name: str
    value: p.Expression

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> TellChild:
        handle, name = author.pick(scope.children), author.pick(SIGNALS)
        return TellChild(**author.labeled(), handle=handle, name=name, value=author.expression(scope))

    def run(self, code: Interpreter) -> None:
        child, value = code.values[self.handle], code.read(self.value)
        code.do(self, lambda: code.ctx.signal_workflow(self.name, value, to=child))

    def see(self, model: Model) -> None:
        _see_word(self, self.handle, model)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.signal_workflow({self.name!r}, {value_of(self.value)}, to={self.handle})")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndChild(p.Labeled):
    """By a message to it, as to any other run."""

    handle: str
    graceful: bool

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> EndChild:
        return EndChild(**author.labeled(), handle=author.pick(scope.children), graceful=author.chance(0.5))

    def run(self, code: Interpreter) -> None:
        child = code.values[self.handle]
        code.do(self, lambda: code.ctx.cancel_workflow(to=child, reason=REASON, graceful=self.graceful))

    def see(self, model: Model) -> None:
        model.values[self.handle].is_unwanted = True  # even where the sender is canceled before it hears of it
        _see_word(self, self.handle, model)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.cancel_workflow(to={self.handle}, reason={REASON!r}, graceful={self.graceful!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TellParent(p.Labeled):
    value: p.Expression

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> TellParent:
        return TellParent(**author.labeled(), value=author.expression(scope))

    def run(self, code: Interpreter) -> None:
        value = code.read(self.value)
        code.do(self, lambda: code.ctx.signal_workflow(TOLD, value, to=code.ctx.info.parent_id))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        if not _is_word(found) and not model.is_cancel(found):
            raise Disagreement(f"step {self.label} saw {found}; expected that its parent has it, or is closed")
        model.settle(self, found)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.signal_workflow({TOLD!r}, {value_of(self.value)}, to=ctx.info.parent_id)")


def _see_word(step: p.Labeled, handle: str, model: Model) -> None:
    found = model.next(step.label)
    child = model.values[handle]
    if not model.is_cancel(found):
        if not _is_word(found):
            raise Disagreement(f"step {step.label} saw {found}; expected that the child has it, or is closed")
        if found[0] == "value" and child.is_over and not model.around.reopened:
            raise Disagreement(f"step {step.label} reached {child}, which was over")
    model.settle(step, found)


def _is_word(found: Entry) -> bool:
    return found == ["value", None] or found[:2] == ["failed", "WorkflowClosed"]
