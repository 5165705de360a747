"""Mail reaches open runs, in order, or its sender is told."""

from __future__ import annotations

from threading import Event

import pytest

from durable_core.errors import LimitExceeded
from durable_core.execution import Status
from durable_core.ports import MAX_UNREAD, Verdict, Wake, new_id
from durable_core.testing.contracts.base import PATIENCE
from durable_core.testing.contracts.builders import StoreCases, a_letter, a_worker

OVERLAP = 0.1  # seconds for which a transaction stays open so that another may run into it


class MailCases(StoreCases):
    def test_letters_are_kept_in_order(self) -> None:
        run_id = self.start()
        self.deliver(*[a_letter(run_id, f"{n}") for n in range(10)])
        for n in range(10, 20):
            self.deliver(a_letter(run_id, f"{n}"))
        assert self.mail_details(run_id) == [a_letter(run_id, f"{n}").details for n in range(20)]

    def test_letter_is_read_as_it_was_written(self) -> None:
        run_id = self.start()
        letter = a_letter(run_id)._replace(type="activity_completed", call_id="4.1")
        self.deliver(letter)
        (mail,) = self.store.load([run_id])[run_id].mail
        assert (mail.type, mail.call_id, mail.details) == (letter.type, letter.call_id, letter.details)

    def test_delivery_answers_one_wake_for_each_run(self) -> None:
        worker = a_worker()
        self.store.add_worker(worker)
        run_id, other = self.start(queue="slow", priority=3), self.start()
        self.commit(run_id, worker_id=worker.id)
        wakes = self.deliver(a_letter(run_id, "a"), a_letter(other, "b"), a_letter(run_id, "c"))
        assert sorted(wakes) == sorted([Wake(run_id, "slow", 3, worker.id), Wake(other, "default", 0, None)])

    def test_wake_names_no_worker_that_has_left(self) -> None:
        worker, run_id = a_worker(), self.start()
        self.store.add_worker(worker)
        self.commit(run_id, worker_id=worker.id)
        self.store.remove_worker(worker.id)
        assert [wake.worker_id for wake in self.deliver(a_letter(run_id))] == [None]

    def test_closed_run_gets_no_mail_and_no_wake(self) -> None:
        run_id = self.start()
        self.close(run_id)
        assert self.deliver(a_letter(run_id)) == []
        assert self.mail_ids(run_id) == []

    def test_signals_and_cancels_follow_a_run_that_was_continued_as_new(self) -> None:
        first = self.start()
        second = self.continue_as_new(first, a_letter(first, "carried"))
        third = self.continue_as_new(second, a_letter(second, "carried on"), queue="slow", priority=2)
        cancel = a_letter(first)._replace(type="workflow_cancel_requested")
        outcome = a_letter(first)._replace(type="activity_completed", call_id="0")
        sent = [a_letter(first, "a"), outcome, a_letter(third, "b"), a_letter(second, "c"), cancel]
        assert self.deliver(*sent) == [Wake(third, "slow", 2, None)]
        expected = [a_letter(third, "carried on"), sent[0], sent[2], sent[3], sent[4]]
        assert self.mail_details(third) == [letter.details for letter in expected]
        assert self.mail_details(first) == self.mail_details(second) == []
        assert self.deliver(outcome) == []

    def test_letters_of_decisions_follow_too(self) -> None:
        first, other = self.start(), self.start()
        second = self.continue_as_new(first)
        outcome = a_letter(first)._replace(type="child_workflow_completed", call_id="0")
        committed = self.store.commit([self.decision(other, letters=[a_letter(first), outcome])])
        assert [wake.run_id for wake in committed.wakes] == [second]
        assert self.mail_details(second) == [a_letter(second).details]

    def test_mailbox_of_the_newest_run_is_the_one_that_may_be_full(self) -> None:
        first = self.start()
        second = self.continue_as_new(first)
        self.deliver(*[a_letter(second) for _ in range(MAX_UNREAD)])
        with pytest.raises(LimitExceeded):
            self.deliver(a_letter(first))

    def test_closed_chain_gets_no_mail(self) -> None:
        first = self.start()
        self.close(self.continue_as_new(first))
        assert self.deliver(a_letter(first)) == []

    def test_unknown_run_gets_no_wake(self) -> None:
        known = self.start()
        assert [wake.run_id for wake in self.deliver(a_letter(new_id()), a_letter(known))] == [known]

    def test_pending_and_blocked_runs_take_mail(self) -> None:
        pending, blocked = self.start(), self.start()
        self.commit(blocked, status=Status.BLOCKED)
        assert len(self.deliver(a_letter(pending), a_letter(blocked))) == 2

    def test_full_mailbox_takes_no_more_and_nothing_is_written(self) -> None:
        run_id, other = self.start(), self.start()
        self.deliver(*[a_letter(run_id)] * MAX_UNREAD)
        with pytest.raises(LimitExceeded, match="10,000"):
            self.deliver(a_letter(other), a_letter(run_id))
        assert (len(self.mail_ids(run_id)), self.mail_ids(other)) == (MAX_UNREAD, [])

    def test_delivery_changes_no_version(self) -> None:
        run_id = self.start()
        self.deliver(a_letter(run_id))
        assert self.record_of(run_id).version == 0

    def test_concurrent_deliveries_lose_nothing(self) -> None:
        run_id = self.start()
        works = [lambda n=n: self.deliver(a_letter(run_id, f"{n}")) for n in range(8)]
        assert all(len(wakes) == 1 for wakes in self.in_threads(works))
        assert sorted(self.mail_details(run_id)) == sorted(a_letter(run_id, f"{n}").details for n in range(8))

    def test_run_cannot_close_while_a_letter_is_on_its_way(self) -> None:
        run_id = self.start()
        closing = self.decision(run_id, "workflow_completed", status=Status.COMPLETED)
        delivered, decided = Event(), Event()

        def send() -> Verdict | None:
            with self.store.transaction():
                assert len(self.store.deliver([a_letter(run_id)])) == 1
                delivered.set()
                decided.wait(OVERLAP)
            return None

        def close() -> Verdict | None:
            assert delivered.wait(PATIENCE)
            verdict = self.store.commit([closing]).results[run_id].verdict
            decided.set()
            return verdict

        _, verdict = self.in_threads([send, close])
        assert verdict in (Verdict.BUSY, Verdict.UNREAD)
        assert len(self.mail_ids(run_id)) == 1
