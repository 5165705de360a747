"""A program as a real workflow. What it does for a step stands with the step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from durable_core.codec import decode
from tests.programs import language as p
from tests.programs.trace import BranchEnd, Trace, failure, is_cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.context import WorkflowContext
    from durable_core.definitions import ActivityFunction
    from durable_core.ports import RunRecord
    from tests.programs.trace import Entry

WORKFLOW = "run_program"
COROUTINE = "run_coroutine"
THEN = "then"  # label of the end of a run that goes on as a new one
SEEN = "seen"  # the query that every program answers: its trace so far


def run(
    ctx: WorkflowContext,
    program: p.Program,
    *,
    path: str,
    scripted: ActivityFunction[..., Any],
    trace: Trace | None = None,
) -> dict[str, Any]:
    """What the program returned, and what it saw on its way.

    *path* is a name for its effects, *scripted* the activity that it calls. *trace* is for those who want to look at it
    when the program does not come to its end.
    """
    trace = trace or Trace()
    run_id = str(ctx.info.execution_id)
    ctx.on_query(SEEN, lambda: trace.entries)
    try:
        returned = Interpreter(ctx, path, scripted, trace).block(program.body)
        if returned is None and program.then is not None:
            given = {"program": program.then.to_text(), "path": next_path(path)}
            trace.noted(THEN, lambda: ctx.continue_as_new(**given))
    except Exception as error:
        if is_cancel(error):
            raise
        raise failure(run_id, trace, error) from error
    return {"run": run_id, "trace": trace.entries, "value": returned.value if returned else None}


def workflow_of(program: p.Program) -> str:
    return COROUTINE if program.is_coroutine else WORKFLOW


def given_to(record: RunRecord) -> dict[str, Any]:
    """The program of a run, as text, and its path."""
    given: dict[str, Any] = decode(record.input)
    program = given["program"]
    return program if isinstance(program, dict) else given


def next_path(path: str) -> str:
    """Of the run that goes on for this one."""
    return f"{path}'"


def ended(trace: Trace, code: Callable[[], Any]) -> BranchEnd:
    """What a branch does, and how it ends: it is told to whoever waits for it."""
    try:
        value = code()
    except Exception as error:  # noqa: BLE001 - as users do
        return BranchEnd(trace.entries, type(error).__name__, None)
    return BranchEnd(trace.entries, "returned", value)


@dataclass
class Interpreter:
    """A strand of a program."""

    ctx: WorkflowContext
    path: str
    scripted: ActivityFunction[..., Any]
    trace: Trace
    values: dict[str, Any] = field(default_factory=dict)
    activities: int = 0  # started so far
    children: int = 0
    branches: int = 0
    handlers: int = 0  # of updates

    def block(self, steps: p.Block) -> p.Returned | None:
        for step in steps:
            returned = step.run(self)
            if returned is not None:
                return returned
        return None

    # For steps

    def read(self, expression: p.Expression) -> Any:
        return self.values[expression.name] if isinstance(expression, p.Ref) else expression.value

    def do(self, step: p.Labeled, call: Callable[[], Any]) -> Any:
        return (self.trace.tried if step.guarded else self.trace.noted)(step.label, call)

    def value(self, step: p.Binding, call: Callable[[], Any]) -> None:
        self.values[step.binds] = self.do(step, call)

    def entry(self, step: p.Labeled, call: Callable[[], Entry]) -> None:
        (self.trace.tried_entry if step.guarded else self.trace.noted_entry)(step.label, call)

    def branch(self) -> Interpreter:
        """Another strand; it begins with the values of this one."""
        self.branches += 1
        return self.strand(f"{self.path}~{self.branches}", self.values)

    def strand(self, path: str, values: dict[str, Any]) -> Interpreter:
        return Interpreter(self.ctx, path, self.scripted, Trace(), {**values})

    def whole(self, body: p.Block) -> BranchEnd:
        return ended(self.trace, lambda: self.value_of(body))

    def value_of(self, body: p.Block) -> Any:
        returned = self.block(body)
        return returned.value if returned else None
