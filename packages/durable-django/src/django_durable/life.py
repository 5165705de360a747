"""What people do to runs beside talking to them: try them again, fork them, pause and resume them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_durable.api.executions import id_of
from django_durable.api.handles import WorkflowHandle
from django_durable.engine import engine
from durable_core.errors import DurableError
from durable_core.execution import Status
from durable_core.ports import Entry, EntryKind

if TYPE_CHECKING:
    from uuid import UUID

    from django_durable.api.executions import Execution
    from django_durable.engine import Engine


def retry_workflow(execution: Execution, *, reason: str = "") -> None:
    """Have a run go on after a fix: one that is BLOCKED, has FAILED or has TIMED_OUT, or the newest of its chain.

    A BLOCKED one is tried again at once, and forgets what was counted against it. A closed one is reopened: what it
    failed for is tried again, and it has as much time as it was given first; *reason* is kept in its history. Raises
    `UnknownExecutionError`, `NotReopenable`, and `DurableError` for a run that goes on by itself.
    """
    made = engine()
    record = made.client.find_newest(id_of(execution))
    if record.status.is_closed:
        made.client.reopen(record.id, reason=reason)
    else:
        _unblock(made, record.id)


def fork_workflow(
    execution: Execution, from_seq: int, *, workflow_id: str | None = None, keep_signals: bool = False
) -> WorkflowHandle[Any]:
    """A new run of the same workflow, with the same input and the same history before *from_seq*.

    From there on it is decided anew, by today's code; the other run stays as it is, open or closed. Of a chain, the run
    that is named is forked, not the newest. Activities and children without an outcome before *from_seq* are begun
    anew. Signals that came later are not taken along, unless *keep_signals* has them all sent again. Raises
    `NotForkable`, which says where it can be forked, `UnknownExecutionError`, and `WorkflowAlreadyStarted` where an
    open run has *workflow_id*.
    """
    run_id = engine().client.fork_run(id_of(execution), from_seq, workflow_id=workflow_id, keep_signals=keep_signals)
    return WorkflowHandle(run_id)


def pause_workflow(execution: Execution, *, reason: str = "") -> bool:
    """Have nothing decided for a run, or the newest of its chain, until it is resumed; False if it was paused already.

    Activities that it has started go on; their outcomes, signals and other mail are kept, and no timer fires. Its own
    `timeout` goes on. Raises `UnknownExecutionError` and `WorkflowClosed`.
    """
    return engine().client.pause(id_of(execution), reason=reason)


def resume_workflow(execution: Execution) -> bool:
    """Let a paused run go on, with all that has come in meanwhile; False if it was not paused. Raises as above."""
    return engine().client.resume(id_of(execution))


def _unblock(made: Engine, run_id: UUID) -> None:
    from django_durable.models import WorkflowExecution

    with made.store.transaction():
        found = made.store.lock(run_id)
        if found is None:
            made.client.find(run_id)  # says so
            return
        record = found.record
        if record.status is not Status.BLOCKED:
            raise DurableError(
                f"workflow {record.workflow_name!r} ({run_id}) is {record.status}, not BLOCKED: it goes on by itself."
            )
        if record.paused_at is not None:
            raise DurableError(f"workflow {record.workflow_name!r} ({run_id}) is paused. Resume it.")
        rows = WorkflowExecution.objects.using(made.conf.database).filter(pk=run_id, status=Status.BLOCKED.value)
        rows.update(due_at=made.store.now(), crashes=0, failures=0)
        if made.queue.transactional:  # another queue hears of it from the scheduler
            made.queue.enqueue([Entry(EntryKind.RUN, run_id, record.queue, record.priority)])


async def afork_workflow(
    execution: Execution, from_seq: int, *, workflow_id: str | None = None, keep_signals: bool = False
) -> WorkflowHandle[Any]:
    """`fork_workflow` for async code."""
    return await sync_to_async(fork_workflow)(execution, from_seq, workflow_id=workflow_id, keep_signals=keep_signals)


async def apause_workflow(execution: Execution, *, reason: str = "") -> bool:
    """`pause_workflow` for async code."""
    return await sync_to_async(pause_workflow)(execution, reason=reason)


async def aresume_workflow(execution: Execution) -> bool:
    """`resume_workflow` for async code."""
    return await sync_to_async(resume_workflow)(execution)


async def aretry_workflow(execution: Execution, *, reason: str = "") -> None:
    """`retry_workflow` for async code."""
    await sync_to_async(retry_workflow)(execution, reason=reason)
