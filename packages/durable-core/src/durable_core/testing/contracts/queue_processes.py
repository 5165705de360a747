"""Several processes on one queue, some of which die. Threads stand in where the backend lives in one process."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from durable_core.ports import new_id
from durable_core.testing.contracts.base import PATIENCE
from durable_core.testing.contracts.queue_base import QueueCases, an_entry
from durable_core.testing.processes import Gone

if TYPE_CHECKING:
    from collections.abc import Callable


class ProcessCases(QueueCases):
    def test_entries_of_many_processes_are_claimed_once_by_many(self) -> None:
        parts = [[an_entry() for _ in range(20)] for _ in range(3)]
        with self.others(3) as others:
            self.in_threads([partial(other.enqueue, part) for other, part in zip(others, parts, strict=True)])
            claimed = self.in_threads([partial(self.drain, other) for other in others])
        assert sorted(ref for refs in claimed for ref in refs) == sorted(e.ref for part in parts for e in part)

    def test_claims_of_a_killed_process_are_given_back_with_its_worker(self) -> None:
        dead = new_id()
        first, second, third = (self.enqueue() for _ in range(3))
        with self.others(1) as [other]:
            self.claim(dead, by=other, runs=2)
            other.kill()
        assert self.claimed_refs() == [third.ref]
        assert {entry.ref for entry in self.queue.release_dead([dead])} == {first.ref, second.ref}
        assert {(claim.entry.ref, claim.deliveries) for claim in self.claim()} == {(first.ref, 2), (second.ref, 2)}

    def test_process_killed_in_the_middle_of_its_claims_holds_up_nothing_for_longer_than_a_lease(self) -> None:
        entries = [an_entry() for _ in range(100)]
        self.queue.enqueue(entries)
        begun = Event()
        with self.others(1) as [other]:

            def work() -> None:
                dead = new_id()
                with suppress(Gone):
                    while self.claim(dead, by=other, runs=1):
                        begun.set()

            def kill() -> None:
                assert begun.wait(PATIENCE)
                other.kill()

            works: list[Callable[[], None]] = [work, kill]
            self.in_threads(works)
        self.pass_time(1.2 * self.lease)
        assert sorted(self.claimed_refs()) == sorted(entry.ref for entry in entries)

    def test_process_that_was_paused_past_its_lease_cannot_end_what_another_holds(self) -> None:
        self.enqueue()
        with self.others(1) as [other]:
            lost = self.claim(new_id(), by=other)
            self.pass_time(1.2 * self.lease)
            current = self.claim()
            other.complete(lost)
            other.release(lost)
            assert self.totals() == (0, 1, 0)
        self.queue.complete(current)
        assert self.totals() == (0, 0, 0)

    def test_queue_goes_on_in_a_process_that_forked_and_in_its_child(self) -> None:
        entries = [an_entry() for _ in range(41)]
        self.queue.enqueue(entries)
        with self.others(1) as [other]:
            before = self.claim(by=other, runs=1)
            child = other.fork()
            claimed = self.in_threads([partial(self.drain, process) for process in (other, child)])
            other.complete(before)
        refs = [before[0].entry.ref, *(ref for refs in claimed for ref in refs)]
        assert sorted(refs) == sorted(entry.ref for entry in entries)
        assert sum(self.totals()) == 40

    def test_watcher_hears_of_entries_of_other_processes_where_wakeup_is_promised(self) -> None:
        woken = Event()
        with self.others(1) as [other], self.queue.watch(woken.set):
            for _ in range(3):  # the first may have been the call that tells a watcher to look around
                woken.clear()
                other.enqueue([an_entry()])
                assert self.is_woken(woken) == self.queue.wakeup
