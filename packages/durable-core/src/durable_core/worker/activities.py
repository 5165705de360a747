"""The worker's side of activities: begin them, and see that how they end is recorded."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core.codec import encode, is_sealed, why_sealed
from durable_core.crashpoints import crashpoint
from durable_core.errors import StoreUnavailable, did_you_mean
from durable_core.ports import earliest
from durable_core.worker import attempts
from durable_core.worker.units import unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Set
    from datetime import datetime
    from uuid import UUID

    from durable_core.definitions import Registry
    from durable_core.ports import Claim, HistoryStore, TaskOutcome, TaskQueue, TaskRecord, Wake
    from durable_core.worker.attempt import Ending
    from durable_core.worker.executors import Executor

logger = logging.getLogger("durable.worker")

QUICK_BACKLOG = 0.05  # seconds of quick activities that may wait for a thread here instead of in the queue
BUSY_DELAY = timedelta(seconds=0.5)  # before a task that somebody holds is tried again
SUSPECT_ACTIVITY_DELAY = timedelta(seconds=1)  # before another worker is asked to run it; it may take long here
UNKNOWN_NAME_DELAY = timedelta(seconds=5)  # before a worker that may have other code is asked again
SEALED_DELAY = timedelta(seconds=5)  # before one that may have other keys is


class ActivityDesk:
    """Attempts that are claimed here, and outcomes that must still be recorded."""

    def __init__(
        self,
        store: HistoryStore,
        queue: TaskQueue,
        registry: Registry,
        executor: Executor,
        worker_id: UUID,
        *,
        max_crashes: int,
    ) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry
        self._executor = executor
        self._worker_id = worker_id
        self._max_crashes = max_crashes
        self._reports: list[TaskOutcome] = []  # outcomes for runs that are not in memory here
        self.done = 0  # attempts that ended here
        self.leaving = False  # runs are to be woken anywhere but here

    @property
    def is_idle(self) -> bool:
        return not self._reports and not self._executor.held

    @property
    def runs_here(self) -> Set[UUID]:
        """Runs that have an activity here: they will go on soon."""
        return {attempt.task.run_id for attempt in self._executor.attempts()}

    def collect(self, now: datetime) -> list[TaskOutcome]:
        """Outcomes of what has ended, or run out of time, since the last call."""
        endings = self._executor.endings()
        self.done += len(endings)
        outcomes = [self._outcome_of(ending, now) for ending in endings if not ending.is_recorded]
        late = self._executor.overdue()
        outcomes += [attempts.timed_out(attempt.task, "start_to_close", now) for attempt in late]
        self._executor.stop_forfeited()
        self._executor.replace_stuck_threads()
        return outcomes

    def _outcome_of(self, ending: Ending, now: datetime) -> TaskOutcome:
        task = ending.attempt.task
        if ending.result is not None:
            return attempts.completed(task, ending.result)
        assert ending.failure is not None
        if ending.canceled:
            return attempts.canceled(task, ending.failure)
        if ending.crashed:
            return attempts.process_died(task, ending.failure, now, max_crashes=self._max_crashes)
        return attempts.failed(
            task,
            ending.failure,
            now,
            type_names=ending.type_names,
            retryable=ending.retryable,
            next_delay=ending.next_delay,
        )

    def share_backlog(self) -> None:
        """Give back what has waited here too long for a thread."""
        if self._executor.has_stalled:
            self.withdraw()

    def report(self, outcome: TaskOutcome) -> None:
        """Have an outcome recorded, and its run told by mail."""
        self._reports.append(outcome)

    def flush(self) -> datetime | None:
        """Record what was reported; the earliest retry among it."""
        if not self._reports:
            return None
        with unit(self._store, self._queue) as box:
            receipt = self._store.record_outcomes(self._reports)
            crashpoint("outcome-inside")
            box.wake(self._addressed(receipt.wakes))
        crashpoint("outcome-committed")
        for task_id in receipt.rejected:
            logger.info("an outcome of activity task %s came too late and was refused", task_id)
        retries = [outcome.retry_at for outcome in self._reports]
        self._reports = [outcome for outcome in self._reports if outcome.task_id in receipt.busy]
        return earliest(*retries)

    def starts_here(self, activity_name: str, reserved: int) -> bool:
        """Whether a new attempt may be begun here without the queue; *reserved* others were promised a place."""
        return activity_name in self._registry.activities and self._executor.has_room(
            activity_name, QUICK_BACKLOG, reserved
        )

    def submit(self, task: TaskRecord) -> None:
        self._executor.submit(task, self._registry.activities[task.activity_name])

    def begin(self, claims: list[Claim]) -> None:
        """Start the activities of queue entries; the entries have done their work once that is committed."""
        crashpoint("activity-dequeued")
        with unit(self._store, self._queue) as box:
            tasks, busy = self._store.claim_tasks([claim.entry.ref for claim in claims], self._worker_id)
            box.completed += [claim for claim in claims if claim.entry.ref not in busy]
            # Who holds them may roll back, and then nobody else would know of them.
            if held := [claim for claim in claims if claim.entry.ref in busy]:
                box.released.append((BUSY_DELAY, held))
        crashpoint("activity-claimed")
        mine: list[TaskRecord] = []
        unknown: list[TaskRecord] = []
        sealed: list[TaskRecord] = []
        suspects: list[TaskRecord] = []
        alone = self.holds_suspect
        for task in tasks:
            if task.activity_name not in self._registry.activities:
                unknown.append(task)
            elif is_sealed(task.input) or is_sealed(task.heartbeat_details):
                sealed.append(task)
            elif alone and self._is_on_last_chance(task):
                suspects.append(task)
            else:
                alone |= self._is_on_last_chance(task)
                mine.append(task)
        with _claimed_but_not_here():
            # Before any begins: one that kills this process at once must not have the others beside it.
            self.give_back(suspects, delay=SUSPECT_ACTIVITY_DELAY)
            self.give_back(unknown, delay=UNKNOWN_NAME_DELAY)
            self._complain(unknown)
            self.give_back(sealed, delay=SEALED_DELAY)
            self._complain_of_sealed(sealed)
        for task in mine:
            self.submit(task)

    def cancel(self, run_id: UUID, call_ids: Set[str]) -> None:
        """Tell activities of a run that run here that it wants them no more; others hear it by their heartbeats."""
        if call_ids:
            for attempt in self._executor.attempts():
                if attempt.task.run_id == run_id and attempt.task.call_id in call_ids:
                    attempt.cancel()

    @property
    def holds_suspect(self) -> bool:
        """Whether an activity runs here that is given up if this process dies."""
        return any(self._is_on_last_chance(attempt.task) for attempt in self._executor.attempts())

    def _is_on_last_chance(self, task: TaskRecord) -> bool:
        """Whether one more dead worker would make it fail for good.

        Only one such runs here at a time: when it kills this process, no other is given up for it. Earlier suspects run
        side by side, for they are many after a power cut, and all but innocent.
        """
        return 0 < task.crashes >= self._max_crashes - 1

    def give_back(self, tasks: Collection[TaskRecord], *, delay: timedelta | None = None) -> None:
        """Let somebody else run claimed attempts; they are not charged."""
        if tasks:
            self._give_back({task.id: task.token for task in tasks}, delay=delay)

    def withdraw(self, *, begun: bool = False) -> None:
        """Give back what has not begun; with *begun*, what has as well."""
        back: list[TaskRecord] = []
        for attempt in self._executor.withdraw(begun=begun):
            if attempt.is_left:
                continue
            if attempt.begun is not None and attempt.task.at_most_once:
                self.report(attempts.given_up(attempt.task, self._store.now()))
            else:
                back.append(attempt.task)
        with _claimed_but_not_here():
            self.give_back(back)

    def reconcile(self, undecided: Iterable[tuple[UUID, int]]) -> None:
        """After a claim whose reply was lost: give back what the store says is ours, but is not here.

        *undecided* are attempts (task id, token) that have ended, and whose outcomes are in the hands of their runs.
        """
        known = [*undecided, *((attempt.task.id, attempt.task.token) for attempt in self._executor.attempts())]
        known += [(outcome.task_id, outcome.token) for outcome in self._reports]
        forgotten = self._store.forgotten(self._worker_id, known)
        if forgotten:
            self._give_back(forgotten)

    def abandon_all(self, now: datetime) -> None:
        """The worker was declared dead: most of what runs here is somebody else's by now. The store knows what is not;
        there, what has begun fails, as if the worker had died, and `reconcile` finds the rest."""
        for attempt in self._executor.attempts():
            self._executor.abandon(attempt)
            if attempt.begun is not None and not attempt.is_left:
                self.report(attempts.given_up(attempt.task, now))

    def _give_back(self, attempts_by_task: dict[UUID, int], *, delay: timedelta | None = None) -> None:
        with unit(self._store, self._queue) as box:
            back = self._store.give_back(attempts_by_task)
            box.queue_tasks(back.queued, delay=delay)
            box.wake(self._addressed(back.wakes))

    def _addressed(self, wakes: Iterable[Wake]) -> list[Wake]:
        return [wake._replace(worker_id=None) if self.leaving else wake for wake in wakes]

    def _complain(self, tasks: Collection[TaskRecord]) -> None:
        for task in tasks:
            logger.warning(
                "no activity %r here (%s); left for another worker",
                task.activity_name,
                did_you_mean(task.activity_name, self._registry.activities),
                extra={"execution_id": str(task.run_id), "activity": task.activity_name},
            )
        self._store.annotate({task.run_id: unknown_name("activity", task.activity_name) for task in tasks})

    def _complain_of_sealed(self, tasks: Collection[TaskRecord]) -> None:
        for task in tasks:
            shut = task.input if is_sealed(task.input) else task.heartbeat_details
            logger.warning(
                "activity %r cannot begin, its payload is sealed: %s; left for another worker",
                task.activity_name,
                why_sealed(shut or ""),
                extra={"execution_id": str(task.run_id), "activity": task.activity_name},
            )
        what = encode({"kind": "worker", "what": "a worker that can open the payloads of its activities"})
        self._store.annotate({task.run_id: what for task in tasks})


@contextmanager
def _claimed_but_not_here() -> Iterator[None]:
    """Around what lets go of claimed attempts: where it fails, only the store knows which are still ours."""
    try:
        yield
    except StoreUnavailable as error:
        error.ambiguous = True
        raise


def unknown_name(kind: str, name: str) -> str:
    """What a run waits for when no worker that looked at it knows a name."""
    return encode({"kind": "worker", "what": f"a worker that has {kind} {name!r}"})
