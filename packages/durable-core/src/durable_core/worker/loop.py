"""The worker's loop: one thread decides and commits, others run activities.

Each round collects what has come in (finished activities, queue entries, due rows), loads what is not in memory,
advances every run that got something, and commits all decisions in one transaction. What piles up while a commit is in
flight is the next round's batch, so batches grow with load and add no delay.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from durable_core.crashpoints import crashpoint
from durable_core.errors import StoreUnavailable
from durable_core.hints import as_hint
from durable_core.hooks import SILENT
from durable_core.ports import PRIVATE, EntryKind, SystemClock, WorkerInfo, new_id
from durable_core.worker.activities import ActivityDesk
from durable_core.worker.completions import Completions
from durable_core.worker.executors import make_executor
from durable_core.worker.liveness import CodeWatch, Liveness
from durable_core.worker.local import LocalDesk
from durable_core.worker.publishing import Publisher
from durable_core.worker.runs import RunDesk
from durable_core.worker.scheduler import Scheduler
from durable_core.worker.settings import WorkerSettings
from durable_core.worker.threads import SystemThreads
from durable_core.worker.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from durable_core.definitions import Registry
    from durable_core.ports import Clock, HistoryStore, TaskQueue, TaskRecord
    from durable_core.worker.threads import Threads

logger = logging.getLogger("durable.worker")

BUSY_PAUSE = 0.005  # seconds before a row that somebody holds is tried again
FIRST_BACKOFF = 0.1  # seconds before an unreachable database is asked again; doubles
LONGEST_BACKOFF = 5.0
LOG_INTERVAL = 10.0  # seconds between two complaints about an unreachable database


class Worker:
    """Drives runs and activities until told to stop. `run` it in the thread that made it."""

    def __init__(
        self,
        store: HistoryStore,
        queue: TaskQueue,
        registry: Registry,
        clock: Clock | None = None,
        settings: WorkerSettings | None = None,
        *,
        worker_id: UUID | None = None,
        release_thread: Callable[[], None] = lambda: None,
        threads: Threads | None = None,
    ) -> None:
        self.id = worker_id or new_id()
        self.settings = settings or WorkerSettings()
        self._info = WorkerInfo(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.settings.queues,
            exclude=self.settings.exclude,
        )
        self._life = SILENT if self.settings.registered else self.settings.hooks  # a run's own worker is no news
        self._store = store
        self._clock = clock or SystemClock()
        self._queue = queue = as_hint(queue, self._clock)
        threads = threads or SystemThreads()
        self._wake = threads.event()
        self._publisher = Publisher(store, threads=threads, release_thread=release_thread)
        make = partial(
            make_executor,
            registry,
            self.settings,
            clock=self._clock,
            wake=self._wake.set,
            release_thread=release_thread,
            threads=threads,
        )
        self._executor = make(
            on_begin=self._on_begin,
            transactions=Transactions(store, queue, joins=self.settings.inline),
            publisher=self._publisher,
            completions=Completions(store, self.settings.aside),
        )
        # Threads of their own: none of these waits behind an activity that takes hours, and no row in the store is
        # looked after for them.
        limit = timedelta(seconds=self.settings.stuck_after)
        self._local = LocalDesk(make(), registry, self._clock, limit=limit)
        watch = CodeWatch(self._clock, self.settings.stuck_after, threads)
        self._activities = ActivityDesk(
            store, queue, registry, self._executor, self.id, max_crashes=self.settings.max_crashes
        )
        self._runs = RunDesk(store, queue, registry, self.settings, self._activities, watch, self.id, self._local.want)
        self._scheduler = Scheduler(store, queue, self._clock, self.settings)
        self._liveness = Liveness(
            self.id,
            store,
            self._executor,
            self._clock,
            self.settings,
            watch,
            declared_dead=self._on_declared_dead,
            release_thread=release_thread,
            threads=threads,
        )
        self._hungry = True  # the queue may have something: ask at once
        self._next_claim = 0.0
        self._stop_reason: str | None = None
        self._forced = False
        self._drain_until: float | None = None
        self._declared_dead = False
        self._must_reconcile = False
        self._failures = 0  # rounds in a row that did not reach the store
        self._last_complaint = -LOG_INTERVAL

    # Outside

    def stop(self, reason: str = "asked to stop") -> None:
        """Drain: claim nothing more, let running activities end, give back the rest. Called again, it forces that."""
        if self._stop_reason is not None:
            self._forced = True
        else:
            self._stop_reason = reason
        self._wake.set()

    @property
    def is_stopping(self) -> bool:
        return self._stop_reason is not None

    @property
    def has_lost_threads(self) -> bool:
        """Whether activities that would not stop have cost it threads; such a process should be replaced."""
        return self._executor.lost_threads > 0

    def run(self, *, until: Callable[[], bool] = lambda: False, until_idle: bool = False, iterations: int = 0) -> None:
        """Work until stopped, until *until* says so after a round, until nothing is left to do now (*until_idle*), or
        for so many rounds (0: no limit). Nothing stays claimed afterwards."""
        with ExitStack() as stack:
            self._register()
            stack.callback(self._life.worker_stopped, self._info)
            stack.callback(self._leave)
            if not self.settings.inline:
                stack.enter_context(self._liveness)
                stack.enter_context(self._publisher)
                stack.enter_context(self._queue.watch(self._on_wake))
            self._life.worker_started(self._info)
            rounds = 0
            while not self._is_done():
                worked = self._round()
                rounds += 1
                if rounds == iterations:
                    self.stop("did its iterations")
                elif until():
                    self.stop("what it was started for is done")
                elif until_idle and not worked and self._is_idle():
                    self.stop("nothing is left to do")
                elif 0 < self.settings.max_tasks <= self._activities.done:
                    self.stop("did its tasks")
                if not worked:
                    self._rest()

    # The round

    def _round(self) -> bool:
        """One turn of the loop; whether anything was done."""
        self._wake.clear()
        try:
            if self._declared_dead:
                self._start_over()
            if self._must_reconcile:
                self._activities.reconcile(self._runs.undecided())
                self._must_reconcile = False
            worked = self._collect()
            if self._scheduler.turn():
                worked = self._hungry = True  # what was due stands in the queue now
            worked |= self._runs.decide()
            self._scheduler.look_by(self._activities.flush())
            self._scheduler.look_by(self._runs.wake_at)
        except StoreUnavailable as error:
            self._on_outage(error)
            return False
        self._on_contact()
        self._runs.wake_at = None
        return worked and not self._runs.is_busy

    def _collect(self) -> bool:
        now = self._store.now()
        outcomes = self._activities.collect(now)
        for outcome in outcomes:
            self._runs.accept(outcome)
        ended = self._local.collect(now)
        for run_id, fact in ended:
            self._runs.accept_local(run_id, fact)
        self._activities.share_backlog()
        claimed = self._stop_reason is None and self._claim()
        return bool(outcomes or ended) or claimed

    def _claim(self) -> bool:
        now = self._clock.monotonic()
        if not self._hungry and now < self._next_claim:
            return False
        limits = {
            EntryKind.RUN: max(self.settings.batch - self._runs.dirty, 0),
            EntryKind.ACTIVITY: max(self._executor.room, 0),
        }
        self._hungry = False  # before asking: what the queue says meanwhile, in another thread, must not be forgotten
        claims = self._queue.claim(self.id, limits, queues=self.settings.queues, exclude=self.settings.exclude)
        # Where there was no room for a kind, its entries were not even looked at.
        if claims or 0 in limits.values():
            self._hungry = True
        self._next_claim = now + self.settings.tick
        activities = [claim for claim in claims if claim.entry.kind is EntryKind.ACTIVITY]
        for claim in claims:
            if claim.entry.kind is EntryKind.RUN:
                self._runs.claimed(claim)
                crashpoint("run-claimed")
        if activities:
            try:
                self._activities.begin(activities)
            except StoreUnavailable:
                self._runs.release(activities)
                raise
        return bool(claims)

    def _rest(self) -> None:
        """Until something comes in, or is due."""
        timeout = min(self.settings.tick, self._scheduler.seconds_to_next_look())
        for due in (self._executor.next_overdue(), self._local.next_due()):
            if due is not None:
                timeout = min(timeout, max(due - self._clock.monotonic(), 0.0))
        if self._runs.is_busy:
            timeout = min(timeout, BUSY_PAUSE)
        if self._failures:
            longest = min(FIRST_BACKOFF * 2 ** min(self._failures, 10), LONGEST_BACKOFF)
            timeout = random.uniform(longest / 2, longest)
            self._wake.clear()
        self._clock.wait(self._wake, timeout)

    def _is_idle(self) -> bool:
        if not (self._is_at_rest and not self._failures):
            return False
        try:
            due = self._scheduler.next_due
            if due is not None and due <= self._store.now():
                return False
            # The last answer of the queue may be a tick old.
            self._hungry = True
            return not self._claim() and not self._is_something_left()
        except StoreUnavailable as error:
            self._on_outage(error)
            return False

    def _is_something_left(self) -> bool:
        """Whether an entry is ready that may not be claimed yet, because it prefers another worker for a second."""
        queues, exclude = self.settings.queues, self.settings.exclude
        return any(
            stats.ready
            for stats in self._queue.stats()
            if (stats.queue in queues if queues else stats.queue not in exclude and not stats.queue.startswith(PRIVATE))
        )

    # Coming and going

    def _register(self) -> None:
        while not self.is_stopping:
            try:
                self._store.add_worker(self._info)
            except StoreUnavailable as error:
                self._on_outage(error)
                self._rest()
            else:
                self._on_contact()
                return

    def _is_done(self) -> bool:
        if self._stop_reason is None:
            return False
        now = self._clock.monotonic()
        if self._drain_until is None:
            logger.info("draining: %s", self._stop_reason)
            self._life.worker_stopping(self._info, self._stop_reason)
            self._drain_until = now + self.settings.drain_timeout
            self._runs.draining = True
            try:
                self._activities.withdraw()
            except StoreUnavailable as error:
                self._on_outage(error)
        if self._forced or now >= self._drain_until:
            return True
        return self._is_at_rest

    @property
    def _is_at_rest(self) -> bool:
        return self._activities.is_idle and self._local.is_idle and not self._runs.dirty

    def _leave(self) -> None:
        self._activities.leaving = True
        self._local.close()
        try:
            self._activities.withdraw(begun=True)
            self._runs.forget_all()
            self._activities.flush()
            self._runs.release_claims()
            if self._must_reconcile:
                self._activities.reconcile(())
            # What is left was held by somebody. Its worker must stay known: only the dead have their work taken over.
            if not self.settings.registered and self._activities.is_idle:
                self._store.remove_worker(self.id)
        except StoreUnavailable as error:
            logger.warning("left without saying so, others will notice in a while: %s", error)
        self._executor.close()

    def _on_wake(self) -> None:
        self._hungry = True
        self._wake.set()

    def _on_begin(self, task: TaskRecord) -> None:
        self._liveness.on_begin(task)

    def _on_declared_dead(self) -> None:
        self._declared_dead = True
        self._wake.set()

    def _start_over(self) -> None:
        """Others took this worker for dead and have its work: drop all of it, and begin as a new one."""
        logger.warning("declared dead by other workers (paused, or cut off from the database?); starting over")
        self._local.forget_all()
        self._activities.abandon_all(self._store.now())
        self._runs.forget_all()
        self._register()
        self._declared_dead = False
        self._must_reconcile = True  # what it has claimed since then would be nobody's

    # The store

    def _on_outage(self, error: StoreUnavailable) -> None:
        self._failures += 1
        self._hungry = True
        self._must_reconcile |= error.ambiguous
        self._scheduler.look_at_once()
        now = self._clock.monotonic()
        if now - self._last_complaint >= LOG_INTERVAL:
            self._last_complaint = now
            logger.error("the store does not answer, trying again: %s", error)

    def _on_contact(self) -> None:
        if self._failures and self._last_complaint > -LOG_INTERVAL:
            logger.info("the store answers again")
        self._failures = 0
