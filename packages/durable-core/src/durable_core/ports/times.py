"""When somebody must look: rules that the engine and every store share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_core.ports.records import TaskRecord

OVERRUN = timedelta(seconds=2)  # in which the worker itself ends an attempt that ran past its start_to_close
# What goes back to QUEUED has an entry in the queue already; only if that is lost must the scheduler make another.
GRACE = timedelta(seconds=5)


def earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def due_while_detached(task: TaskRecord, now: datetime, completion_expires_at: datetime) -> datetime:
    """When the scheduler must look at an attempt that calls in at *now*, and that no worker has."""
    started = task.started_at or now
    due_at = earliest(
        completion_expires_at,
        task.expires_at,
        None if task.start_to_close is None else started + task.start_to_close,
        None if task.heartbeat_timeout is None else now + task.heartbeat_timeout,
    )
    assert due_at is not None
    return due_at


def due_while_running(
    now: datetime,
    *,
    expires_at: datetime | None,
    start_to_close: timedelta | None,
    heartbeat_timeout: timedelta | None,
) -> datetime | None:
    """When the scheduler must look at an attempt that begins now."""
    return earliest(
        expires_at,
        None if start_to_close is None else now + start_to_close + OVERRUN,
        None if heartbeat_timeout is None else now + heartbeat_timeout,
    )
