"""A message with a key is sent once, and its sender hears what has become of it."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.codec import Payload
from durable_core.execution import MessageStatus, Status
from durable_core.ports import (
    MAX_KEPT,
    AuditableStore,
    MessageKind,
    MessageNews,
    MessageRecord,
    NewMessage,
    Verdict,
    new_id,
)
from durable_core.testing.contracts.base import PATIENCE, Interrupted
from durable_core.testing.contracts.builders import StoreCases

if TYPE_CHECKING:
    from uuid import UUID

OVERLAP = 0.1  # seconds for which a transaction stays open so that another may run into it
FAILURE = {
    "type": "ValueError",
    "bases": [],
    "message": "n\u00f6\0\ud800",
    "traceback": "",
    "attempt": 0,
    "cause": None,
}


def a_message(run_id: UUID, key: str = "k", **changes: Any) -> NewMessage:
    values: dict[str, Any] = {"chain_id": run_id, "kind": MessageKind.UPDATE, "name": "change", **changes}
    return NewMessage(run_id=run_id, key=key, **values)


class MessageCases(StoreCases):
    def message_of(self, run_id: UUID, key: str = "k", kind: MessageKind = MessageKind.UPDATE) -> MessageRecord:
        found = self.store.message(run_id, kind, key)
        assert found is not None
        return found

    def test_message_is_noted_once(self) -> None:
        run_id, other = self.start(), self.start()
        assert self.store.note(a_message(run_id))
        assert not self.store.note(a_message(run_id, name="other"))
        assert self.store.note(a_message(run_id, "k2"))
        assert self.store.note(a_message(run_id, kind=MessageKind.SIGNAL))
        assert self.store.note(a_message(other))

    def test_message_is_read_as_it_was_noted(self) -> None:
        run_id = self.start()
        key = "'; DROP \u00f6 %s"
        self.store.note(a_message(run_id, key, name="change"))
        assert self.message_of(run_id, key) == MessageRecord(
            run_id=run_id,
            kind=MessageKind.UPDATE,
            key=key,
            name="change",
            status=MessageStatus.SENT,
            result=None,
            failure=None,
        )
        assert self.store.message(run_id, MessageKind.SIGNAL, key) is None
        assert self.store.message(new_id(), MessageKind.UPDATE, key) is None

    def test_chain_knows_the_keys_of_all_its_runs(self) -> None:
        first = self.start()
        self.store.note(a_message(first))
        second = self.continue_as_new(first)
        assert not self.store.note(a_message(second, chain_id=first))
        assert self.store.note(a_message(second, "k2", chain_id=first))
        assert self.message_of(first, "k2").run_id == second

    def test_note_of_a_transaction_that_fails_was_never_made(self) -> None:
        run_id = self.start()
        with pytest.raises(Interrupted), self.store.transaction():
            assert self.store.note(a_message(run_id))
            raise Interrupted
        assert self.store.message(run_id, MessageKind.UPDATE, "k") is None
        assert self.store.note(a_message(run_id))

    def test_only_one_of_two_senders_notes_a_key(self) -> None:
        run_id = self.start()
        noted, tried = Event(), Event()

        def first() -> bool:
            with self.store.transaction():
                answer = self.store.note(a_message(run_id))
                noted.set()
                tried.wait(OVERLAP)
            return answer

        def second() -> bool:
            assert noted.wait(PATIENCE)
            answer = self.store.note(a_message(run_id))
            tried.set()
            return answer

        assert self.in_threads([first, second]) == [True, False]

    def test_commit_tells_of_updates(self) -> None:
        run_id = self.start()
        for key in ("done", "failed", "rejected", "accepted", "sent"):
            self.store.note(a_message(run_id, key))
        result = Payload('{"a":[1,"\\u0000"]}')
        self.commit(
            run_id,
            updates=[
                MessageNews(run_id, "done", MessageStatus.COMPLETED, result=result),
                MessageNews(run_id, "failed", MessageStatus.FAILED, failure=FAILURE),
                MessageNews(run_id, "rejected", MessageStatus.REJECTED, failure=FAILURE),
                MessageNews(run_id, "accepted", MessageStatus.ACCEPTED),
                MessageNews(run_id, "unknown", MessageStatus.ACCEPTED),
            ],
        )
        found = [self.message_of(run_id, key) for key in ("done", "failed", "rejected", "accepted", "sent")]
        assert [(message.status.value, message.result, message.failure) for message in found] == [
            ("COMPLETED", result, None),
            ("FAILED", None, FAILURE),
            ("REJECTED", None, FAILURE),
            ("ACCEPTED", None, None),
            ("SENT", None, None),
        ]
        self.commit(run_id, updates=[MessageNews(run_id, "accepted", MessageStatus.COMPLETED, result=result)])
        assert self.message_of(run_id, "accepted").status is MessageStatus.COMPLETED

    def test_answer_to_an_update_stands(self) -> None:
        run_id = self.start()
        self.store.note(a_message(run_id))
        self.commit(run_id, updates=[MessageNews(run_id, "k", MessageStatus.COMPLETED, result=Payload("1"))])
        self.commit(run_id, updates=[MessageNews(run_id, "k", MessageStatus.COMPLETED, result=Payload("2"))])
        assert self.message_of(run_id).result == "1"

    def test_update_belongs_to_the_run_that_took_it(self) -> None:
        first = self.start()
        self.store.note(a_message(first))
        self.store.note(a_message(first, kind=MessageKind.SIGNAL))
        second = self.continue_as_new(first)
        self.commit(second, updates=[MessageNews(first, "k", MessageStatus.ACCEPTED)])
        assert self.message_of(first).run_id == second
        assert self.message_of(first, kind=MessageKind.SIGNAL).status is MessageStatus.SENT

    def test_decision_that_conflicts_tells_of_no_update(self) -> None:
        run_id = self.start()
        self.store.note(a_message(run_id))
        stale = self.decision(run_id, updates=[MessageNews(run_id, "k", MessageStatus.ACCEPTED)])
        self.commit(run_id)
        assert self.store.commit([stale]).results[run_id].verdict is Verdict.CONFLICT
        assert self.message_of(run_id).status is MessageStatus.SENT

    def test_chain_that_goes_on_forgets_all_but_the_newest_messages(self) -> None:
        run_id, other = self.start(), self.start()
        with self.store.transaction():
            assert self.store.note(a_message(run_id, "open"))
            for number in range(MAX_KEPT + 2):
                self.store.note(a_message(run_id, f"{number}", kind=MessageKind.SIGNAL))
            self.store.note(a_message(other, "0", kind=MessageKind.SIGNAL))
        self.commit(run_id, status=Status.RUNNING)
        assert self.store.message(run_id, MessageKind.SIGNAL, "0") is not None
        self.continue_as_new(run_id)
        kept = [self.store.message(run_id, MessageKind.SIGNAL, f"{n}") is not None for n in (0, 1, 2, MAX_KEPT + 1)]
        assert kept == [False, False, True, True]
        assert self.store.message(run_id, MessageKind.UPDATE, "open") is not None
        assert self.store.message(other, MessageKind.SIGNAL, "0") is not None

    def test_audit_sees_messages(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        first, other = self.start(), self.start()
        self.store.note(a_message(first))
        self.store.note(a_message(first, kind=MessageKind.SIGNAL))
        self.store.note(a_message(other))
        second = self.continue_as_new(first)
        self.commit(second, updates=[MessageNews(first, "k", MessageStatus.REJECTED, failure=FAILURE)])
        by_run = {run.record.id: run for run in self.store.audited([first, second])}
        assert [(m.kind, m.status) for m in by_run[first].messages] == [(MessageKind.SIGNAL, MessageStatus.SENT)]
        assert list(by_run[second].messages) == [self.message_of(first)]
