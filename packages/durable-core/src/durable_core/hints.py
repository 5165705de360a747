"""A queue whose server may be away: what it does not take is lost, said, and made good by the store's `due_at`.

A queue in the store's own transactions is not wrapped: there, what is not written is not committed either.
"""

from __future__ import annotations

import logging
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from durable_core.errors import QueueUnavailable
from durable_core.ports import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import timedelta
    from uuid import UUID

    from durable_core.ports import Claim, Clock, Entry, EntryKind, QueueStats, TaskQueue

T = TypeVar("T")

logger = logging.getLogger("durable.queue")

FIRST_PAUSE = 0.1  # seconds for which a server that did not answer is left alone; doubles
LONGEST_PAUSE = 5.0
LOG_INTERVAL = 10.0  # seconds between two complaints


def as_hint(queue: TaskQueue, clock: Clock | None = None) -> TaskQueue:
    """The queue, with outages of its server kept from its callers."""
    return queue if queue.transactional or isinstance(queue, Hints) else Hints(queue, clock)


def backend_of(queue: TaskQueue) -> TaskQueue:
    """The queue that the settings chose, for those who want to hear of outages."""
    return queue.backend if isinstance(queue, Hints) else queue


class Hints:
    """`TaskQueue` that raises no `QueueUnavailable`.

    After an outage the server is left alone for a while: a web request, or a round of a worker's loop, must not wait
    for a time-out each time. Nothing is queued up meanwhile: what is lost comes back when the store finds it due.
    """

    transactional = False

    def __init__(self, backend: TaskQueue, clock: Clock | None = None) -> None:
        self.backend = backend
        self.wakeup = backend.wakeup
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._closed_until = 0.0  # monotonic seconds
        self._last_complaint = -LOG_INTERVAL

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        entries = list(entries)
        self._try(lambda: self.backend.enqueue(entries, delay=delay), None)

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        return self._try(lambda: self.backend.claim(worker_id, limits, queues=queues, exclude=exclude), [])

    def complete(self, claims: Collection[Claim]) -> None:
        self._try(lambda: self.backend.complete(claims), None)

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        self._try(lambda: self.backend.release(claims, delay=delay), None)

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        return self._try(lambda: self.backend.release_dead(worker_ids), [])

    def stats(self) -> list[QueueStats]:
        return self._try(self.backend.stats, [])

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        def heard() -> None:
            self._closed_until = 0.0  # whoever sends wake-ups answers again
            wake()

        with self.backend.watch(heard):
            yield

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        if self._clock.monotonic() < self._closed_until:
            return otherwise
        try:
            answer = call()
        except QueueUnavailable as error:
            self._on_outage(error)
            return otherwise
        if self._failures:
            self._on_contact()
        return answer

    def _on_outage(self, error: QueueUnavailable) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if not error.refused:  # a full server must go on to be emptied
                longest = min(FIRST_PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
                self._failures += 1
                self._closed_until = now + random.uniform(longest / 2, longest)
            if now - self._last_complaint < LOG_INTERVAL:
                return
            self._last_complaint = now
        what = "refuses something" if error.refused else "does not answer"
        logger.error("the queue %s; what it misses comes later, from the store: %s", what, error)

    def _on_contact(self) -> None:
        with self._lock:
            self._failures = 0
        logger.info("the queue answers again")
