"""Signals, updates and cancels, for sync and for async code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_durable.api.executions import id_of
from django_durable.api.waiting import look_patiently
from django_durable.engine import engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_durable.api.executions import Execution
    from durable_core.options import Duration


# Signals


def send_signal(execution: Execution, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
    """Send a signal; it is kept until the workflow waits for it. *payload* is anything that JSON can hold.

    With a *dedupe_key* it is sent once, whoever sends it again: a webhook that comes twice, a task that is retried.
    Raises `UnknownExecutionError`, `WorkflowClosed` or `PayloadError`; then nothing was sent.
    """
    engine().client.signal(id_of(execution), name, payload, dedupe_key=dedupe_key)


signal_workflow = send_signal


async def asend_signal(execution: Execution, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
    """`send_signal` for async code."""
    await sync_to_async(send_signal)(execution, name, payload, dedupe_key=dedupe_key)


asignal_workflow = asend_signal


# Updates


def update_workflow(
    execution: Execution,
    name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,
    update_id: str | None = None,
) -> Any:
    """Ask a run to change, and wait for what its handler of the update *name* returns; a worker runs that.

    *payload* are the handler's keywords. Giving up after *timeout* (seconds or timedelta) undoes nothing: ask again
    with the same *update_id*, and it is the same update with the same answer. Raises `UpdateRejected` (nothing of it
    is in the history), `UpdateFailed`, `WorkflowClosed`, `WaitTimeout`, `UnknownExecutionError`, `PayloadError`, and
    `DurableError` inside of a transaction, in which no worker would see it.
    """
    updater = engine().updater
    asked = updater.request(id_of(execution), name, payload or {}, update_id=update_id)
    return updater.answer(asked, timeout=timeout)


async def aupdate_workflow(
    execution: Execution,
    name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - as `update_workflow` has it
    update_id: str | None = None,
) -> Any:
    """`update_workflow` for async code; the thread of sync code is free between two looks."""
    updater = engine().updater
    asked = await sync_to_async(updater.request)(id_of(execution), name, payload or {}, update_id=update_id)
    return await look_patiently(lambda: updater.answer(asked, timeout=0), timeout, "aupdate_workflow(timeout=)")


# Cancels


def cancel_workflow(
    execution: Execution,
    *,
    reason: str = "",
    keep_queued: bool = False,
    graceful: bool = False,
) -> bool:
    """Cancel a run; False if it was closed already.

    The run is CANCELED when this returns; its queued activities fail (not with *keep_queued*), its running ones are
    told, its children are canceled. *graceful* instead raises `WorkflowCanceled` in its code, once. Raises
    `UnknownExecutionError`.
    """
    return engine().client.cancel(id_of(execution), reason=reason, keep_queued=keep_queued, graceful=graceful)


async def acancel_workflow(
    execution: Execution,
    *,
    reason: str = "",
    keep_queued: bool = False,
    graceful: bool = False,
) -> bool:
    """`cancel_workflow` for async code."""
    return await sync_to_async(cancel_workflow)(execution, reason=reason, keep_queued=keep_queued, graceful=graceful)
