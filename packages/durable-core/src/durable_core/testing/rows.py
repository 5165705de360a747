"""What the in-memory store keeps of a run, a letter, an activity and a worker, and how each begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core.codec import decode, encode
from durable_core.execution import Status, TaskStatus
from durable_core.ports import (
    HumanTaskRecord,
    Mail,
    MessageRecord,
    NewItem,
    NewRun,
    NewTask,
    NewValue,
    RunRecord,
    TaskRecord,
    WorkerInfo,
    due_while_running,
    earliest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    record: RunRecord
    waiting_for: str | None
    due_at: datetime | None

    @property
    def is_open(self) -> bool:
        return not self.record.status.is_closed


@dataclass(frozen=True, slots=True)
class MailRow:
    run_id: UUID
    mail: Mail
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    number: int  # later ones have higher numbers
    chain_id: UUID
    record: MessageRecord


class ValueRow(NamedTuple):
    number: int  # higher in a later run of the chain
    run_id: UUID
    value: NewValue


class ItemRow(NamedTuple):
    cursor: int
    run_id: UUID
    new: NewItem


class HumanTaskRow(NamedTuple):
    number: int  # later ones have higher numbers
    record: HumanTaskRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    record: TaskRecord
    worker_id: UUID | None  # whose attempt it is, while RUNNING
    due_at: datetime | None
    result: Payload | None = None
    kept: bool = False  # its run has closed, and wants it done all the same
    is_canceled: bool = False  # its run is open, and its code wants it no more


@dataclass(frozen=True, slots=True)
class WorkerRow:
    info: WorkerInfo
    heartbeat_at: datetime


def new_run(run: NewRun, now: datetime) -> RunRow:
    record = RunRecord(
        id=run.id,
        workflow_name=run.workflow_name,
        workflow_id=run.workflow_id,
        status=Status.PENDING,
        version=0,
        history_length=0,
        input=run.input,
        result=None,
        error="",
        queue=run.queue,
        priority=run.priority,
        start_at=run.start_at,
        deadline=run.deadline,
        timeout=run.timeout,
        parent_id=run.parent_id,
        parent_call_id=run.parent_call_id,
        cancel_with_parent=run.cancel_with_parent,
        chain_id=run.chain_id,
        forked_from=run.forked_from,
        worker_id=None,
        failures=0,
        crashes=0,
        created_at=now,
    )
    return RunRow(
        record=record,
        waiting_for=None,
        due_at=run.due_at,
    )


def new_task(task: NewTask, run_id: UUID, worker_id: UUID | None, now: datetime) -> TaskRow:
    record = task.committed(run_id, now, retry_policy=as_stored(task.retry_policy))
    return TaskRow(record=record, worker_id=worker_id if task.claimed else None, due_at=task.due_at)


def begun(row: TaskRow, worker_id: UUID, now: datetime) -> TaskRow:
    """The task with its next attempt under way."""
    old = row.record
    record = replace(
        old,
        status=TaskStatus.RUNNING,
        attempt=old.attempt + 1,
        token=old.token + 1,
        started_at=now,
        retry_at=None,
        heartbeat_at=None,
    )
    due_at = due_while_running(
        now,
        expires_at=old.expires_at,
        start_to_close=old.start_to_close,
        heartbeat_timeout=old.heartbeat_timeout,
    )
    return replace(row, record=record, worker_id=worker_id, due_at=due_at)


def queued(row: TaskRow, *, queued_at: datetime, due_at: datetime, **changes: Any) -> TaskRow:
    """The task waiting for a worker again; *changes* are of its record."""
    changes = {"is_detached": False, **changes}
    record = replace(row.record, status=TaskStatus.QUEUED, started_at=None, queued_at=queued_at, **changes)
    return replace(row, record=record, worker_id=None, due_at=earliest(due_at, record.expires_at))


def closed(row: TaskRow, status: TaskStatus, *, result: Payload | None = None, **changes: Any) -> TaskRow:
    """The task with its last word said."""
    record = replace(row.record, status=status, retry_at=None, is_detached=False, **changes)
    return TaskRow(record=record, worker_id=None, due_at=None, result=result)


def as_stored(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy as a database would give it back: tuples are lists, and nobody else holds it."""
    copy: Mapping[str, Any] = decode(encode(dict(value)))
    return copy
