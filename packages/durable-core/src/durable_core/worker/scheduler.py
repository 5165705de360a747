"""Turns due rows into queue entries, timed-out attempts into outcomes, and dead workers' claims into anybody's.

Every worker runs it; rows are locked while one looks at them, so many may run it at once.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core.crashpoints import crashpoint
from durable_core.execution import TaskStatus
from durable_core.ports import EntryKind
from durable_core.worker import attempts
from durable_core.worker.units import unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import Clock, HistoryStore, TaskOutcome, TaskQueue, TaskRecord
    from durable_core.worker.settings import WorkerSettings

logger = logging.getLogger("durable.worker")

MOST_PATIENCE = 20  # times the redelivery: with its 30 s, ten minutes
BATCH = 500  # due rows of a kind per turn


class Scheduler:
    """Looks after what must happen at a time, at most once a tick."""

    def __init__(self, store: HistoryStore, queue: TaskQueue, clock: Clock, settings: WorkerSettings) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._next_look = 0.0  # monotonic seconds
        # Workers that start together must not all look for the dead at once.
        self._next_roll_call: float | None = clock.monotonic() + random.uniform(0, settings.heartbeat_interval)
        self.next_due: datetime | None = None

    def look_by(self, moment: datetime | None) -> None:
        """Something will be due at *moment*: look then, and not only at the next tick."""
        if moment is None:
            return
        wait = max((moment - self._store.now()).total_seconds(), 0.0)
        self._next_look = min(self._next_look, self._clock.monotonic() + wait)

    def look_at_once(self) -> None:
        """Nobody knows what is due, for instance because the reply to a commit was lost."""
        self._next_look = 0.0
        self._next_roll_call = None  # if nobody could write, no heart could beat: the silent get that long once more

    def seconds_to_next_look(self) -> float:
        return max(self._next_look - self._clock.monotonic(), 0.0)

    def turn(self) -> bool:
        """Whether anything was due."""
        now = self._clock.monotonic()
        worked = False
        if self._next_roll_call is None:
            self._next_roll_call = now + self._settings.worker_timeout.total_seconds()
        if now >= self._next_roll_call and not self._settings.inline:  # no grave in a transaction that may roll back
            self._next_roll_call = now + self._settings.heartbeat_interval
            worked = self._bury_the_dead()
        if now < self._next_look:
            return worked
        self._next_look = now + self._settings.tick
        self.next_due = self._store.next_due()
        moment = self._store.now()
        if self.next_due is None or self.next_due > moment:
            self.look_by(self.next_due)
            return worked
        if not self._turn_due_rows(moment):
            return worked
        self._next_look = 0.0  # there may be more than a batch
        return True

    def _turn_due_rows(self, now: datetime) -> bool:
        """Whether any row led to something. A beat may come between a row's due time and our look at it."""
        again_at = None if self._queue.transactional else now + self._redelivery()
        with unit(self._store, self._queue) as box:
            due = self._store.due(now, limit=BATCH, again_at=again_at)
            box.wake(due.wakes)
            ready: list[TaskRecord] = []
            outcomes: list[TaskOutcome] = []
            for task in due.tasks:
                if (kind := attempts.overdue(task, now)) is not None:
                    outcomes.append(attempts.timed_out(task, kind, now))
                elif task.status is TaskStatus.QUEUED:
                    ready.append(task)
            if ready:
                self._store.requeue({task.id: attempts.due_while_queued(task, now, again_at) for task in ready})
                box.queue_tasks(ready)
            if outcomes:
                box.wake(self._store.record_outcomes(outcomes).wakes)
            crashpoint("timer-inside")
        crashpoint("timer-committed")
        return bool(due.wakes or ready or outcomes)

    def _redelivery(self) -> timedelta:
        """How long to believe what a queue was given now.

        At least as long as the oldest entry has been waiting, within bounds: in a queue with a backlog an entry is
        late, not lost, and another one for each of its runs every half minute would fill the queue's server.
        """
        shortest = self._settings.redelivery
        oldest = max((s.oldest_ready for s in self._queue.stats() if s.oldest_ready is not None), default=shortest)
        return min(max(shortest, oldest), MOST_PATIENCE * shortest)

    # The dead

    def _bury_the_dead(self) -> bool:
        alive = self._store.buried_alive()
        for worker_id in alive:  # it may go on like this until its next beat: that is no death for each time
            dismiss(worker_id, self._store, self._queue)
        dead = self._store.dead_workers(self._settings.worker_timeout)
        if dead:
            bury(dead, self._store, self._queue, max_crashes=self._settings.max_crashes)
        return bool(alive or dead)


def bury(worker_ids: Collection[UUID], store: HistoryStore, queue: TaskQueue, *, max_crashes: int) -> None:
    """What dead workers had claimed goes to others, as failed attempts.

    Where a worker held something that had killed a worker before, be it an activity or the code of a run, that alone is
    charged with this death too.
    """
    with unit(store, queue) as box:
        now = store.now()
        entries = queue.release_dead(worker_ids)
        runs = _unique(entry.ref for entry in entries if entry.kind is EntryKind.RUN)
        tasks = store.bury(worker_ids)
        suspects = {task.id for task in tasks if task.crashes}
        suspect_runs = store.crashed(runs)
        if not suspects and not suspect_runs:
            suspects, suspect_runs = {task.id for task in tasks}, set(runs)
        outcomes = [
            attempts.worker_died(task, now, charged=task.id in suspects, max_crashes=max_crashes) for task in tasks
        ]
        if outcomes:
            box.wake(store.record_outcomes(outcomes).wakes)
        if suspect_runs:
            store.charge(suspect_runs)
    logger.log(
        logging.WARNING if tasks or runs else logging.INFO,
        "%d dead worker(s) buried: %d running activities and %d claimed runs go to others",
        len(worker_ids),
        len(tasks),
        len(runs),
    )


def dismiss(worker_id: UUID, store: HistoryStore, queue: TaskQueue) -> None:
    """A worker is gone for good: what stands in its private queue, and what it could not give back, goes to others."""
    with unit(store, queue) as box:
        queue.release_dead([worker_id])
        now = store.now()
        outcomes = [attempts.given_up(task, now) for task in store.bury([worker_id])]
        if outcomes:
            box.wake(store.record_outcomes(outcomes).wakes)
        store.remove_worker(worker_id)


def _unique(ids: Iterable[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))
