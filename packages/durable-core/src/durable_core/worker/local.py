"""The worker's side of local activities: run beside the code that asked for them, with no row in the store.

Threads of their own perform them, so that none waits behind an activity that takes hours. How one ends is a fact for
its run, and goes into the run's next commit. Until then only this process knows of it: if the process dies, whoever
has the run next finds no outcome in its history, and begins the activity again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.execution import TaskStatus
from durable_core.failures import invented
from durable_core.options import DEFAULT_QUEUE
from durable_core.ports import TaskRecord, new_id
from durable_core.retry import DEFAULT_RETRY_POLICY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from durable_core.commands import RunLocalActivity
    from durable_core.definitions import Registry
    from durable_core.ports import Clock
    from durable_core.worker.attempt import Attempt, Ending
    from durable_core.worker.executors import Executor

Key = tuple["UUID", str]  # run and call_id


@dataclass(slots=True, eq=False)
class Local:
    """One local activity that this worker performs."""

    run_id: UUID
    command: RunLocalActivity
    deadline: float  # monotonic seconds by which all attempts have ended
    attempt: int = 0  # begun so far
    again_at: float | None = None  # monotonic seconds; None: an attempt is under way
    under_way: UUID | None = None  # what the executor knows the attempt by


class LocalDesk:
    def __init__(self, executor: Executor, registry: Registry, clock: Clock, *, limit: timedelta) -> None:
        self._executor = executor
        self._registry = registry
        self._clock = clock
        self._limit = limit
        self._known: dict[Key, Local] = {}
        self._by_task: dict[UUID, Local] = {}

    @property
    def is_idle(self) -> bool:
        return not self._known

    def want(self, run_id: UUID, commands: list[RunLocalActivity], now: datetime) -> None:
        """These are what a run waits for: what is new begins, and what is no longer among them is stopped."""
        if not commands and not self._known:
            return
        wanted = {(run_id, command.call_id) for command in commands}
        for key in [key for key in self._known if key[0] == run_id and key not in wanted]:
            self._drop(key)
        for command in commands:
            if (run_id, command.call_id) not in self._known:
                self._begin(run_id, command, now)

    def collect(self, now: datetime) -> list[tuple[UUID, e.HistoryEvent]]:
        """How those ended that have come to their end since the last call. Retries that are due begin."""
        if not self._known:
            return []
        told: list[tuple[UUID, e.HistoryEvent]] = []
        for ending in self._executor.endings():
            told += self._ended(ending)
        for attempt in self._executor.overdue():
            told += self._out_of_time(attempt)
        self._executor.replace_stuck_threads()
        moment = self._clock.monotonic()
        for local in [local for local in self._known.values() if local.again_at is not None]:
            if local.again_at is not None and local.again_at <= moment:
                self._attempt(local, now)
        return told

    def next_due(self) -> float | None:
        """Monotonic seconds at which `collect` has something to do by itself."""
        times = [local.again_at for local in self._known.values() if local.again_at is not None]
        if (overdue := self._executor.next_overdue()) is not None:
            times.append(overdue)
        return min(times, default=None)

    def forget_all(self) -> None:
        """Whoever has the runs next begins them again."""
        for key in list(self._known):
            self._drop(key)

    def close(self) -> None:
        self.forget_all()
        self._executor.close()

    # Attempts

    def _begin(self, run_id: UUID, command: RunLocalActivity, now: datetime) -> None:
        timeout = command.options.timeout
        limit = self._limit if timeout is None else min(timeout, self._limit)
        local = Local(run_id, command, self._clock.monotonic() + limit.total_seconds())
        self._known[run_id, command.call_id] = local
        self._attempt(local, now)

    def _attempt(self, local: Local, now: datetime) -> None:
        left = max(local.deadline - self._clock.monotonic(), 0.0)
        local.attempt, local.again_at = local.attempt + 1, None
        task = _task_of(local, now, left)
        self._by_task[task.id] = local
        local.under_way = task.id
        self._executor.submit(task, self._registry.activities[local.command.activity_name])

    def _ended(self, ending: Ending) -> Iterable[tuple[UUID, e.HistoryEvent]]:
        local = self._by_task.pop(ending.attempt.task.id)
        local.under_way = None
        if ending.result is not None:
            command = local.command
            fact = e.LocalActivityCompleted(
                call_id=command.call_id,
                activity_name=command.activity_name,
                arguments=command.arguments,
                attempt=local.attempt,
                result=ending.result,
            )
            return [self._told(local, fact)]
        assert ending.failure is not None
        return self._failed(local, ending.failure, ending.type_names, ending.retryable, ending.next_delay)

    def _out_of_time(self, attempt: Attempt) -> Iterable[tuple[UUID, e.HistoryEvent]]:
        local = self._by_task.pop(attempt.task.id)
        local.under_way = None
        limit = attempt.task.start_to_close
        failure = invented("ActivityTimeout", f"start_to_close limit ({limit}) reached", attempt=local.attempt)
        if self._clock.monotonic() >= local.deadline:
            failure["message"] = "the time limit of a local activity was reached while it ran"
            return [self._told(local, _failure(local, failure, "schedule_to_close"))]
        names = ("ActivityTimeout", "TimeoutError")
        return self._failed(local, failure, names, retryable=True, delay=None, kind="start_to_close")

    def _failed(
        self,
        local: Local,
        failure: dict[str, Any],
        names: tuple[str, ...],
        retryable: bool,
        delay: timedelta | None,
        kind: str | None = None,
    ) -> Iterable[tuple[UUID, e.HistoryEvent]]:
        policy = local.command.options.retry_policy or DEFAULT_RETRY_POLICY
        pause = policy.delay_after(local.attempt, seed=f"{local.run_id}:{local.command.call_id}")
        if pause is None or not retryable or policy.refuses(names):
            return [self._told(local, _failure(local, failure, kind))]
        again_at = self._clock.monotonic() + (pause if delay is None else delay).total_seconds()
        if again_at >= local.deadline:
            text = "no retry fits into the time limit of a local activity any more"
            late = invented("ActivityTimeout", text, attempt=local.attempt, cause=failure)
            return [self._told(local, _failure(local, late, "schedule_to_close"))]
        local.again_at = again_at
        return []

    def _told(self, local: Local, fact: e.HistoryEvent) -> tuple[UUID, e.HistoryEvent]:
        del self._known[local.run_id, local.command.call_id]
        return local.run_id, fact

    def _drop(self, key: Key) -> None:
        local = self._known.pop(key)
        if local.under_way is not None and self._by_task.pop(local.under_way, None) is not None:
            for attempt in self._executor.attempts():
                if attempt.task.id == local.under_way:
                    self._executor.abandon(attempt)


def _failure(local: Local, failure: dict[str, Any], kind: str | None) -> e.LocalActivityFailed:
    command = local.command
    return e.LocalActivityFailed(
        call_id=command.call_id,
        activity_name=command.activity_name,
        arguments=command.arguments,
        kind=kind,
        failure=failure,
    )


def _task_of(local: Local, now: datetime, left: float) -> TaskRecord:
    """What an executor must know of an attempt; no store has it."""
    command = local.command
    options = command.options
    span = timedelta(seconds=left)
    return TaskRecord(
        id=new_id(),
        run_id=local.run_id,
        call_id=command.call_id,
        activity_name=command.activity_name,
        status=TaskStatus.RUNNING,
        input=command.input,
        attempt=local.attempt,
        token=local.attempt,
        queue=DEFAULT_QUEUE,
        priority=0,
        retry_policy={},
        scheduled_at=now,
        started_at=now,
        queued_at=now,
        retry_at=None,
        expires_at=None,
        schedule_to_start=None,
        start_to_close=span if options.start_to_close is None else min(options.start_to_close, span),
        heartbeat_timeout=None,
        heartbeat_at=None,
        heartbeat_details=None,
        crashes=0,
    )
