"""Letters can be sealed, each for the mailbox that it comes to. Cases for stores that offer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.codec import encode
from durable_core.execution import TaskStatus
from durable_core.ports import WITHDRAWN, HumanTaskCancel, Outgoing, TaskCancel
from durable_core.sealing.sealed_store import SealableStore
from durable_core.testing.contracts.builders import StoreCases, a_letter, outcome_of
from durable_core.testing.contracts.store_people import a_question

if TYPE_CHECKING:
    from uuid import UUID

    from durable_core.ports import Letter


def seal_of(letter: Letter) -> str:
    return encode([str(letter.run_id), letter.type, letter.call_id])


class SealingCases(StoreCases):
    def sealed(self, run_id: UUID) -> list[str]:
        """The types of all letters in a mailbox; none is there that was not sealed for it."""
        mail = self.store.load([run_id])[run_id].mail
        assert [letter.details for letter in mail] == [encode([str(run_id), m.type, m.call_id]) for m in mail]
        return [letter.type for letter in mail]

    def test_letters_are_sealed_for_the_run_that_they_come_to(self) -> None:
        if not isinstance(self.store, SealableStore):
            return
        self.store.seal_letters_with(seal_of)
        first = self.start()
        newest = self.continue_as_new(first, a_letter(first, "carried"))
        self.deliver(a_letter(first), a_letter(newest))
        assert self.sealed(newest) == ["signal_received"] * 3

    def test_letters_that_the_store_writes_are_sealed_too(self) -> None:
        if not isinstance(self.store, SealableStore):
            return
        self.store.seal_letters_with(seal_of)
        run_id, other = self.start(), self.start(workflow_id="w")
        done, queued = self.begin(run_id), self.schedule(run_id, call_id="1")
        self.report(outcome_of(done))
        letter = a_letter(other)
        self.commit(
            run_id,
            cancels=[TaskCancel("1", "why")],
            letters=[letter],
            outgoing=[Outgoing("2", None, "w", letter.type, letter.details)],
        )
        told = ["activity_completed", "activity_canceled", "external_message_delivered"]
        assert sorted(self.sealed(run_id)) == sorted(told)
        assert self.sealed(other) == ["signal_received"] * 2
        assert self.read_task_status(queued) is TaskStatus.CANCELED

    def test_row_of_a_withdrawn_question_does_not_tell_what_its_letter_seals(self) -> None:
        if not isinstance(self.store, SealableStore):
            return
        self.store.seal_letters_with(seal_of)
        run_id, task = self.start(), a_question()
        self.commit(run_id, asked=[task], withdrawn=[HumanTaskCancel(task.id, task.call_id, "why")])
        assert self.sealed(run_id) == ["task_canceled"]
        found = self.store.human_task(task.id)
        assert found is not None
        assert found.reason == WITHDRAWN
