"""When somebody must look: rules that the engine and every store share."""

from __future__ import annotations

from datetime import datetime, timedelta

OVERRUN = timedelta(seconds=2)  # in which the worker itself ends an attempt that ran past its start_to_close
# What goes back to QUEUED has an entry in the queue already; only if that is lost must the scheduler make another.
GRACE = timedelta(seconds=5)


def earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


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
