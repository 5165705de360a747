"""What projects call to read what a run lets them read while it goes on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_durable.api import check_wait_can_end, id_of
from django_durable.engine import engine
from durable_core.codec import decode
from durable_core.errors import WaitTimeout, WorkflowClosed
from durable_core.readings import event_of, pauses

if TYPE_CHECKING:
    from uuid import UUID

    from django_durable.api import Execution
    from durable_core.codec import Payload
    from durable_core.options import Duration

NONE_GIVEN: Any = object()  # None is a value


def get_event(execution: Execution, key: str, /, *, default: Any = NONE_GIVEN, timeout: Duration | None = 0) -> Any:
    """What the run has set last by ``ctx.set_event(key, ...)``, read from a row: nothing is replayed.

    *timeout*: seconds or timedelta to wait for it; 0 looks once, None waits without end. If it is not there by then:
    *default*, or `WaitTimeout` if none was given; `WorkflowClosed` for a run that has ended without it. A run that was
    continued as new keeps what it has set, until a later one sets the same key.
    """
    run_id = id_of(execution)
    if timeout != 0:
        check_wait_can_end(run_id, timeout)
    left = pauses(timeout, "get_event(timeout=)")
    while True:
        value, is_over = _look(run_id, key, default)
        if value is not None:
            return decode(value)
        if is_over or (pause := next(left, None)) is None:
            return _missing(run_id, key, default, timeout)
        time.sleep(pause)


async def aget_event(
    execution: Execution,
    key: str,
    /,
    *,
    default: Any = NONE_GIVEN,
    timeout: Duration | None = 0,  # noqa: ASYNC109 - as `get_event` has it
) -> Any:
    """`get_event` for async code; the thread of sync code is free between two looks."""
    run_id = id_of(execution)
    if timeout != 0:
        await sync_to_async(check_wait_can_end)(run_id, timeout)
    left = pauses(timeout, "aget_event(timeout=)")
    while True:
        value, is_over = await sync_to_async(_look)(run_id, key, default)
        if value is not None:
            return decode(value)
        if is_over or (pause := next(left, None)) is None:
            return _missing(run_id, key, default, timeout)
        await asyncio.sleep(pause)


def _look(run_id: UUID, key: str, default: Any) -> tuple[Payload | None, bool]:
    """The value, and whether it is useless to look again."""
    made = engine()
    try:
        return event_of(made.client, made.store, run_id, key), False
    except WorkflowClosed:
        if default is NONE_GIVEN:
            raise
        return None, True


def _missing(run_id: UUID, key: str, default: Any, timeout: Duration | None) -> Any:
    if default is NONE_GIVEN:
        raise WaitTimeout(f"event {key!r} of run {run_id} was not set after {timeout} s. Give a default= if it may be.")
    return default
