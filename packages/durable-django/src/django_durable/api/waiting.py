"""Wait for what a run returns."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, overload

from asgiref.sync import sync_to_async

from django_durable.api.executions import id_of
from django_durable.api.uncommitted import check_wait_can_end
from django_durable.engine import engine
from durable_core.client import FIRST_POLL, LONGEST_POLL
from durable_core.errors import WaitTimeout
from durable_core.options import as_timedelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_durable.api.executions import Execution
    from django_durable.api.handles import WorkflowHandle
    from durable_core.functions import R
    from durable_core.options import Duration


@overload
def wait_workflow(execution: WorkflowHandle[R], timeout: Duration | None = None) -> R: ...
@overload
def wait_workflow(execution: Execution, timeout: Duration | None = None) -> Any: ...
def wait_workflow(execution: Execution, timeout: Duration | None = None) -> Any:
    """What the run returned, once a worker has brought it to its end.

    *timeout*: seconds or timedelta; 0 looks once, None waits without end. Raises as the run ended (`WorkflowFailed`,
    `WorkflowCanceled`, `WorkflowTimeout`), `WaitTimeout` when time runs out, and `DurableError` at once inside a
    transaction that keeps workers from seeing the run.
    """
    run_id = id_of(execution)
    check_wait_can_end(run_id, timeout)
    return engine().client.result(run_id, timeout=timeout)


async def await_workflow(
    execution: Execution,
    timeout: Duration | None = None,  # noqa: ASYNC109 - as `wait_workflow` has it
) -> Any:
    """`wait_workflow` for async code; the thread of sync code is free between two looks."""
    return await look_patiently(lambda: wait_workflow(execution, 0), timeout, "await_workflow(timeout=)")


async def look_patiently(look: Callable[[], Any], timeout: Duration | None, what: str) -> Any:  # noqa: ASYNC109 - its own
    """What *look* returns once it raises `WaitTimeout` no more."""
    span = as_timedelta(timeout, what=what)
    deadline = None if span is None else time.monotonic() + span.total_seconds()
    pause = FIRST_POLL
    while True:
        try:
            return await sync_to_async(look)()
        except WaitTimeout:
            left = LONGEST_POLL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_POLL)
