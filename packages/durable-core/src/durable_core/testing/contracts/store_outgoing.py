"""Messages from a run to another are delivered with the decision that sends them, or their sender is told."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from durable_core.codec import decode, encode
from durable_core.execution import Status
from durable_core.ports import Letter, Outgoing, Verdict, new_id
from durable_core.testing.contracts.base import PATIENCE
from durable_core.testing.contracts.builders import StoreCases, a_letter

if TYPE_CHECKING:
    from uuid import UUID

OVERLAP = 0.1  # seconds for which a transaction stays open so that another may run into it
DELIVERED = ("external_message_delivered", "0", "{}")


def a_message(run_id: UUID | None = None, workflow_id: str | None = None, call_id: str = "0") -> Outgoing:
    letter = a_letter(run_id or new_id())
    return Outgoing(call_id, run_id, workflow_id, letter.type, letter.details)


def failed(reason: str) -> tuple[str, str, str]:
    return ("external_message_failed", "0", encode({"reason": reason}))


class OutgoingCases(StoreCases):
    def send(self, sender: UUID, *messages: Outgoing) -> list[tuple[str, str | None, str]]:
        """What the sender hears."""
        result = self.commit(sender, outgoing=messages)
        assert result.verdict is Verdict.COMMITTED
        mail = self.store.load([sender])[sender].mail
        assert result.mail == mail  # at once, without being woken
        return [(letter.type, letter.call_id, letter.details) for letter in mail]

    def test_message_reaches_a_run_by_its_id(self) -> None:
        sender, target = self.start(), self.start(queue="slow")
        committed = self.store.commit([self.decision(sender, outgoing=[a_message(target)])])
        assert {wake.run_id: wake.queue for wake in committed.wakes} == {sender: "default", target: "slow"}
        assert self.mail_details(target) == [a_letter(target).details]
        [word] = self.store.load([sender])[sender].mail
        assert (word.type, word.call_id, word.details) == DELIVERED

    def test_message_reaches_the_open_run_with_a_workflow_id(self) -> None:
        sender, closed = self.start(), self.start(workflow_id="w")
        self.close(closed)
        target = self.start(workflow_id="w")
        assert self.send(sender, a_message(workflow_id="w")) == [DELIVERED]
        assert len(self.mail_ids(target)) == 1

    def test_message_reaches_the_newest_run_of_a_chain(self) -> None:
        sender, first = self.start(), self.start()
        newest = self.continue_as_new(first)
        assert self.send(sender, a_message(first)) == [DELIVERED]
        assert len(self.mail_ids(newest)) == 1

    def test_sender_hears_of_a_run_that_takes_nothing(self) -> None:
        sender, closed = self.start(), self.start(workflow_id="w")
        self.close(closed)
        assert self.send(sender, a_message(closed)) == [failed("closed")]
        assert self.mail_ids(closed) == []
        assert self.send(self.start(), a_message(new_id())) == [failed("unknown")]
        assert self.send(self.start(), a_message(workflow_id="w")) == [failed("unknown")]

    def test_each_call_hears_of_its_own_message(self) -> None:
        sender, target = self.start(), self.start()
        messages = [a_message(target, call_id="0"), a_message(new_id(), call_id="1"), a_message(target, call_id="2")]
        heard = self.send(sender, *messages)
        assert [(kind.rpartition("_")[2], call_id) for kind, call_id, _ in heard] == [
            ("delivered", "0"),
            ("failed", "1"),
            ("delivered", "2"),
        ]
        assert len(self.mail_ids(target)) == 2

    def test_run_may_write_to_itself(self) -> None:
        run_id = self.start()
        assert [kind for kind, _, _ in self.send(run_id, a_message(run_id))] == ["signal_received", DELIVERED[0]]

    def test_runs_of_one_batch_may_write_to_each_other(self) -> None:
        one, two, closing = self.start(), self.start(), self.start()
        self.store.commit(
            [
                self.decision(one, outgoing=[a_message(two), a_message(closing, call_id="1")]),
                self.decision(two, outgoing=[a_message(one)]),
                self.decision(closing, "workflow_completed", status=Status.COMPLETED),
            ]
        )
        words = [(mail.type, mail.call_id) for mail in self.store.load([one])[one].mail]
        assert sorted(words, key=str) == [
            ("external_message_delivered", "0"),
            ("external_message_failed", "1"),
            ("signal_received", None),
        ]
        assert self.mail_ids(closing) == []

    def test_run_that_closes_sends_and_hears_nothing(self) -> None:
        sender, target = self.start(), self.start()
        self.close(sender, outgoing=[a_message(target)])
        assert len(self.mail_ids(target)) == 1
        assert self.mail_ids(sender) == []

    def test_run_that_closes_keeps_what_has_become_of_its_messages(self) -> None:
        sender, target = self.start(), self.start()
        read = Letter(sender, "external_message_failed", "2", encode({"reason": "closed"}))
        messages = [a_message(target, call_id="0"), a_message(new_id(), call_id="1")]
        self.close(sender, outgoing=messages, unheard=[read])
        assert self.unheard(sender) == {"0": None, "1": "unknown", "2": "closed"}
        quiet = self.start()
        self.close(quiet)
        assert self.unheard(quiet) == self.unheard(target) == {}

    def test_runs_that_close_at_once_keep_each_its_own_words(self) -> None:
        one, two = self.start(), self.start()
        read = Letter(two, "external_message_delivered", "1", "{}")
        self.store.commit(
            [
                self.decision(
                    one, "workflow_completed", status=Status.COMPLETED, outgoing=[a_message(new_id(), call_id="0")]
                ),
                self.decision(
                    two,
                    "workflow_completed",
                    status=Status.COMPLETED,
                    outgoing=[a_message(new_id(), call_id="5")],
                    unheard=[read],
                ),
            ]
        )
        assert self.unheard(one) == {"0": "unknown"}
        assert self.unheard(two) == {"5": "unknown", "1": None}

    def unheard(self, run_id: UUID) -> dict[str, str | None]:
        kept = self.record_of(run_id).unheard
        return {} if kept is None else decode(kept)

    def test_decision_that_conflicts_sends_nothing(self) -> None:
        sender, target = self.start(), self.start()
        stale = self.decision(sender, outgoing=[a_message(target)])
        self.commit(sender)
        assert self.store.commit([stale]).results[sender].verdict is Verdict.CONFLICT
        assert self.mail_ids(target) == []

    def test_run_does_not_close_over_a_message_that_was_delivered(self) -> None:
        """Whoever comes first: the other one waits, or sees what it has done."""
        sender, target = self.start(), self.start()
        closing = self.decision(target, "workflow_completed", status=Status.COMPLETED)
        sending = self.decision(sender, outgoing=[a_message(target)])
        written, tried = Event(), Event()

        def close() -> Verdict:
            with self.store.transaction():
                verdict = self.store.commit([closing]).results[target].verdict
                written.set()
                tried.wait(OVERLAP)
            return verdict

        def send() -> Verdict:
            assert written.wait(PATIENCE)
            verdict = self.store.commit([sending]).results[sender].verdict
            tried.set()
            return verdict

        closed, sent = self.in_threads([close, send])
        assert closed is Verdict.COMMITTED
        if sent is not Verdict.COMMITTED:
            assert sent is Verdict.BUSY
            assert self.mail_ids(target) == self.mail_ids(sender) == []
            assert self.store.commit([sending]).results[sender].verdict is Verdict.COMMITTED
        [word] = self.store.load([sender])[sender].mail
        assert (word.type, word.call_id, word.details) == failed("closed")
