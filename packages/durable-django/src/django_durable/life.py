"""What people do to runs beside talking to them: try them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from django_durable.api import id_of
from django_durable.engine import engine
from durable_core.errors import DurableError
from durable_core.execution import Status
from durable_core.ports import Entry, EntryKind

if TYPE_CHECKING:
    from uuid import UUID

    from django_durable.api import Execution
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
        rows = WorkflowExecution.objects.using(made.conf.database).filter(pk=run_id, status=Status.BLOCKED.value)
        rows.update(due_at=made.store.now(), crashes=0, failures=0)
        if made.queue.transactional:  # another queue hears of it from the scheduler
            made.queue.enqueue([Entry(EntryKind.RUN, run_id, record.queue, record.priority)])


async def aretry_workflow(execution: Execution, *, reason: str = "") -> None:
    """`retry_workflow` for async code."""
    await sync_to_async(retry_workflow)(execution, reason=reason)
