"""What can be seen of a queue from outside: its numbers, and that something came."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

from durable_core.ports import new_id, private_queue
from durable_core.testing.contracts.queue_base import QueueCases, an_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from durable_core.ports import Claim, Entry


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

    def test_each_queue_with_entries_is_told_once_and_by_name(self) -> None:
        private = private_queue(new_id())
        for queue in ("slow", private, "mail", "slow"):
            self.enqueue(queue=queue, priority=len(queue))
        self.queue.enqueue([an_entry(queue="later")], delay=timedelta(hours=1))
        self.enqueue(queue="gone")
        self.queue.complete(self.claim(queues=["gone"]))
        assert [stats.queue for stats in self.queue.stats()] == sorted(["slow", private, "mail", "later"])

    def test_what_is_due_counts_as_ready(self) -> None:
        self.enqueue()
        self.claim()
        self.queue.enqueue([an_entry()], delay=timedelta(seconds=self.delay))
        assert self.totals() == (0, 1, 1)
        self.pass_time(max(1.2 * self.lease, 1.5 * self.delay))
        assert self.totals() == (2, 0, 0)

    def test_age_of_the_oldest_ready_entry_is_told(self) -> None:
        self.enqueue(queue="mail")
        self.pass_time(0.2)
        self.enqueue(queue="mail")
        oldest = self.stats()["mail"].oldest_ready
        assert oldest is not None
        assert timedelta(seconds=0.1) <= oldest <= timedelta(seconds=60)

    def test_age_counts_from_when_an_entry_was_ready(self) -> None:
        self.enqueue(queue="now")
        self.queue.enqueue([an_entry(queue="later")], delay=timedelta(seconds=self.delay))
        self.pass_time(1.5 * self.delay)
        now, later = self.stats()["now"].oldest_ready, self.stats()["later"].oldest_ready
        assert now is not None
        assert later is not None
        assert now - later >= timedelta(seconds=0.5 * self.delay)

    def test_queue_without_ready_entries_has_no_oldest(self) -> None:
        self.enqueue(queue="mail")
        self.claim()
        assert self.stats()["mail"].oldest_ready is None

    def test_empty_queue_counts_nothing(self) -> None:
        assert self.totals() == (0, 0, 0)
        self.enqueue()
        self.queue.complete(self.claim())
        assert self.totals() == (0, 0, 0)

    # Wake-ups

    def test_watcher_is_woken_by_entries_where_wakeup_is_promised(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            for _ in range(3):  # the first may have been the call that tells a watcher to look around
                woken.clear()
                self.enqueue()
                assert self.is_woken(woken) == self.queue.wakeup

    def test_watcher_is_woken_by_entries_of_other_threads(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            for _ in range(3):
                woken.clear()
                self.in_threads([self.enqueue])
                assert self.is_woken(woken) == self.queue.wakeup

    def test_entry_that_comes_during_a_claim_is_in_it_or_wakes(self) -> None:
        """Whoever was told of nothing after a claim that found nothing sleeps."""
        woken = Event()
        works: Sequence[Callable[[], Entry | list[Claim]]] = [self.enqueue, self.claim]
        with self.queue.watch(woken.set):
            for _ in range(10):
                woken.clear()
                _, claims = self.in_threads(works)
                assert claims or self.is_woken(woken) == self.queue.wakeup
                claims = claims or self.claim()
                assert len(claims) == 1
                self.queue.complete(claims)  # or its lease might end on a slow machine

    def test_worker_that_sleeps_until_it_is_woken_gets_every_entry(self) -> None:
        entries = [an_entry() for _ in range(20)]
        woken = Event()
        refs: list[UUID] = []

        def work() -> None:
            while True:
                woken.clear()
                refs.extend(self.claimed_refs())
                if len(refs) == len(entries):
                    return
                assert self.is_woken(woken) == self.queue.wakeup

        def feed() -> None:
            for entry in entries:
                self.queue.enqueue([entry])

        with self.queue.watch(woken.set):
            self.in_threads([work, feed])
        assert refs == [entry.ref for entry in entries]

    def test_watcher_that_left_is_not_called(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            pass
        woken.clear()
        self.enqueue()
        assert not woken.wait(self.quiet)

    def test_watcher_may_come_back(self) -> None:
        woken = Event()
        for _ in range(2):
            with self.queue.watch(woken.set):
                for _ in range(2):
                    woken.clear()
                    self.enqueue()
                    assert self.is_woken(woken) == self.queue.wakeup

    def test_two_watchers_are_both_woken(self) -> None:
        first, second = Event(), Event()
        with self.queue.watch(first.set), self.queue.watch(second.set):
            for _ in range(2):
                first.clear()
                second.clear()
                self.enqueue()
                assert self.is_woken(first) == self.is_woken(second) == self.queue.wakeup

    def test_watcher_that_leaves_takes_no_other_with_it(self) -> None:
        first, second = Event(), Event()
        with self.queue.watch(first.set):
            with self.queue.watch(second.set):
                pass
            for _ in range(2):
                first.clear()
                self.enqueue()
                assert self.is_woken(first) == self.queue.wakeup
