"""Branches: strands of the code beside each other, each with a trace of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tests.programs import language as p
from tests.programs.model import Disagreement, Part, Raised, Started, TraceEnds
from tests.programs.scripts import same
from tests.programs.steps.cancels import REASON
from tests.programs.trace import entry_of_result

if TYPE_CHECKING:
    from datetime import datetime

    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn(p.Step):
    """A branch, with a trace of its own; it starts from the values of where it is spawned."""

    spawns: ClassVar[bool] = True

    binds: str  # a handle
    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Spawn:
        with author.branch():
            body = author.block(scope.values_only(), 3, depth + 1)
            return Spawn(body=body, binds=author.bind(scope.branches))

    def run(self, code: Interpreter) -> None:
        code.values[self.binds] = code.ctx.spawn(code.branch().whole, self.body)

    def see(self, model: Model) -> None:
        model.values[self.binds] = started_branch(model, self.body, {**model.values})

    def write(self, writer: Writer) -> None:
        name = f"branch_{self.binds}"
        captured = "".join(f", {value}={value}" for value in sorted(p.free_names(self.body)))
        writer.write("branches += 1")
        with writer.inside(f'def {name}(path=f"{{path}}~{{branches}}"{captured}):'):
            writer.write("trace, activities, children, branches = Trace(), 0, 0, 0")
            with writer.inside("def code():"):
                writer.write("nonlocal activities, children, branches")
                writer.block(self.body)
            writer.write("return ended(trace, code)")
        writer.write(f"{self.binds} = ctx.spawn({name})")

    def blocks(self) -> Iterable[p.Block]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitBranch(p.Labeled):
    handle: str
    timeout: p.Seconds | None = None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitBranch:
        return WaitBranch(**author.labeled(), handle=author.pick(scope.branches), timeout=author.sometimes())

    def run(self, code: Interpreter) -> None:
        code.entry(self, lambda: entry_of_result(code.ctx.wait(code.values[self.handle], timeout=self.timeout)))

    def see(self, model: Model) -> None:
        model.see_end(self, model.values[self.handle], self.timeout)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"entry_of_result(ctx.wait({self.handle}, timeout={self.timeout!r}))", note="_entry")


@dataclass
class Branch(Started):
    """Where it was spawned; what it did is known when somebody has waited for it."""

    path: str
    body: p.Block
    values: dict[str, Any]
    around: Sequence[Part]  # parts of the code
    canceled: bool
    time: datetime | None

    def may_end(self, model: Model, ending: Entry) -> bool:
        if ending == ["failed", "BranchCanceled"]:
            return self.may_be_unwanted
        if ending[0] != "branch":
            return False
        model.judgement.unseen.discard(self.path)
        self._check(model, ending)
        return True

    def _check(self, model: Model, ending: Entry) -> None:
        """Run the model of a branch beside its trace."""
        _, trace, how, value = ending
        inner = model.branch(self.path, trace)
        inner.values, inner.canceled, inner.time = self.values, self.canceled, self.time
        inner.parts += [*self.around, Part(reason=REASON)] if self.is_unwanted else self.around
        try:
            returned = inner.block(self.body)
        except Raised as raised:
            expected: tuple[str, Any] = str(raised), None
        except TraceEnds:
            raise Disagreement(f"branch {self.path} has ended in the middle of its program") from None
        else:
            expected = "returned", returned.value if returned else None
        if inner.place != len(trace):
            raise Disagreement(f"branch {self.path} had ended when it saw {trace[inner.place :]}")
        if expected[0] != how or not same(expected[1], value):
            raise Disagreement(f"branch {self.path} ended {how} {value!r}; expected {expected}")


def started_branch(model: Model, body: p.Block, values: dict[str, Any]) -> Branch:
    model.branches += 1
    path = f"{model.seen.path}~{model.branches}"
    model.judgement.unseen.add(path)
    return model.started(Branch(path, body, values, tuple(model.parts), model.canceled, model.time))
