"""Runs are created, read, locked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from durable_core.codec import Payload
from durable_core.execution import Status
from durable_core.ports import Verdict, new_id
from durable_core.testing.contracts.builders import HOUR, StoreCases, a_letter, a_run


class RunCases(StoreCases):
    def test_run_says_from_which_it_was_forked(self) -> None:
        origin = self.start()
        fork = self.start(forked_from=origin)
        assert [self.record_of(run).forked_from for run in (origin, fork)] == [None, origin]
        assert self.store.load([fork])[fork].record.forked_from == origin

    def test_new_run_is_pending_with_all_it_was_given(self) -> None:
        parent = self.start()
        start_at, deadline, before = self.later(), self.later(2 * HOUR), self.store.now()
        run = a_run(
            workflow_id="user-7",
            queue="slow",
            priority=-5,
            start_at=start_at,
            deadline=deadline,
            timeout=timedelta(seconds=0.1),
            parent_id=parent,
            parent_call_id="4.1",
        )
        (created,) = self.store.create([run])
        assert created == (run.id, True, run.workflow_name, run.input)
        record = self.record_of(run.id)
        assert (record.id, record.workflow_name, record.workflow_id) == (run.id, "onboard", "user-7")
        assert (record.status, record.version, record.history_length) == (Status.PENDING, 0, 0)
        assert (record.input, record.result, record.error) == (run.input, None, "")
        assert (record.queue, record.priority) == ("slow", -5)
        assert (record.start_at, record.deadline, record.timeout) == (start_at, deadline, timedelta(seconds=0.1))
        assert (record.parent_id, record.parent_call_id) == (parent, "4.1")
        assert (record.worker_id, record.failures, record.crashes) == (None, 0, 0)
        assert before - HOUR < record.created_at < before + HOUR
        assert record.created_at.utcoffset() is not None

    def test_several_runs_are_created_in_the_order_given(self) -> None:
        runs = [a_run() for _ in range(3)]
        assert [created.run_id for created in self.store.create(runs)] == [run.id for run in runs]

    def test_creating_nothing_answers_nothing(self) -> None:
        assert self.store.create([]) == []

    def test_open_run_keeps_its_workflow_id(self) -> None:
        first = self.start(workflow_id="user-7", input=Payload('{"user_id":1}'))
        late = a_run(workflow_id="user-7", workflow_name="other")
        (created,) = self.store.create([late])
        assert created == (first, False, "onboard", '{"user_id":1}')
        assert self.store.get(late.id) is None

    def test_one_taken_workflow_id_does_not_stop_the_others(self) -> None:
        first = self.start(workflow_id="user-7")
        taken, free, plain = a_run(workflow_id="user-7"), a_run(workflow_id="user-8"), a_run()
        created = self.store.create([taken, free, plain])
        assert [one.run_id for one in created] == [first, free.id, plain.id]
        assert [one.created for one in created] == [False, True, True]

    def test_same_workflow_id_twice_in_one_call_makes_one_run(self) -> None:
        first, second = self.store.create([a_run(workflow_id="user-7"), a_run(workflow_id="user-7")])
        assert (first.created, second.created) == (True, False)
        assert first.run_id == second.run_id

    def test_workflow_id_is_free_again_after_close(self) -> None:
        first = self.start(workflow_id="user-7")
        self.close(first)
        second = self.start(workflow_id="user-7")
        assert second != first
        assert self.record_of(first).workflow_id == "user-7"

    def test_newest_run_of_a_chain_is_found_by_any_of_them(self) -> None:
        alone = self.start()
        first = self.start(workflow_id="user-7", parent_id=alone, cancel_with_parent=False)
        second = self.continue_as_new(first, cancel_with_parent=False)
        third = self.continue_as_new(second)
        for run_id in (first, second, third):
            newest = self.store.newest(run_id)
            assert newest is not None
            assert (newest.id, newest.chain_id, newest.workflow_id) == (third, first, "user-7")
            assert newest == self.record_of(third)
        self.close(third)
        newest = self.store.newest(first)
        assert newest is not None
        assert (newest.id, newest.status) == (third, Status.COMPLETED)
        assert self.store.newest(alone) == self.record_of(alone)
        assert self.store.newest(new_id()) is None
        assert [self.record_of(run_id).cancel_with_parent for run_id in (first, second, third)] == [False, False, True]

    def test_runs_without_workflow_id_do_not_collide(self) -> None:
        assert self.start() != self.start()

    def test_concurrent_creates_with_one_workflow_id_make_one_run(self) -> None:
        self.start()  # a store may prepare itself on first use; that is not what this is about

        def create() -> tuple[UUID, bool]:
            (created,) = self.store.create([a_run(workflow_id="user-7")])
            return created.run_id, created.created

        answers = self.in_threads([create] * 8)
        assert len({run_id for run_id, _ in answers}) == 1
        assert sum(is_new for _, is_new in answers) == 1

    def test_unknown_run_is_none(self) -> None:
        assert self.store.get(new_id()) is None

    def test_load_gives_record_history_and_mail_of_each_run(self) -> None:
        one, other = self.start(), self.start()
        self.commit(one, "workflow_started", "activity_scheduled")
        self.deliver(a_letter(one, "a"))
        loaded = self.store.load([one, other])
        assert loaded.keys() == {one, other}
        assert loaded[one].record == self.record_of(one)
        assert [(event.seq, event.type) for event in loaded[one].events] == [
            (1, "workflow_started"),
            (2, "activity_scheduled"),
        ]
        assert [mail.type for mail in loaded[one].mail] == ["signal_received"]
        assert (loaded[other].events, loaded[other].mail) == ([], [])

    def test_load_leaves_out_unknown_runs(self) -> None:
        known = self.start()
        assert self.store.load([known, new_id()]).keys() == {known}
        assert self.store.load([]) == {}

    def test_load_gives_closed_runs_too(self) -> None:
        run_id = self.start()
        self.close(run_id)
        assert self.store.load([run_id])[run_id].record.status is Status.COMPLETED

    def test_unread_gives_the_mail_of_the_runs_asked_for(self) -> None:
        one, other, quiet = self.start(), self.start(), self.start()
        self.deliver(a_letter(one, "a"), a_letter(other, "b"), a_letter(one, "c"))
        unread = self.store.unread({one: 0, quiet: 0})
        assert [mail.details for mail in unread[one]] == [a_letter(one, "a").details, a_letter(one, "c").details]
        assert unread[quiet] == []
        assert other not in unread

    def test_unread_leaves_out_runs_that_somebody_has_gone_on_with(self) -> None:
        moved, closed, there = self.start(), self.start(), self.start()
        self.commit(moved, "workflow_started")
        self.close(closed)
        self.deliver(a_letter(moved), a_letter(there))
        unread = self.store.unread({moved: 0, closed: 0, there: 0, new_id(): 0})
        assert unread.keys() == {there}
        assert len(self.store.unread({moved: 1})[moved]) == 1

    def test_lock_gives_record_last_event_and_mail(self) -> None:
        run_id = self.start()
        with self.store.transaction():
            assert (fresh := self.store.lock(run_id)) is not None
            assert fresh.events == []
        self.commit(run_id, "workflow_started", "timer_started")
        self.deliver(a_letter(run_id))
        with self.store.transaction():
            locked = self.store.lock(run_id)
            assert locked is not None
            assert locked.record == self.record_of(run_id)
            assert locked.events == self.store.load([run_id])[run_id].events[-1:]
            assert [event.seq for event in locked.events] == [2]
            assert [mail.type for mail in locked.mail] == ["signal_received"]

    def test_lock_of_an_unknown_run_is_none(self) -> None:
        with self.store.transaction():
            assert self.store.lock(new_id()) is None

    def test_locked_run_can_be_decided_in_the_same_transaction(self) -> None:
        run_id = self.start()
        with self.store.transaction():
            self.store.lock(run_id)
            assert self.commit(run_id, "workflow_started").verdict is Verdict.COMMITTED
        assert self.event_types(run_id) == ["workflow_started"]

    def test_children_are_the_open_ones_that_go_down_with_their_parent(self) -> None:
        parent = self.start()
        child = self.start(parent_id=parent, parent_call_id="0")
        self.start(parent_id=parent, parent_call_id="1", cancel_with_parent=False)
        self.close(self.start(parent_id=parent, parent_call_id="2"))
        self.start(parent_id=child, parent_call_id="0")
        assert self.store.children(parent) == [child]

    def test_annotation_says_what_an_open_run_waits_for(self) -> None:
        run_id = self.start()
        self.commit(run_id, waiting_for='{"kind":"timer"}')
        version = self.record_of(run_id).version
        self.store.annotate({run_id: '{"kind":"activity"}'})
        assert self.read_waiting_for(run_id) == '{"kind":"activity"}'
        assert self.record_of(run_id).version == version  # nothing was decided

    def test_annotation_of_a_closed_run_is_ignored(self) -> None:
        run_id = self.start()
        self.close(run_id)
        self.store.annotate({run_id: '{"kind":"activity"}', new_id(): "{}"})
        assert self.read_waiting_for(run_id) is None

    def test_charge_counts_a_dead_worker_against_each_run(self) -> None:
        charged, other = self.start(), self.start()
        self.store.charge([charged])
        self.store.charge([charged])
        assert self.record_of(charged).crashes == 2
        assert self.record_of(charged).status is Status.PENDING
        assert self.record_of(other).crashes == 0
