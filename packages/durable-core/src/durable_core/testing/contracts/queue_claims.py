"""A claim holds an entry until it is completed, released or lost."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from durable_core.ports import DEFAULT_QUEUE, new_id, private_queue
from durable_core.testing.contracts.queue_base import QueueCases, an_entry


class ClaimCases(QueueCases):
    def test_claimed_entry_is_not_claimed_twice(self) -> None:
        self.enqueue()
        assert len(self.claim()) == 1
        assert self.claim() == []
        assert self.claim(new_id()) == []

    def test_eight_threads_claim_every_entry_once(self) -> None:
        entries = [an_entry() for _ in range(80)]
        self.queue.enqueue(entries)
        claimed = self.in_threads([self.drain] * 8)
        assert sorted(ref for refs in claimed for ref in refs) == sorted(entry.ref for entry in entries)

    def test_threads_may_enqueue_side_by_side(self) -> None:
        entries = [an_entry() for _ in range(40)]
        works = [lambda part=entries[n::8]: self.queue.enqueue(part) for n in range(8)]
        self.in_threads(works)
        assert sorted(self.claimed_refs()) == sorted(entry.ref for entry in entries)

    def test_claim_of_one_thread_may_be_ended_by_another(self) -> None:
        self.enqueue()
        entry = self.enqueue()
        first, second = self.claim()
        works = [partial(self.queue.complete, [first]), partial(self.queue.release, [second])]
        self.in_threads(works)
        assert self.claimed_refs() == [entry.ref]

    def test_completed_entry_is_gone(self) -> None:
        self.enqueue()
        self.queue.complete(self.claim())
        self.pass_time(1.2 * self.lease)
        assert self.claim() == []
        assert self.totals() == (0, 0, 0)

    def test_completing_some_claims_leaves_the_others(self) -> None:
        self.queue.enqueue([an_entry() for _ in range(3)])
        first, second, third = self.claim()
        self.queue.complete([first, third])
        assert self.totals() == (0, 1, 0)
        self.queue.release([second])
        assert self.claimed_refs() == [second.entry.ref]

    def test_completing_or_releasing_nothing_is_fine(self) -> None:
        self.queue.complete([])
        self.queue.release([])
        assert self.totals() == (0, 0, 0)

    def test_completing_twice_is_harmless(self) -> None:
        self.enqueue()
        other = self.enqueue()
        claims = self.claim(runs=1)
        self.queue.complete(claims)
        self.queue.complete(claims)
        assert self.claimed_refs() == [other.ref]

    def test_released_entry_can_be_claimed_by_anybody_at_once(self) -> None:
        entry = self.enqueue(preferred=self.me)
        self.queue.release(self.claim(self.me))
        assert self.claimed_refs(new_id()) == [entry.ref]

    def test_released_entry_is_the_one_that_was_enqueued(self) -> None:
        entry = self.enqueue(queue="mail", priority=7)
        self.queue.release(self.claim())
        (claim,) = self.claim()
        assert (claim.entry.kind, claim.entry.ref) == (entry.kind, entry.ref)
        assert (claim.entry.queue, claim.entry.priority) == ("mail", 7)

    def test_released_entry_counts_as_delivered_before(self) -> None:
        self.enqueue()
        self.queue.release(self.claim())
        (claim,) = self.claim()
        assert claim.deliveries == 2

    def test_entry_released_with_a_delay_is_claimed_after_it(self) -> None:
        entry = self.enqueue()
        self.queue.release(self.claim(), delay=timedelta(seconds=self.delay))
        assert self.claim() == []
        self.pass_time(1.5 * self.delay)
        assert self.claimed_refs() == [entry.ref]

    # Leases

    def test_claim_holds_until_its_lease_ends(self) -> None:
        self.enqueue()
        self.claim()
        self.pass_time(0.5 * self.lease)
        assert self.claim(new_id()) == []

    def test_entry_is_delivered_again_when_its_lease_ends(self) -> None:
        entry = self.enqueue()
        self.claim()
        self.pass_time(1.2 * self.lease)
        (claim,) = self.claim(new_id())
        assert (claim.entry.ref, claim.deliveries) == (entry.ref, 2)

    def test_deliveries_are_counted(self) -> None:
        self.enqueue()
        counts = []
        for _ in range(3):
            (claim,) = self.claim()
            counts.append(claim.deliveries)
            self.pass_time(1.2 * self.lease)
        assert counts == [1, 2, 3]

    def test_completing_a_lost_claim_does_not_take_the_entry_from_its_holder(self) -> None:
        entry = self.enqueue()
        lost = self.claim()
        self.pass_time(1.2 * self.lease)
        current = self.claim(new_id())
        self.queue.complete(lost)
        assert self.totals() == (0, 1, 0)
        self.queue.release(current)
        assert self.claimed_refs() == [entry.ref]

    def test_releasing_a_lost_claim_does_not_take_the_entry_from_its_holder(self) -> None:
        self.enqueue()
        lost = self.claim()
        self.pass_time(1.2 * self.lease)
        current = self.claim(new_id())
        self.queue.release(lost)
        assert self.claim() == []
        self.queue.complete(current)
        assert self.totals() == (0, 0, 0)

    def test_lost_claim_does_not_stop_the_others_of_its_batch(self) -> None:
        self.enqueue(queue="lost")
        lost = self.claim()
        self.pass_time(1.2 * self.lease)
        self.claim(new_id())
        done, given_back = self.enqueue(), self.enqueue()
        first, second = self.claim()
        self.queue.complete([*lost, first])
        self.queue.release([*lost, second])
        assert (first.entry.ref, self.claimed_refs()) == (done.ref, [given_back.ref])
        assert self.totals() == (0, 2, 0)

    # Dead workers

    def test_entries_of_dead_workers_are_given_back_and_answered(self) -> None:
        dead, also_dead = new_id(), new_id()
        entries = [self.enqueue(queue=queue, priority=4) for queue in ("a", "b", "c")]
        self.claim(dead, runs=1)
        self.claim(also_dead)
        released = self.queue.release_dead([dead, also_dead])
        assert sorted(entry.ref for entry in released) == sorted(entry.ref for entry in entries)
        assert {(entry.queue, entry.priority) for entry in released} == {("a", 4), ("b", 4), ("c", 4)}
        assert sorted(self.claimed_refs()) == sorted(entry.ref for entry in entries)

    def test_entries_of_the_living_stay_with_them(self) -> None:
        dead = new_id()
        held, left = self.enqueue(), self.enqueue()
        mine = self.claim(self.me, runs=1)
        self.claim(dead)
        assert [entry.ref for entry in self.queue.release_dead([dead])] == [left.ref]
        assert self.claimed_refs(new_id()) == [left.ref]
        assert [claim.entry.ref for claim in mine] == [held.ref]

    def test_entry_of_a_dead_worker_counts_as_delivered_before(self) -> None:
        dead = new_id()
        self.enqueue(preferred=dead)
        self.claim(dead)
        self.queue.release_dead([dead])
        (claim,) = self.claim()
        assert claim.deliveries == 2

    def test_what_a_dead_worker_had_lost_stays_with_its_new_holder(self) -> None:
        dead = new_id()
        self.enqueue()
        self.claim(dead)
        self.pass_time(1.2 * self.lease)
        current = self.claim()
        assert self.queue.release_dead([dead]) == []
        assert self.claim(new_id()) == []
        self.queue.complete(current)
        assert self.totals() == (0, 0, 0)

    def test_worker_that_was_taken_for_dead_cannot_end_what_another_holds(self) -> None:
        entry = self.enqueue()
        lost = self.claim(undead := new_id())
        self.queue.release_dead([undead])
        current = self.claim()
        self.queue.complete(lost)
        self.queue.release(lost)
        assert self.totals() == (0, 1, 0)
        self.queue.release(current)
        assert self.claimed_refs() == [entry.ref]

    def test_dead_worker_is_relieved_once(self) -> None:
        dead = new_id()
        self.enqueue()
        self.claim(dead)
        assert len(self.queue.release_dead([dead])) == 1
        assert self.queue.release_dead([dead]) == []

    def test_what_a_dead_worker_had_done_is_not_given_back(self) -> None:
        dead = new_id()
        self.enqueue()
        self.queue.complete(self.claim(dead))
        assert self.queue.release_dead([dead]) == []
        assert self.claim() == []

    def test_unknown_workers_have_nothing_to_give_back(self) -> None:
        self.enqueue()
        self.claim()
        assert self.queue.release_dead([new_id()]) == []
        assert self.queue.release_dead([]) == []
        assert self.totals() == (0, 1, 0)

    # Private queues

    def test_private_queue_is_served_only_by_those_that_name_it(self) -> None:
        owner = new_id()
        entry = self.enqueue(queue=private_queue(owner))
        assert self.claim(new_id()) == []
        assert self.claim(owner, exclude=["slow"]) == []
        assert self.claimed_refs(owner, queues=[private_queue(owner)]) == [entry.ref]

    def test_private_queue_of_a_dead_worker_goes_to_the_default_queue(self) -> None:
        dead, other = new_id(), new_id()
        waiting = self.enqueue(queue=private_queue(dead))
        held = self.enqueue(queue=private_queue(dead), priority=1)
        others = self.enqueue(queue=private_queue(other))
        self.claim(dead, queues=[private_queue(dead)], runs=1)
        assert [entry.ref for entry in self.queue.release_dead([dead])] == [held.ref]
        claims = self.claim(new_id())
        assert [(claim.entry.ref, claim.entry.queue) for claim in claims] == [
            (held.ref, DEFAULT_QUEUE),
            (waiting.ref, DEFAULT_QUEUE),
        ]
        assert self.claimed_refs(queues=[private_queue(other)]) == [others.ref]

    def test_delayed_entry_in_the_private_queue_of_a_dead_worker_is_not_forgotten(self) -> None:
        dead = new_id()
        entry = an_entry(queue=private_queue(dead))
        self.queue.enqueue([entry], delay=timedelta(seconds=self.delay))
        assert self.queue.release_dead([dead]) == []
        assert self.claim() == []
        self.pass_time(1.5 * self.delay)
        (claim,) = self.claim()
        assert (claim.entry.ref, claim.entry.queue) == (entry.ref, DEFAULT_QUEUE)
