"""A program as a real workflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from tests.programs import language as p
from tests.programs.activities import arguments, options, transfer, wrong_call
from tests.programs.trace import BranchEnd, Entry, ProgramError, Trace, entry_of_result, failure, is_cancel, odd

if TYPE_CHECKING:
    from durable_core.context import WorkflowContext
    from durable_core.definitions import ActivityDefinition, ActivityFunction

WORKFLOW = "run_program"


class Returned(NamedTuple):
    """The program is at its end."""

    value: Any


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
    try:
        returned = _Interpreter(ctx, path, scripted, trace).block(program.body)
    except Exception as error:
        if is_cancel(error):
            raise
        raise failure(run_id, trace, error) from error
    return {"run": run_id, "trace": trace.entries, "value": returned.value if returned else None}


def ended(trace: Trace, code: Callable[[], Any]) -> BranchEnd:
    """What a branch does, and how it ends: it is told to whoever waits for it."""
    try:
        value = code()
    except Exception as error:  # noqa: BLE001 - as users do
        return BranchEnd(trace.entries, type(error).__name__, None)
    return BranchEnd(trace.entries, "returned", value)


def gathered(ctx: WorkflowContext, handles: list[Any]) -> Entry:
    return ["gathered", *[entry_of_result(result) for result in ctx.gather(*handles, return_exceptions=True)]]


def selected(ctx: WorkflowContext, waitables: dict[str, Any], timeout: float) -> Entry:
    name, result = ctx.select(**waitables, timeout=timeout)
    return ["timeout"] if name == "timeout" else ["selected", name, *entry_of_result(result)]


@dataclass
class _Interpreter:
    ctx: WorkflowContext
    path: str
    scripted: ActivityFunction[..., Any]
    trace: Trace
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.activities = 0  # started so far
        self.children = 0
        self.branches = 0

    def block(self, steps: p.Block) -> Returned | None:
        for step in steps:
            returned = self.step(step)
            if returned is not None:
                return returned
        return None

    def step(self, step: p.Step) -> Returned | None:
        ctx, values = self.ctx, self.values
        match step:
            case p.RunActivity():
                activity, args = self.activity(step.script)
                self.value(step, lambda: ctx.run_activity(activity, **args))
            case p.StartActivity():
                activity, args = self.activity(step.script)
                values[step.binds] = ctx.start_activity(activity, **args)
            case p.WaitActivity():
                self.value(step, lambda: ctx.wait_activity(values[step.handle], timeout=step.timeout))
            case p.RunChild():
                child = self.child(step.program)
                self.child_value(step, lambda: ctx.run_workflow(WORKFLOW, **child))
            case p.StartChild():
                values[step.binds] = ctx.start_workflow(WORKFLOW, **self.child(step.program))
            case p.WaitChild():
                self.child_value(step, lambda: ctx.wait_workflow(values[step.handle], timeout=step.timeout))
            case p.Gather():
                handles = [values[name] for name in step.handles]
                self.entry(step, lambda: gathered(ctx, handles))
            case p.Select():
                waitables = {name: values[name] for name in step.handles}
                waitables |= {f"signal_{name}": ctx.signal(name) for name in step.signals}
                self.entry(step, lambda: selected(ctx, waitables, step.timeout))
            case p.StartTimer():
                values[step.binds] = ctx.timer(step.seconds)
            case p.WaitTimer():
                self.do(step, lambda: ctx.wait(values[step.handle]))
            case p.CancelTimer():
                self.do(step, lambda: ctx.cancel_timer(values[step.handle]))
            case p.Spawn():
                values[step.binds] = ctx.spawn(self.branch().run, step.body)
            case p.WaitBranch():
                self.entry(step, lambda: entry_of_result(ctx.wait(values[step.handle], timeout=step.timeout)))
            case p.Sleep():
                self.do(step, lambda: ctx.sleep(step.seconds))
            case p.WaitSignal():
                self.value(step, lambda: ctx.wait_signal(step.name, timeout=step.timeout))
            case p.Now():
                self.do(step, lambda: ctx.now().isoformat())
            case p.DrawRandom():
                self.value(step, lambda: ctx.random().random())
            case p.DrawUuid():
                self.value(step, lambda: str(ctx.uuid4()))
            case p.SideEffect():
                made = self.made(step)
                self.value(step, lambda: ctx.side_effect(made))
            case p.GetVersion():
                self.value(step, lambda: ctx.get_version(step.change_id, step.version))
            case p.Patched():
                self.value(step, lambda: ctx.patched(step.change_id))
            case p.DeprecatePatch():
                ctx.deprecate_patch(step.change_id)
            case p.WrongCall():
                self.do(step, lambda: wrong_call(ctx, step.how))
            case p.Raise():
                raise ProgramError(step.message)
            case p.Return():
                return Returned(self.read(step.value))
            case p.Transfer():
                self.value(step, lambda: transfer(ctx, step.source, step.target, step.amount, step.bounces))
            case p.Try():
                return self.attempt(step)
            case p.Shield():
                try:
                    with ctx.shield():
                        return self.block(step.body)
                except Exception as error:
                    self.trace.raised_at_the_end(step.label, error)
                    raise
            case p.If():
                return self.block(step.then if odd(self.read(step.condition)) else step.otherwise)
            case p.For():
                for item in step.items:
                    values[step.binds] = item.value
                    returned = self.block(step.body)
                    if returned is not None:
                        return returned
            case _:
                assert_never(step)
        return None

    def attempt(self, step: p.Try) -> Returned | None:
        try:
            return self.block(step.body)
        except Exception:  # noqa: BLE001 - as users do
            return self.block(step.handler)
        finally:
            self.block(step.final)

    # Inside

    def read(self, expression: p.Expression) -> Any:
        return self.values[expression.name] if isinstance(expression, p.Ref) else expression.value

    def do(self, step: p.Labeled, call: Callable[[], Any]) -> Any:
        return (self.trace.tried if step.guarded else self.trace.noted)(step.label, call)

    def value(self, step: Any, call: Callable[[], Any]) -> None:
        self.values[step.binds] = self.do(step, call)

    def entry(self, step: p.Labeled, call: Callable[[], Entry]) -> None:
        (self.trace.tried_entry if step.guarded else self.trace.noted_entry)(step.label, call)

    def run(self, body: p.Block) -> BranchEnd:
        def code() -> Any:
            returned = self.block(body)
            return returned.value if returned else None

        return ended(self.trace, code)

    def branch(self) -> _Interpreter:
        self.branches += 1
        return _Interpreter(self.ctx, f"{self.path}~{self.branches}", self.scripted, Trace(), {**self.values})

    def child_value(self, step: p.RunChild | p.WaitChild, call: Callable[[], Any]) -> None:
        note = self.trace.tried_child if step.guarded else self.trace.noted_child
        self.values[step.binds] = note(step.label, call)

    def activity(self, script: p.Script) -> tuple[ActivityDefinition, dict[str, Any]]:
        self.activities += 1
        key = f"{self.path}:{self.activities}"
        return self.scripted.using(**options(script)), arguments(script, key, self.read(script.value))

    def child(self, program: p.Program) -> dict[str, Any]:
        self.children += 1
        given: dict[str, Any] = {"program": program.to_text(), "path": f"{self.path}/{self.children}"}
        return given if program.timeout is None else {**given, "timeout": program.timeout}

    def made(self, step: p.SideEffect) -> Callable[[], Any]:
        value = self.read(step.value)

        def make() -> Any:
            match step.how:
                case "raises":
                    raise ProgramError("from a side effect")
                case "spoils":
                    return object()
                case _:
                    return value

        return make
