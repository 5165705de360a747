"""How an attempt that ended becomes an outcome: retried, failed for good, timed out. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.execution import TaskStatus
from durable_core.failures import invented
from durable_core.ports import TaskOutcome, earliest
from durable_core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from durable_core.codec import Payload
    from durable_core.ports import TaskRecord


def completed(task: TaskRecord, result: Payload) -> TaskOutcome:
    fact = e.ActivityCompleted(call_id=task.call_id, attempt=task.attempt, result=result)
    return _final(task, TaskStatus.COMPLETED, fact, result=result)


def canceled(task: TaskRecord, failure: dict[str, Any]) -> TaskOutcome:
    """An activity that was told that nobody wants its result, and stopped."""
    fact = e.ActivityCanceled(call_id=task.call_id, reason=failure["message"])
    return _final(task, TaskStatus.CANCELED, fact, failure=failure)


def failed(
    task: TaskRecord,
    failure: dict[str, Any],
    now: datetime,
    *,
    type_names: Iterable[str] = (),
    retryable: bool = True,
    next_delay: timedelta | None = None,
    crashes: int = 0,
) -> TaskOutcome:
    """What a failed attempt leads to, by the task's own retry policy. *crashes*: workers that died over it."""
    policy = RetryPolicy.from_json(dict(task.retry_policy))
    delay = policy.delay_after(task.attempt, seed=str(task.id))
    if delay is None or not retryable or policy.refuses(type_names):
        fact = e.ActivityFailed(call_id=task.call_id, failure=failure)
        return _final(task, TaskStatus.FAILED, fact, failure=failure, crashes=crashes)
    return _retry(task, failure, now + (delay if next_delay is None else next_delay), crashes)


def timed_out(task: TaskRecord, kind: str, now: datetime) -> TaskOutcome:
    """What running out of time leads to. Only limits of a single attempt are retried."""
    limit = getattr(task, _LIMITS.get(kind, kind))
    failure = invented("ActivityTimeout", f"{kind} limit ({limit}) reached", attempt=task.attempt)
    if task.failure is not None:
        # Without the causes of that one: a task that times out for years must not drag all of it along.
        failure["cause"] = {**task.failure, "cause": None}
    if kind in ("start_to_close", "heartbeat", "completion"):
        policy = RetryPolicy.from_json(dict(task.retry_policy))
        delay = policy.delay_after(task.attempt, seed=str(task.id))
        if delay is not None and not policy.refuses(("ActivityTimeout", "TimeoutError")):
            return _retry(task, failure, now + delay, task.crashes)
    return _timed_out_for_good(task, kind, failure)


def overdue(task: TaskRecord, now: datetime) -> str | None:
    """Which limit of an open task has passed, if any."""
    if task.expires_at is not None and task.expires_at <= now:
        return "schedule_to_close"
    if task.status is TaskStatus.QUEUED:
        start_by = _start_by(task, task.queued_at)
        return "schedule_to_start" if task.retry_at is None and start_by is not None and start_by <= now else None
    started = task.started_at or task.scheduled_at
    if task.start_to_close is not None and started + task.start_to_close <= now:
        return "start_to_close"
    if task.is_detached and task.completion_expires_at is not None and task.completion_expires_at <= now:
        return "completion"
    if task.heartbeat_timeout is not None and (task.heartbeat_at or started) + task.heartbeat_timeout <= now:
        return "heartbeat"
    return None


def due_while_queued(task: TaskRecord, now: datetime, again_at: datetime | None) -> datetime | None:
    """When the scheduler must look at a task that was just put into the queue."""
    return earliest(task.expires_at, _start_by(task, min(task.queued_at, now)), again_at)


def worker_died(task: TaskRecord, now: datetime, *, charged: bool, max_crashes: int) -> TaskOutcome:
    """A dead worker is a failed attempt like any other, until it has happened too often."""
    crashes = task.crashes + 1 if charged else task.crashes
    if task.at_most_once:
        failure = invented(
            "WorkerDied",
            "the worker died, or had to stop, while it ran this activity, which may have had its effect or not; "
            "at_most_once forbids to begin it again",
            attempt=task.attempt,
        )
        return failed(task, failure, now, retryable=False, crashes=crashes)
    if crashes >= max_crashes:
        failure = invented(
            "WorkerDied",
            f"{crashes} workers died while they ran this activity (MAX_CRASHES is {max_crashes}): killed by the "
            "system for its memory, a crash in native code, or os._exit",
            attempt=task.attempt,
        )
        return failed(task, failure, now, retryable=False, crashes=crashes)
    failure = invented("WorkerDied", "the worker died while it ran this activity", attempt=task.attempt)
    return failed(task, failure, now, type_names=("WorkerDied",), crashes=crashes)


def process_died(task: TaskRecord, failure: dict[str, Any], now: datetime, *, max_crashes: int) -> TaskOutcome:
    """The process that ran it died, and its worker lives: a failed attempt, until that was too often in a row."""
    crashes = task.crashes + 1
    if crashes >= max_crashes and not task.at_most_once:
        failure["message"] += f"; {crashes} in a row, and MAX_CRASHES is {max_crashes}"
    retryable = crashes < max_crashes
    return failed(task, failure, now, type_names=("ProcessDied",), retryable=retryable, crashes=crashes)


def given_up(task: TaskRecord, now: datetime) -> TaskOutcome:
    """A worker that lives cannot say any more how it ended: as if it had died, but nobody is blamed for that."""
    return worker_died(task, now, charged=False, max_crashes=task.crashes + 1)


def _retry(task: TaskRecord, failure: Mapping[str, Any], retry_at: datetime, crashes: int) -> TaskOutcome:
    if task.expires_at is not None and retry_at >= task.expires_at:
        late = invented("ActivityTimeout", "no retry fits the schedule_to_close limit any more", attempt=task.attempt)
        late["cause"] = dict(failure)
        return _timed_out_for_good(task, "schedule_to_close", late)
    return TaskOutcome(
        task_id=task.id,
        run_id=task.run_id,
        token=task.token,
        status=TaskStatus.QUEUED,
        failure=failure,
        retry_at=retry_at,
        crashes=crashes,
    )


def _timed_out_for_good(task: TaskRecord, kind: str, failure: dict[str, Any]) -> TaskOutcome:
    fact = e.ActivityTimedOut(call_id=task.call_id, kind=kind, failure=failure)
    return _final(task, TaskStatus.TIMED_OUT, fact, failure=failure)


def _final(
    task: TaskRecord,
    status: TaskStatus,
    fact: e.HistoryEvent,
    *,
    result: Payload | None = None,
    failure: Mapping[str, Any] | None = None,
    crashes: int = 0,
) -> TaskOutcome:
    return TaskOutcome(
        task_id=task.id,
        run_id=task.run_id,
        token=task.token,
        status=status,
        result=result,
        failure=failure,
        crashes=crashes,
        fact=fact,
    )


def _start_by(task: TaskRecord, since: datetime) -> datetime | None:
    return None if task.schedule_to_start is None else since + task.schedule_to_start


_LIMITS = {  # where a task keeps the limits that have other names there
    "schedule_to_close": "expires_at",
    "heartbeat": "heartbeat_timeout",
    "completion": "completion_expires_at",
}
