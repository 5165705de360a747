"""Signs of life, from their own thread: of the worker, of its activities, and a watch over workflow code."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from durable_core.errors import CodeStuck, StoreUnavailable
from durable_core.logs import complain
from durable_core.ports import OVERRUN, Beat, earliest
from durable_core.worker.threads import SystemThreads

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import Clock, HistoryStore, TaskRecord
    from durable_core.replay import WorkflowRun
    from durable_core.worker.attempt import Attempt
    from durable_core.worker.executors import Executor
    from durable_core.worker.settings import WorkerSettings
    from durable_core.worker.threads import Thread, Threads

logger = logging.getLogger("durable.worker")

LOOK_INTERVAL = 1.0  # seconds between two looks at what runs here; the heartbeat itself is rarer
OLD_ENOUGH = 1.0  # seconds after which an attempt without heartbeats is asked about too, to hear of its cancellation


class CodeWatch:
    """Around workflow code: interrupts it when it makes no call for too long, for it stops the loop for everybody.

        with watch.over(run):
            run.advance(...)

    Leaving the block raises `CodeStuck` if the code was interrupted and caught that: what it did then depends on the
    speed of this machine, and is not to be committed.
    """

    def __init__(self, clock: Clock, stuck_after: float, threads: Threads | None = None) -> None:
        self._clock = clock
        self._stuck_after = stuck_after
        self._threads = threads or SystemThreads()
        self._lock = threading.Lock()
        self._thread_id = 0
        self._run: WorkflowRun | None = None
        self._length = 0  # of its history when that was last seen to have grown
        self._since: float | None = None
        self._has_interrupted = False

    def over(self, run: WorkflowRun) -> CodeWatch:
        self._run, self._length = run, run.history_length
        return self

    def __enter__(self) -> None:
        self._thread_id = self._threads.current()
        self._has_interrupted = False
        self._since = self._clock.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._run = self._since = None
        if self._has_interrupted and kind is None:
            raise CodeStuck

    def look(self) -> None:
        with self._lock:
            if self._run is None or self._since is None:
                return
            now, length = self._clock.monotonic(), self._run.history_length
            if length != self._length:  # a long history takes its time to replay
                self._length, self._since = length, now
            elif now - self._since > self._stuck_after:
                self._since = now  # again later, for code that catches it and goes on
                self._has_interrupted = True
                self._threads.interrupt(self._thread_id, CodeStuck)


class Liveness:
    """A thread that beats for the worker and its attempts, while the context is entered."""

    def __init__(
        self,
        worker_id: UUID,
        store: HistoryStore,
        executor: Executor,
        clock: Clock,
        settings: WorkerSettings,
        watch: CodeWatch,
        *,
        declared_dead: Callable[[], None],
        release_thread: Callable[[], None],
        threads: Threads,
    ) -> None:
        self._worker_id = worker_id
        self._store = store
        self._executor = executor
        self._clock = clock
        self._settings = settings
        self._watch = watch
        self._declared_dead = declared_dead
        self._release_thread = release_thread
        self._threads = threads
        self._wake = threads.event()
        self._is_leaving = False
        self._thread: Thread | None = None
        self._next_beat = 0.0

    def __enter__(self) -> None:
        self._is_leaving = False
        self._wake.clear()
        self._next_beat = self._clock.monotonic() + self._settings.heartbeat_interval
        self._thread = self._threads.start(self._run, "durable-heartbeat")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_leaving = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def on_begin(self, task: TaskRecord) -> None:
        """An attempt was claimed: its heartbeats may be due before the next look."""
        limit = task.heartbeat_timeout
        if limit is not None and limit.total_seconds() < 3 * LOOK_INTERVAL:
            self._wake.set()

    def _run(self) -> None:
        try:
            while not self._is_leaving:
                self._wake.wait(self._interval())
                self._wake.clear()
                if not self._is_leaving:
                    self._watch.look()
                    try:
                        self._turn()
                    except Exception as error:  # noqa: BLE001 - without this thread a worker would be taken for dead
                        complain(logger, logging.ERROR, "no heartbeat: %s", error=error)
        finally:
            self._release_thread()

    def _interval(self) -> float:
        limits = [
            attempt.task.heartbeat_timeout.total_seconds() / 3
            for attempt in self._executor.attempts()
            if attempt.task.heartbeat_timeout is not None
        ]
        return min([LOOK_INTERVAL, self._settings.heartbeat_interval, self._settings.stuck_after, *limits])

    def _turn(self) -> None:
        now = self._clock.monotonic()
        attempts = [each for each in self._executor.attempts() if each.begun is not None or each.is_starting]
        taken = {attempt: details for attempt in attempts if (details := attempt.current.take_beat()) is not None}
        taken |= {attempt: (None,) for attempt in attempts if attempt.begun is None}  # it cannot say so itself yet
        try:
            beats = [
                beat for attempt in attempts if (beat := self._beat_of(attempt, taken.get(attempt), now)) is not None
            ]
            if not beats and now < self._next_beat:
                return
            reply = self._store.beat(self._worker_id, beats)
        except StoreUnavailable as error:
            for attempt, details in taken.items():
                attempt.current.put_back(details)
            logger.debug("no heartbeat: %s", error)
            return
        self._next_beat = now + self._settings.heartbeat_interval
        if not reply.known:
            self._declared_dead()
        for attempt in attempts:
            if (attempt.task.id, attempt.task.token) in reply.lost:
                self._executor.forfeit(attempt)
            elif attempt.task.id in reply.canceled:
                attempt.cancel()

    def _beat_of(self, attempt: Attempt, taken: tuple[Payload | None] | None, now: float) -> Beat | None:
        """*taken*: what the activity called in with since the last look, see `CurrentActivity.take_beat`."""
        task = attempt.task
        if taken is not None:
            due_at = None
            if task.heartbeat_timeout is not None:
                must_end_by = None
                if task.start_to_close is not None and task.started_at is not None:
                    must_end_by = task.started_at + task.start_to_close + OVERRUN
                due_at = earliest(self._store.now() + task.heartbeat_timeout, task.expires_at, must_end_by)
            return Beat(task.id, task.token, taken[0], due_at, is_sign_of_life=True)
        if attempt.begun is not None and now - attempt.begun > OLD_ENOUGH:
            return Beat(task.id, task.token, None, None, is_sign_of_life=False)
        return None
