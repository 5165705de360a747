"""`run_workflow`: a worker for one run, in the caller's process.

The run gets a queue of its own (`ports.private_queue`), which its activities and children share, so that this worker
takes nothing else and other workers leave it alone. If this process dies, they find its worker dead and take over.

Outside of a transaction that worker is like any other, with threads and heartbeats. Inside one, nobody but the
caller's thread sees the run: it decides, runs the activities and waits, all on the caller's connections.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, connections
from django.db.models import Min

from django_durable.api.starting import start
from django_durable.api.waiting import wait_workflow
from django_durable.engine import engine, make_worker, worker_settings
from django_durable.wording import waiting_in_words
from durable_core.definitions import register
from durable_core.errors import DurableError, StoreUnavailable, UnknownWorkflowError
from durable_core.execution import OPEN_STATUSES, Status
from durable_core.ports import WorkerInfo, new_id, private_queue
from durable_core.worker import dismiss

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django_durable.api.handles import WorkflowHandle
    from django_durable.api.starting import Workflow

TICK = 0.05  # seconds; a script waits for it


def drive(workflow: Workflow, kwargs: dict[str, Any]) -> Any:
    """Start a run, bring it to its end here, and return its result; raises as it ended."""
    made = engine()
    definition = register.find_workflow(workflow)
    if definition.name not in register.workflows:
        raise UnknownWorkflowError(
            f"workflow {definition.name!r} cannot be run in this process, which does not have its code: use "
            "start_workflow(), and a worker that has it."
        )
    worker_id = new_id()
    queue = private_queue(worker_id)
    options = definition.using(queue=queue)
    inline = made.store.in_transaction()
    # Before the run is: who buries a worker sees to its private queue.
    made.store.add_worker(WorkerInfo(id=worker_id, host=socket.gethostname(), pid=os.getpid(), queues=(queue,)))
    try:
        handle = start(options, kwargs)
        if inline:
            _drive_inline(handle, worker_id, queue)
        elif handle.execution.queue == queue:
            settings = worker_settings(queues=(queue,), tick=TICK, registered=True)
            make_worker(settings, worker_id=worker_id).run(until=lambda: _is_over(handle.id))
    finally:
        dismiss(worker_id, made.store, made.queue)
    return made.client.result(handle.id, timeout=0) if inline else wait_workflow(handle)


def _drive_inline(handle: WorkflowHandle, worker_id: UUID, queue: str) -> None:
    settings = worker_settings(queues=(queue,), tick=TICK, registered=True, inline=True, around_activity=_savepoints)
    while not _is_over(handle.id):
        make_worker(settings, worker_id=worker_id).run(until=lambda: _is_over(handle.id), until_idle=True)
        if not _is_over(handle.id):
            due_at = _next_due(queue)
            if due_at is None:
                raise DurableError(
                    f"run {handle} waits for {waiting_in_words(handle.execution.waiting_for)}, and nothing will bring "
                    "it: the transaction it was started in is open, so no other process sees the run. Have it sent by "
                    "an activity of the run, or use start_workflow() and a worker."
                )
            time.sleep(max((due_at - engine().store.now()).total_seconds(), 0.0))


def _is_over(run_id: UUID) -> bool:
    """Whether the run has closed. Raises `DurableError` for one that is BLOCKED."""
    try:
        record = engine().client.find_newest(run_id)
    except StoreUnavailable:
        return False  # the worker says so, and goes on when the database is back
    if record.status is Status.BLOCKED:
        raise DurableError(
            f"run {run_id} of workflow {record.workflow_name!r} is BLOCKED: {record.error} Once that is mended, a "
            "worker goes on with it."
        )
    return record.status.is_closed


def _next_due(queue: str) -> datetime | None:
    """When something will happen by itself to a run of the queue."""
    from django_durable.models import ActivityTask, WorkflowExecution

    alias = engine().conf.database
    runs = WorkflowExecution.objects.using(alias).filter(queue=queue, status__in=[s.value for s in OPEN_STATUSES])
    tasks = ActivityTask.objects.using(alias).filter(queue=queue)
    times = [rows.aggregate(at=Min("due_at"))["at"] for rows in (runs, tasks)]
    return min((at for at in times if at is not None), default=None)


@contextmanager
def _savepoints() -> Iterator[None]:
    """An activity that breaks the caller's transaction breaks no more than itself.

    Only then: otherwise what it wrote before it failed stays, as in a worker, where each statement is committed.
    """
    inside = [connection for connection in connections.all(initialized_only=True) if connection.in_atomic_block]
    savepoints = [(connection, connection.savepoint() or "") for connection in inside]
    try:
        yield
    finally:
        for connection, savepoint in reversed(savepoints):
            broken = connection.needs_rollback
            if not broken:
                try:
                    connection.savepoint_commit(savepoint)
                except Error:
                    broken = True
            if broken:
                connection.needs_rollback = False
                connection.savepoint_rollback(savepoint)
