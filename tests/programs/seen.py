"""What can be seen of a run of a program: how it ended, and its trace as far as it went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core import events as e
from durable_core.codec import decode
from durable_core.definitions import Registry
from durable_core.errors import NondeterminismError
from durable_core.execution import Status
from durable_core.replay import WorkflowRun
from durable_core.rewinding import decided, lived
from durable_core.worker.loading import info_of
from tests.programs.activities import MemoryLedger, install
from tests.programs.bookings import install_books
from tests.programs.coroutines import follow
from tests.programs.errands import install_errands
from tests.programs.interpreter import COROUTINE, WORKFLOW, given_to, run
from tests.programs.language import Program
from tests.programs.trace import Entry, ProgramFailed, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from durable_core.events import EventRecord
    from durable_core.ports import LoadedRun, RunRecord


UPDATE_TYPES = frozenset(
    kind.type for kind in (e.WorkflowUpdateAccepted, e.WorkflowUpdateCompleted, e.WorkflowUpdateFailed)
)


class Answer(NamedTuple):
    """What an update was answered with."""

    path: str
    trace: list[Entry]
    how: str  # "returned", or the name of the error's type
    value: Any


class Seen(NamedTuple):
    run_id: UUID
    path: str
    program: Program
    status: Status
    trace: list[Entry]
    value: Any  # what it returned, or the name of the error's type
    began: bool = True  # False: it was canceled before its code ran
    accepted: int = 0  # updates
    answers: Sequence[Answer] = ()


def seen_of(loaded: LoadedRun) -> Seen:
    """A closed run. Raises `ValueError` when it ended in a way that no program has."""
    record = loaded.record
    given = given_to(record)
    program = Program.from_text(given["program"])
    if record.status in (Status.COMPLETED, Status.FAILED):
        told = _told(record)
        if told["run"] != str(record.id):
            raise ValueError(f"run {record.id} has the result of {told['run']}")
        trace, value = told["trace"], told["value"]
        return _answered(loaded, Seen(record.id, given["path"], program, record.status, trace, value))
    found = replayed(loaded, program, given["path"])  # nobody was told
    entries = found.entries if found else []
    seen = Seen(record.id, given["path"], program, record.status, entries, None, began=found is not None)
    return _answered(loaded, seen)


def _answered(loaded: LoadedRun, seen: Seen) -> Seen:
    """The same, with its updates."""
    facts = [e.event_of(record) for record in lived(loaded.events) if record.type in UPDATE_TYPES]
    answers = []
    for fact in facts:
        match fact:
            case e.WorkflowUpdateCompleted():
                told = decode(fact.result)
                answers.append(Answer(told["run"], told["trace"], "returned", told["value"]))
            case e.WorkflowUpdateFailed(failure={"type": ProgramFailed.__name__, "message": message}):
                told = json.loads(message)
                answers.append(Answer(told["run"], told["trace"], told["value"], None))
            case e.WorkflowUpdateFailed():
                raise ValueError(f"run {seen.run_id} failed an update, and not by its program: {fact.failure}")
            case _:
                continue
    accepted = sum(isinstance(fact, e.WorkflowUpdateAccepted) for fact in facts)
    return seen._replace(accepted=accepted, answers=answers)


def times_reopened(loaded: LoadedRun) -> int:
    return sum(record.type == e.WorkflowReopened.type for record in loaded.events)


def replayed(loaded: LoadedRun, program: Program, path: str) -> Trace | None:
    """What the code sees that is brought to where the history ends; None: it was never asked."""
    if not decided(loaded.events):
        return None
    try:
        return _replayed(loaded.record, loaded.events, program, path)
    except NondeterminismError:
        if loaded.record.status not in (Status.CANCELED, Status.TIMED_OUT):
            raise
        return _replayed(loaded.record, decided(loaded.events), program, path)  # the end came from outside


def _replayed(record: RunRecord, history: Sequence[EventRecord], program: Program, path: str) -> Trace:
    trace = Trace()
    activities, workflow = Registry(), Registry()
    scripted = install(activities, MemoryLedger())
    install_books(activities, MemoryLedger(), None)
    install_errands(activities, MemoryLedger(), None)

    def run_program(ctx: Any, **_: Any) -> Any:
        return run(ctx, program, path=path, scripted=scripted, trace=trace)

    async def run_coroutine(ctx: Any, **_: Any) -> Any:
        return await follow(ctx, program, path=path, scripted=scripted, trace=trace)

    workflow.workflow_from(run_program, name=WORKFLOW)
    workflow.workflow_from(run_coroutine, name=COROUTINE)
    name = COROUTINE if record.workflow_name == COROUTINE else WORKFLOW  # whose functions may have any name
    code = WorkflowRun(workflow.workflows[name], info_of(record), activities)
    try:
        code.replay(history)
    finally:
        code.close()
    return trace


def _told(record: RunRecord) -> dict[str, Any]:
    if record.status is Status.COMPLETED:
        assert record.result is not None
        found: dict[str, Any] = decode(record.result)
        return found
    kind, _, message = record.error.partition(": ")
    if kind != ProgramFailed.__name__:
        raise ValueError(f"run {record.id} failed, and not by its program: {record.error}")
    told: dict[str, Any] = json.loads(message)
    return told
