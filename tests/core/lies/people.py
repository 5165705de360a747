"""Stores that lie about questions to people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from durable_core.codec import Payload
from durable_core.execution import HumanTaskStatus
from durable_core.ports import AuditedRun, Commit, Letter, NewHumanTask, Verdict
from durable_core.testing import InMemoryHistoryStore


class StoreThatTakesEveryAnswer(InMemoryHistoryStore):
    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        super().answer(task_id, answer, by)
        return True


class StoreThatTakesTheLastAnswer(InMemoryHistoryStore):
    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        row = self._asked.get(task_id)
        if row is not None:
            with self.transaction():
                record = replace(row.record, status=HumanTaskStatus.OPEN)
                self._asked.put(task_id, row._replace(record=record))
        return super().answer(task_id, answer, by)


class StoreThatForgetsWhoAnswered(InMemoryHistoryStore):
    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        return super().answer(task_id, answer, None)


class StoreThatForgetsForms(InMemoryHistoryStore):
    def _decide_human_tasks(self, commit: Commit) -> None:
        asked: list[NewHumanTask] = [new._replace(form=None) for new in commit.asked]
        super()._decide_human_tasks(replace(commit, asked=asked))


class StoreThatAsksBeforeItDecides(InMemoryHistoryStore):
    def _decide(self, commit: Commit) -> Verdict:
        self._decide_human_tasks(commit)
        return super()._decide(commit)


class StoreThatExpiresOverAnswers(InMemoryHistoryStore):
    def _decide(self, commit: Commit) -> Verdict:
        if not commit.expired:
            return super()._decide(commit)
        verdict = super()._decide(replace(commit, expired=()))
        if verdict is Verdict.COMMITTED:
            self._decide_human_tasks(replace(commit, asked=()))
        return verdict


class StoreThatExpiresNothing(InMemoryHistoryStore):
    def _decide_human_tasks(self, commit: Commit) -> None:
        super()._decide_human_tasks(replace(commit, expired=()))


class StoreThatReadsAllBeforeAnythingExpires(InMemoryHistoryStore):
    def _decide(self, commit: Commit) -> Verdict:
        return Verdict.UNREAD if commit.expired and self._unseen(commit) else super()._decide(commit)


class StoreThatWithdrawsInSilence(InMemoryHistoryStore):
    def _withdraw(self, commit: Commit) -> list[Letter]:
        super()._withdraw(commit)
        return []


class StoreThatSaysAllWasWithdrawn(InMemoryHistoryStore):
    def _withdraw(self, commit: Commit) -> list[Letter]:
        told = super()._withdraw(commit)
        named = {letter.call_id for letter in told}
        missing = [cancel for cancel in commit.withdrawn if cancel.call_id not in named]
        return told + [Letter(commit.run_id, "task_canceled", cancel.call_id, '{"reason":""}') for cancel in missing]


class StoreThatLeavesQuestionsOpen(InMemoryHistoryStore):
    def _decide_human_tasks(self, commit: Commit) -> None:
        status = next(status for status in type(commit.status) if not status.is_closed)
        super()._decide_human_tasks(replace(commit, status=status))


class StoreThatGivesOneReason(InMemoryHistoryStore):
    def _withdraw(self, commit: Commit) -> list[Letter]:
        return super()._withdraw(replace(commit, withdrawn=[each._replace(reason="over") for each in commit.withdrawn]))


class StoreThatAsksNothingAgain(InMemoryHistoryStore):
    def _ask_again(self, task_id: UUID) -> None:
        pass


class StoreThatAsksAnsweredOnesAgain(InMemoryHistoryStore):
    def _ask_again(self, task_id: UUID) -> None:
        row = self._asked.get(task_id)
        assert row is not None
        self._asked.put(task_id, row._replace(record=replace(row.record, status=HumanTaskStatus.CANCELED)))
        super()._ask_again(task_id)


class StoreThatAsksOnce(InMemoryHistoryStore):
    def _decide_human_tasks(self, commit: Commit) -> None:
        new = [task for task in commit.asked if self._asked.get(task.id) is None]
        super()._decide_human_tasks(replace(commit, asked=new))


class StoreThatHidesQuestions(InMemoryHistoryStore):
    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [replace(run, asked=[]) for run in super().audited(run_ids)]


LIES: list[tuple[type[Any], str]] = [
    (StoreThatTakesEveryAnswer, "test_question_is_answered_once"),
    (StoreThatTakesEveryAnswer, "test_of_many_who_answer_at_once_one_does"),
    (StoreThatTakesTheLastAnswer, "test_question_is_answered_once"),
    (StoreThatForgetsWhoAnswered, "test_question_is_answered_once"),
    (StoreThatForgetsForms, "test_question_is_read_as_it_was_asked"),
    (StoreThatAsksBeforeItDecides, "test_decision_that_conflicts_asks_nothing"),
    (StoreThatExpiresOverAnswers, "test_question_does_not_expire_over_an_answer_that_was_not_read"),
    (StoreThatExpiresNothing, "test_question_expires_with_a_decision"),
    (StoreThatReadsAllBeforeAnythingExpires, "test_question_expires_beside_other_mail"),
    (StoreThatWithdrawsInSilence, "test_withdrawn_question_is_over_and_its_run_is_told"),
    (StoreThatWithdrawsInSilence, "test_question_may_be_withdrawn_by_the_commit_that_asks"),
    (StoreThatSaysAllWasWithdrawn, "test_answered_question_cannot_be_withdrawn"),
    (StoreThatLeavesQuestionsOpen, "test_closing_ends_open_questions"),
    (StoreThatGivesOneReason, "test_question_that_is_withdrawn_with_the_end_has_its_own_reason"),
    (StoreThatAsksNothingAgain, "test_question_of_a_run_that_is_opened_again_is_open_again"),
    (StoreThatAsksAnsweredOnesAgain, "test_question_of_a_run_that_is_opened_again_is_open_again"),
    (StoreThatAsksOnce, "test_question_that_was_put_aside_is_asked_anew"),
    (StoreThatHidesQuestions, "test_audit_sees_questions"),
]
