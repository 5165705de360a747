"""What was started, and is not wanted any more."""

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

REASON = "enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(p.Labeled):
    """Of an activity, a child, a branch, a timer or a question."""

    handle: str

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Cancel:
        return Cancel(**author.labeled(), handle=author.pick(scope.cancelable))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.cancel(code.values[self.handle], REASON))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        if found not in (["value", False], ["value", True]):
            raise Disagreement(f"step {self.label} saw {found}; expected whether it was in time")
        model.cancel(self, model.values[self.handle], in_time=found[1])

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.cancel({self.handle}, {REASON!r})")
