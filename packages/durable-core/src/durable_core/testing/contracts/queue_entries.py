"""Which entries are ready, and which of them first."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from durable_core.ports import EntryKind, new_id
from durable_core.testing.contracts.queue_base import QueueCases, an_entry


class EntryCases(QueueCases):
    def test_empty_queue_gives_nothing_at_once(self) -> None:
        begun = monotonic()
        assert self.claim() == []
        assert monotonic() - begun < self.at_once

    def test_entry_is_claimed_as_it_was_enqueued(self) -> None:
        entry = self.enqueue(kind=EntryKind.ACTIVITY, queue="mail", priority=3)
        (claim,) = self.claim()
        assert (claim.entry.kind, claim.entry.ref) == (entry.kind, entry.ref)
        assert (claim.entry.queue, claim.entry.priority) == ("mail", 3)
        assert claim.deliveries == 1

    def test_names_of_queues_are_text_and_nothing_else(self) -> None:
        name = 'd\'été:{*}; DROP TABLE queue; -- %s "x"'
        entry = self.enqueue(queue=name)
        assert self.claimed_refs(queues=["default"]) == []
        assert self.claimed_refs(exclude=[name]) == []
        assert self.stats().keys() == {name}
        (claim,) = self.claim(queues=[name])
        assert (claim.entry.ref, claim.entry.queue) == (entry.ref, name)

    def test_names_of_queues_may_have_200_characters(self) -> None:
        first, second = "ü" * 200, "ü" * 199 + "u"
        entry = self.enqueue(queue=first)
        assert self.claimed_refs(queues=[second]) == []
        (claim,) = self.claim(queues=[first])
        assert (claim.entry.ref, claim.entry.queue) == (entry.ref, first)

    def test_oldest_entry_comes_first(self) -> None:
        refs = [self.enqueue().ref for _ in range(5)]
        assert self.claimed_refs() == refs

    def test_entries_of_one_call_keep_their_order(self) -> None:
        entries = [an_entry() for _ in range(20)]
        self.queue.enqueue(entries)
        assert self.claimed_refs() == [entry.ref for entry in entries]

    def test_enqueueing_nothing_is_fine(self) -> None:
        self.queue.enqueue([])
        assert self.claim() == []

    def test_entries_may_come_from_a_generator(self) -> None:
        entries = [an_entry() for _ in range(3)]
        self.queue.enqueue(entry for entry in entries)
        assert self.claimed_refs() == [entry.ref for entry in entries]

    def test_thousands_of_entries_may_come_and_go_at_once(self) -> None:
        entries = [an_entry() for _ in range(3000)]
        self.queue.enqueue(entries)
        refs = []
        while claims := self.claim():
            refs += [claim.entry.ref for claim in claims]
            self.queue.complete(claims)
        # In two steps: in CI pytest would look for minutes for what is alike in two lists of thousands of ids.
        is_in_order = refs == [entry.ref for entry in entries]
        assert is_in_order, f"{len(refs)} of {len(entries)} entries, or not in their order"
        assert self.totals() == (0, 0, 0)

    def test_higher_priority_comes_first(self) -> None:
        low, high, normal = (self.enqueue(priority=priority).ref for priority in (-5, 5, 0))
        assert self.claimed_refs() == [high, normal, low]

    def test_priorities_have_16_bits(self) -> None:
        refs = [self.enqueue(priority=priority).ref for priority in (-32768, -1, 1, 32767)]
        claims = self.claim()
        assert [claim.entry.ref for claim in claims] == refs[::-1]
        assert [claim.entry.priority for claim in claims] == [32767, 1, -1, -32768]

    def test_priority_wins_when_there_is_room_for_one(self) -> None:
        self.enqueue()
        high = self.enqueue(priority=1)
        assert self.claimed_refs(runs=1) == [high.ref]

    def test_equal_priorities_keep_their_order(self) -> None:
        refs = [self.enqueue(priority=2).ref for _ in range(5)]
        assert self.claimed_refs() == refs

    def test_priority_and_age_count_across_queues(self) -> None:
        first, second, high = self.enqueue(queue="a"), self.enqueue(queue="b"), self.enqueue(queue="b", priority=1)
        assert self.claimed_refs(runs=1) == [high.ref]
        assert self.claimed_refs(runs=1) == [first.ref]
        assert self.claimed_refs(runs=1) == [second.ref]

    def test_each_kind_has_its_own_limit(self) -> None:
        for _ in range(4):
            self.enqueue(kind=EntryKind.RUN)
            self.enqueue(kind=EntryKind.ACTIVITY)
        kinds = [claim.entry.kind for claim in self.claim(runs=3, activities=1)]
        assert (kinds.count(EntryKind.RUN), kinds.count(EntryKind.ACTIVITY)) == (3, 1)

    def test_limit_of_zero_takes_nothing(self) -> None:
        run, activity = self.enqueue(kind=EntryKind.RUN), self.enqueue(kind=EntryKind.ACTIVITY)
        assert self.claimed_refs(runs=0) == [activity.ref]
        assert self.claimed_refs(activities=0) == [run.ref]

    def test_kind_that_is_not_asked_for_is_not_taken(self) -> None:
        self.enqueue(kind=EntryKind.ACTIVITY)
        assert self.queue.claim(self.me, {EntryKind.RUN: 5}, queues=(), exclude=()) == []
        assert self.queue.claim(self.me, {}, queues=(), exclude=()) == []

    def test_what_is_over_the_limit_is_left_for_the_next(self) -> None:
        refs = [self.enqueue().ref for _ in range(5)]
        assert [self.claimed_refs(runs=2) for _ in range(4)] == [refs[:2], refs[2:4], refs[4:], []]

    # Named queues

    def test_no_names_mean_all_queues(self) -> None:
        refs = {self.enqueue(queue=queue).ref for queue in ("default", "mail", "slow")}
        assert set(self.claimed_refs()) == refs

    def test_only_the_named_queues_are_served(self) -> None:
        mail, slow = self.enqueue(queue="mail"), self.enqueue(queue="slow")
        self.enqueue(queue="default")
        assert set(self.claimed_refs(queues=["mail", "slow", "absent"])) == {mail.ref, slow.ref}

    def test_excluded_queues_are_left_alone(self) -> None:
        rest = self.enqueue(queue="default")
        self.enqueue(queue="slow")
        assert self.claimed_refs(exclude=frozenset(("slow", "absent"))) == [rest.ref]

    def test_entries_of_other_queues_do_not_use_up_the_limit(self) -> None:
        for _ in range(30):
            self.enqueue(queue="slow", priority=9)
        entry = self.enqueue(queue="mail")
        assert self.claimed_refs(queues=["mail"], runs=1) == [entry.ref]

    # Delay

    def test_delayed_entry_is_claimed_after_its_delay(self) -> None:
        entry = an_entry()
        self.queue.enqueue([entry], delay=timedelta(seconds=self.delay))
        assert self.claim() == []
        self.pass_time(1.5 * self.delay)
        assert self.claimed_refs() == [entry.ref]

    def test_no_delay_is_no_delay(self) -> None:
        entry = an_entry()
        self.queue.enqueue([entry], delay=timedelta())
        assert self.claimed_refs() == [entry.ref]

    def test_delayed_entry_does_not_hold_up_others(self) -> None:
        self.queue.enqueue([an_entry(priority=9)], delay=timedelta(hours=1))
        entry = self.enqueue()
        assert self.claimed_refs() == [entry.ref]

    # Duplicates

    def test_same_entry_may_be_enqueued_twice(self) -> None:
        entry = an_entry()
        self.queue.enqueue([entry, entry])
        assert set(self.claimed_refs()) == {entry.ref}

    def test_twin_of_a_claimed_entry_can_be_claimed(self) -> None:
        """What happened after the claim may not have been seen by its holder."""
        entry = self.enqueue()
        self.claim()
        self.queue.enqueue([entry])
        assert self.claimed_refs(new_id()) == [entry.ref]

    def test_completing_one_twin_leaves_the_other(self) -> None:
        entry = self.enqueue()
        first = self.claim()
        self.queue.enqueue([entry])
        self.queue.complete(first)
        assert self.claimed_refs() == [entry.ref]

    def test_twin_of_a_delayed_entry_is_ready_at_once(self) -> None:
        entry = an_entry()
        self.queue.enqueue([entry], delay=timedelta(hours=1))
        self.queue.enqueue([entry])
        assert self.claimed_refs() == [entry.ref]

    def test_run_and_activity_of_one_id_are_no_twins(self) -> None:
        ref = new_id()
        self.queue.enqueue([an_entry(kind=kind, ref=ref) for kind in EntryKind])
        assert {claim.entry.kind for claim in self.claim()} == set(EntryKind)

    def test_twin_of_an_entry_whose_lease_ended_outlives_its_late_completion(self) -> None:
        """The late one has not seen what the twin stands for."""
        entry = self.enqueue()
        late = self.claim()
        self.pass_time(1.2 * self.lease)
        self.queue.enqueue([entry])
        self.queue.complete(late)
        assert set(self.claimed_refs(new_id())) == {entry.ref}

    def test_twin_of_an_entry_of_a_dead_worker_outlives_its_late_completion(self) -> None:
        dead = new_id()
        entry = self.enqueue()
        late = self.claim(dead)
        self.queue.release_dead([dead])
        self.queue.enqueue([entry])
        self.queue.complete(late)
        assert set(self.claimed_refs()) == {entry.ref}

    # Preferred workers

    def test_others_leave_an_entry_to_its_preferred_worker(self) -> None:
        entry = self.enqueue(preferred=self.me)
        assert self.claimed_refs(new_id()) == []
        assert self.claimed_refs(self.me) == [entry.ref]

    def test_others_may_claim_when_the_preference_is_over(self) -> None:
        entry = self.enqueue(preferred=new_id())
        self.pass_time(1.2 * self.preference)
        assert self.claimed_refs(self.me) == [entry.ref]

    def test_preference_counts_from_when_the_entry_is_ready(self) -> None:
        entry = an_entry(preferred=self.me)
        self.queue.enqueue([entry], delay=timedelta(seconds=self.delay))
        self.pass_time(self.delay + 0.3 * self.preference)
        assert self.claim(new_id()) == []
        assert self.claimed_refs(self.me) == [entry.ref]

    def test_entry_is_left_to_its_preferred_worker_once(self) -> None:
        """Whoever had it and let its lease end has had the first choice."""
        entry = self.enqueue(preferred=self.me)
        self.claim(self.me)
        self.pass_time(1.2 * self.lease)
        assert self.claimed_refs(new_id()) == [entry.ref]

    def test_what_another_worker_is_preferred_for_does_not_use_up_the_limit(self) -> None:
        entry = an_entry()
        # At once, or the second that they are kept for might pass on the way.
        self.queue.enqueue([*[an_entry(preferred=self.me, priority=9) for _ in range(30)], entry])
        assert self.claimed_refs(new_id(), runs=1) == [entry.ref]

    def test_preferred_worker_that_does_not_serve_the_queue_does_not_get_the_entry(self) -> None:
        self.enqueue(preferred=self.me, queue="slow")
        assert self.claim(self.me, queues=["default"]) == []
