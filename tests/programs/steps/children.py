"""Child workflows, which are programs too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.codec import decode
from durable_core.execution import Status
from tests.programs import language as p
from tests.programs.interpreter import WORKFLOW
from tests.programs.model import Disagreement, Started
from tests.programs.scripts import same

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.ports import RunRecord
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChild(p.Binding):
    program: p.Program

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> RunChild:
        return RunChild(**author.labeled(), program=author.child(), binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        given = _asked(code, self.program)
        _note(code, self, lambda: code.ctx.run_workflow(WORKFLOW, **given))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, model.started(Child(self.program)), None)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.run_workflow({_written(writer, self.program)})", note="_child")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChild(p.Step):
    binds: str  # a handle
    program: p.Program

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> StartChild:
        return StartChild(program=author.child(), binds=author.bind(scope.children))

    def run(self, code: Interpreter) -> None:
        code.values[self.binds] = code.ctx.start_workflow(WORKFLOW, **_asked(code, self.program))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.started(Child(self.program))

    def write(self, writer: Writer) -> None:
        writer.write(f"{self.binds} = ctx.start_workflow({_written(writer, self.program)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitChild(p.Binding):
    handle: str
    timeout: p.Seconds | None = None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitChild:
        handle = author.pick(scope.children)
        given = author.labeled()
        return WaitChild(**given, handle=handle, timeout=author.sometimes(), binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        _note(code, self, lambda: code.ctx.wait_workflow(code.values[self.handle], timeout=self.timeout))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, model.values[self.handle], self.timeout)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.wait_workflow({self.handle}, timeout={self.timeout!r})", note="_child")


@dataclass
class Child(Started):
    program: p.Program

    def may_end(self, model: Model, ending: Entry) -> bool:
        match ending:
            case ["child", run_id, value]:
                child = _found(model, run_id, Status.COMPLETED)
                return child is None or (child.result is not None and same(decode(child.result)["value"], value))
            case ["failed", "WorkflowFailed", run_id]:
                _found(model, run_id, Status.FAILED)
                return True
            case ["failed", "WorkflowTimeout", run_id]:
                _found(model, run_id, Status.TIMED_OUT)
                return self.program.timeout is not None
            case ["failed", "ChildCanceled", run_id] if self.may_be_unwanted:
                _found(model, run_id, Status.CANCELED)
                return True
            case _:
                return False


def _found(model: Model, run_id: str, status: Status) -> RunRecord | None:
    if not model.around.runs:
        return None
    child = _last(model, UUID(run_id))
    if child is None or child.parent_id != model.seen.run_id or child.status is not status:
        raise Disagreement(f"it saw the child {run_id} end {status}; that is {child}")
    return child


def _last(model: Model, run_id: UUID) -> RunRecord | None:
    """The run, or the one that has ended for it."""
    child = model.around.runs.get(run_id)
    if child is None or child.status is not Status.CONTINUED_AS_NEW:
        return child
    first = child.chain_id or run_id
    later = [run for run in model.around.runs.values() if run.chain_id == first]
    return next((run for run in later if run.status is not Status.CONTINUED_AS_NEW), None)


def _note(code: Interpreter, step: p.Binding, call: Callable[[], Any]) -> None:
    note = code.trace.tried_child if step.guarded else code.trace.noted_child
    code.values[step.binds] = note(step.label, call)


def _asked(code: Interpreter, program: p.Program) -> dict[str, Any]:
    code.children += 1
    given: dict[str, Any] = {"program": program.to_text(), "path": f"{code.path}/{code.children}"}
    return given if program.timeout is None else {**given, "timeout": program.timeout}


def _written(writer: Writer, program: p.Program) -> str:
    name = write_child(writer, program)
    writer.write("children += 1")
    timeout = "" if program.timeout is None else f", timeout={program.timeout!r}"
    return f'{name!r}, path=f"{{path}}/{{children}}"{timeout}'


def write_child(writer: Writer, program: p.Program) -> str:
    """The name of its function."""
    writer.children += 1
    name = f"child_{writer.children}"
    writer.function(name, program)
    return name
