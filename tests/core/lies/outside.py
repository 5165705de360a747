"""About what is seen of a queue from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from durable_core.ports import PRIVATE, Claim, Entry, EntryKind, QueueStats
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.core.lying import found_by


@found_by("test_empty_queue_counts_nothing")
class InventsNumbers(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        made_up = QueueStats(queue="default", ready=1, claimed=0, delayed=0, oldest_ready=timedelta())
        return super().stats() or [made_up]


@found_by("test_numbers_are_counted_by_queue")
class CountsTheDelayedAsReady(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        return [replace(stats, ready=stats.ready + stats.delayed, delayed=0) for stats in super().stats()]


@found_by("test_each_queue_with_entries_is_told_once_and_by_name")
class HidesPrivateQueues(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        return [stats for stats in super().stats() if not stats.queue.startswith(PRIVATE)]


@found_by("test_what_is_due_counts_as_ready")
class CountsWhatIsDueAsItWas(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        refresh, self._refresh = self._refresh, lambda now: None  # type: ignore[method-assign]
        try:
            return super().stats()
        finally:
            self._refresh = refresh  # type: ignore[method-assign]


@found_by("test_age_of_the_oldest_ready_entry_is_told")
class TellsTheAgeOfTheYoungest(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        return [s if s.oldest_ready is None else replace(s, oldest_ready=timedelta()) for s in super().stats()]


@found_by("test_age_counts_from_when_an_entry_was_ready")
class TellsTheAgeSinceItWasEnqueued(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **options)
        self._begun = clock.now()

    def stats(self) -> list[QueueStats]:
        age = self._clock.now() - self._begun
        return [s if s.oldest_ready is None else replace(s, oldest_ready=age) for s in super().stats()]


@found_by("test_queue_without_ready_entries_has_no_oldest")
class HasAlwaysAnOldest(InMemoryTaskQueue):
    def stats(self) -> list[QueueStats]:
        return [replace(stats, oldest_ready=stats.oldest_ready or timedelta()) for stats in super().stats()]


@found_by(
    "test_watcher_is_woken_by_entries_where_wakeup_is_promised",
    "test_watcher_is_woken_by_entries_of_other_threads",
    "test_watcher_hears_of_entries_of_other_processes_where_wakeup_is_promised",
)
class NeverCalls(InMemoryTaskQueue):
    def _wake_watchers(self) -> None:
        pass


@found_by("test_watcher_is_woken_by_entries_where_wakeup_is_promised", "test_two_watchers_are_both_woken")
class CallsOnce(InMemoryTaskQueue):
    def _wake_watchers(self) -> None:
        super()._wake_watchers()
        self._watchers.clear()

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        self._watchers.append(wake)
        yield
        self._watchers.clear()


@found_by("test_watcher_is_woken_by_entries_where_wakeup_is_promised")
class CallsAlthoughItPromisesNot(InMemoryTaskQueue):
    wakeup = False


@found_by("test_watcher_that_left_is_not_called")
class CallsAfterLeaving(InMemoryTaskQueue):
    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        self._watchers.append(wake)
        yield


@found_by("test_two_watchers_are_both_woken")
class CallsTheLastWatcherAlone(InMemoryTaskQueue):
    def _wake_watchers(self) -> None:
        for wake in self._watchers[-1:]:
            wake()


@found_by("test_watcher_that_leaves_takes_no_other_with_it")
class ForgetsAllWatchersWhenOneLeaves(InMemoryTaskQueue):
    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        self._watchers.append(wake)
        yield
        self._watchers.clear()


@found_by("test_watcher_may_come_back")
class HasWatchersOnce(InMemoryTaskQueue):
    _had = 0

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        self._had += 1
        with super().watch(wake if self._had == 1 else lambda: None):
            yield


@found_by("test_entry_that_comes_during_a_claim_is_in_it_or_wakes")
class DropsTheWakeUpDuringAClaim(InMemoryTaskQueue):
    _is_claiming = False

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        self._is_claiming = True
        claims = super().claim(worker_id, limits, **options)
        time.sleep(0.02)
        self._is_claiming = False
        return claims

    def _wake_watchers(self) -> None:
        if not self._is_claiming:
            super()._wake_watchers()


@found_by("test_worker_that_sleeps_until_it_is_woken_gets_every_entry")
class CallsBeforeTheEntryIsThere(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super()._wake_watchers()
        time.sleep(0.01)
        super().enqueue(entries, delay=delay)

    def _wake_watchers(self) -> None:
        pass


@found_by("test_queue_is_one")
class LacksAMethod(InMemoryTaskQueue):
    release_dead = None  # type: ignore[assignment]


@found_by("test_capabilities_are_said")
class DoesNotSay(InMemoryTaskQueue):
    wakeup = None  # type: ignore[assignment]


@found_by("test_transactional_queue_is_held_to_it")
class SaysItIsTransactionalAmongThePlain(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **options)
        self.transactional = True
