"""What can be seen of a queue from outside: its numbers, and that something came."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

from durable_core.testing.contracts.queue_base import QueueCases, an_entry

PROMPT = 5.0  # seconds within which a wake-up must come; it takes milliseconds
QUIET = 0.05  # seconds without one


class WatchCases(QueueCases):
    def test_numbers_are_counted_by_queue(self) -> None:
        for _ in range(3):
            self.enqueue(queue="mail")
        self.enqueue(queue="slow")
        self.claim(queues=["mail"], runs=1)
        self.queue.enqueue([an_entry(queue="mail")], delay=timedelta(hours=1))
        stats = self.stats()
        assert (stats["mail"].ready, stats["mail"].claimed, stats["mail"].delayed) == (2, 1, 1)
        assert (stats["slow"].ready, stats["slow"].claimed, stats["slow"].delayed) == (1, 0, 0)

    def test_age_of_the_oldest_ready_entry_is_told(self) -> None:
        self.enqueue(queue="mail")
        self.pass_time(0.2)
        self.enqueue(queue="mail")
        oldest = self.stats()["mail"].oldest_ready
        assert oldest is not None
        assert timedelta(seconds=0.1) <= oldest <= timedelta(seconds=60)

    def test_queue_without_ready_entries_has_no_oldest(self) -> None:
        self.enqueue(queue="mail")
        self.claim()
        assert self.stats()["mail"].oldest_ready is None

    def test_empty_queue_counts_nothing(self) -> None:
        assert self.totals() == (0, 0, 0)
        self.enqueue()
        self.queue.complete(self.claim())
        assert self.totals() == (0, 0, 0)

    def test_watcher_is_woken_by_entries_where_wakeup_is_promised(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            self.enqueue()
            assert woken.wait(PROMPT if self.queue.wakeup else QUIET) or not self.queue.wakeup

    def test_watcher_is_woken_by_entries_of_other_threads(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            self.in_threads([self.enqueue])
            assert woken.wait(PROMPT if self.queue.wakeup else QUIET) or not self.queue.wakeup

    def test_watcher_may_claim_when_it_is_woken(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            entry = self.enqueue()
            woken.wait(PROMPT if self.queue.wakeup else QUIET)
            assert self.claimed_refs() == [entry.ref]

    def test_watcher_that_left_is_not_called(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            pass
        woken.clear()
        self.enqueue()
        assert not woken.wait(QUIET)

    def test_two_watchers_are_both_woken(self) -> None:
        first, second = Event(), Event()
        with self.queue.watch(first.set), self.queue.watch(second.set):
            self.enqueue()
            if self.queue.wakeup:
                assert first.wait(PROMPT)
                assert second.wait(PROMPT)
