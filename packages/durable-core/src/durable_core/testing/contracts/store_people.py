"""Human tasks: asked and ended with decisions, answered once, and never past what waits unread."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from durable_core.codec import EMPTY_OBJECT, Payload
from durable_core.events import EventRecord, TaskAnswered
from durable_core.execution import HumanTaskStatus, Status
from durable_core.ports import (
    WITHDRAWN,
    AuditableStore,
    HumanTaskCall,
    HumanTaskCancel,
    HumanTaskRecord,
    Letter,
    NewHumanTask,
    Reopening,
    Verdict,
    new_id,
)
from durable_core.sealing import SealedStore
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import HOUR, StoreCases

if TYPE_CHECKING:
    from uuid import UUID


def a_question(call_id: str = "0") -> NewHumanTask:
    return NewHumanTask(
        id=new_id(),
        call_id=call_id,
        question='Is "it" <b>good</b>, Jos\u00e9?',
        form=[["yes", "Yes"], ["no", "No"]],
        assignee="ann",
        permission="shop.approve",
        expires_at=None,
    )


class PeopleCases(StoreCases):
    def ask(self, run_id: UUID, call_id: str = "0") -> NewHumanTask:
        task = a_question(call_id)
        assert self.commit(run_id, asked=[task]).verdict is Verdict.COMMITTED
        return task

    def asked(self, task: NewHumanTask) -> HumanTaskRecord:
        found = self.store.human_task(task.id)
        assert found is not None
        return found

    def seen(self, reason: str) -> str:
        """What the row tells of why: nothing, where letters are sealed."""
        return WITHDRAWN if isinstance(self.store, SealedStore) else reason

    def give(self, run_id: UUID, task: NewHumanTask, answer: str = '"yes"', by: str | None = "ann") -> bool:
        """As `Answerer` does it: whether it was taken."""
        fact = TaskAnswered(call_id=task.call_id, by=by, answer=Payload(answer))
        with suppress(Interrupted), self.store.transaction():
            if not self.store.deliver([Letter.of(run_id, fact)]) or not self.store.answer(task.id, fact.answer, by):
                raise Interrupted
            return True
        return False

    def test_question_is_read_as_it_was_asked(self) -> None:
        run_id = self.start()
        task = a_question()._replace(expires_at=self.later(HOUR))
        self.commit(run_id, asked=[task])
        found = self.asked(task)
        assert (found.id, found.run_id, *task[1:]) == (task.id, run_id, *_question_of(found))
        assert (found.status, found.answer, found.answered_by, found.ended_at) == (
            HumanTaskStatus.OPEN,
            None,
            None,
            None,
        )
        assert found.asked_at <= self.store.now()
        plain = NewHumanTask(new_id(), "1", "?", None, None, None, None)
        self.commit(run_id, asked=[plain])
        assert _question_of(self.asked(plain)) == plain[1:]
        assert self.store.human_task(new_id()) is None

    def test_decision_that_conflicts_asks_nothing(self) -> None:
        run_id = self.start()
        task = a_question()
        stale = self.decision(run_id, asked=[task])
        other = self.ask(run_id, "1")
        assert self.store.commit([stale]).results[run_id].verdict is Verdict.CONFLICT
        assert self.store.human_task(task.id) is None
        assert self.asked(other).status is HumanTaskStatus.OPEN

    def test_question_is_answered_once(self) -> None:
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        assert self.give(run_id, task)
        assert not self.give(run_id, task, '"no"', "ben")
        found = self.asked(task)
        assert (found.status, found.answer, found.answered_by) == (HumanTaskStatus.ANSWERED, '"yes"', "ann")
        assert found.ended_at is not None
        assert self.asked(other).status is HumanTaskStatus.OPEN
        assert len(self.mail_ids(run_id)) == 1
        assert not self.store.answer(new_id(), Payload("1"), None)

    def test_of_many_who_answer_at_once_one_does(self) -> None:
        run_id = self.start()
        task = self.ask(run_id)
        answers = self.in_threads([partial(self.give, run_id, task, f"{n}", f"{n}") for n in range(4)])
        assert sorted(answers) == [False, False, False, True]
        won = str(answers.index(True))
        assert (self.asked(task).answer, self.asked(task).answered_by) == (won, won)
        [letter] = self.store.load([run_id])[run_id].mail
        assert f'"answer":{won}' in letter.details

    def test_answer_that_is_rolled_back_was_never_given(self) -> None:
        run_id = self.start()
        task = self.ask(run_id)
        with suppress(Interrupted), self.store.transaction():
            assert self.give(run_id, task)
            raise Interrupted
        assert (self.asked(task).status, self.mail_ids(run_id)) == (HumanTaskStatus.OPEN, [])
        assert self.give(run_id, task, by=None)
        assert self.asked(task).answered_by is None

    def test_question_expires_with_a_decision(self) -> None:
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        self.commit(run_id, expired=[HumanTaskCall(task.id, "0")])
        assert (self.asked(task).status, self.asked(other).status) == (HumanTaskStatus.EXPIRED, HumanTaskStatus.OPEN)
        assert self.asked(task).ended_at is not None
        assert not self.give(run_id, task)

    def test_question_does_not_expire_over_an_answer_that_was_not_read(self) -> None:
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        decision = self.decision(run_id, "task_expired", expired=[HumanTaskCall(task.id, "0")])
        assert self.give(run_id, other)
        assert self.give(run_id, task)
        result = self.store.commit([decision]).results[run_id]
        assert (result.verdict, result.mail) == (Verdict.UNREAD, self.store.load([run_id])[run_id].mail)
        assert (self.asked(task).status, self.event_types(run_id)) == (HumanTaskStatus.ANSWERED, [])

    def test_question_expires_beside_other_mail(self) -> None:
        """Or it would never, under a stream of signals."""
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        decision = self.decision(run_id, expired=[HumanTaskCall(task.id, "0")])
        assert self.give(run_id, other)
        result = self.store.commit([decision]).results[run_id]
        assert (result.verdict, [mail.call_id for mail in result.mail]) == (Verdict.COMMITTED, ["1"])
        assert self.asked(task).status is HumanTaskStatus.EXPIRED

    def test_withdrawn_question_is_over_and_its_run_is_told(self) -> None:
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        committed = self.store.commit([self.decision(run_id, withdrawn=[HumanTaskCancel(task.id, "0", "late")])])
        told = [(letter.type, letter.call_id, letter.details) for letter in committed.results[run_id].mail]
        assert told == [("task_canceled", "0", '{"reason":"late"}')]
        assert [wake.run_id for wake in committed.wakes] == [run_id]
        assert (self.asked(task).status, self.asked(task).reason) == (HumanTaskStatus.CANCELED, self.seen("late"))
        assert self.asked(other).status is HumanTaskStatus.OPEN
        assert not self.give(run_id, task)

    def test_answered_question_cannot_be_withdrawn(self) -> None:
        run_id = self.start()
        task = self.ask(run_id)
        assert self.give(run_id, task)
        result = self.commit(run_id, withdrawn=[HumanTaskCancel(task.id, "0", "late")])
        assert [mail.type for mail in result.mail] == ["task_answered"]
        assert self.asked(task).status is HumanTaskStatus.ANSWERED

    def test_question_may_be_withdrawn_by_the_commit_that_asks(self) -> None:
        run_id = self.start()
        task = a_question()
        result = self.commit(run_id, asked=[task], withdrawn=[HumanTaskCancel(task.id, "0", "")])
        assert [mail.type for mail in result.mail] == ["task_canceled"]
        assert self.asked(task).status is HumanTaskStatus.CANCELED

    def test_closing_ends_open_questions(self) -> None:
        run_id, bystander = self.start(), self.start()
        task, answered, of_another = self.ask(run_id), self.ask(run_id, "1"), self.ask(bystander)
        assert self.give(run_id, answered)
        late = a_question("2")
        self.close(run_id, asked=[late])
        assert {self.asked(each).status for each in (task, late)} == {HumanTaskStatus.CANCELED}
        assert self.asked(task).reason == self.asked(late).reason != ""
        assert self.asked(answered).status is HumanTaskStatus.ANSWERED
        assert self.asked(of_another).status is HumanTaskStatus.OPEN
        assert not self.give(run_id, task)

    def test_question_that_is_withdrawn_with_the_end_has_its_own_reason(self) -> None:
        run_id = self.start()
        task, late = self.ask(run_id), a_question("1")
        withdrawn = [HumanTaskCancel(task.id, "0", "enough"), HumanTaskCancel(late.id, "1", "")]
        self.close(run_id, asked=[late], withdrawn=withdrawn)
        found = [(self.asked(each).status, self.asked(each).reason) for each in (task, late)]
        assert found == [(HumanTaskStatus.CANCELED, self.seen("enough")), (HumanTaskStatus.CANCELED, WITHDRAWN)]
        assert self.mail_ids(run_id) == []

    def test_question_of_a_run_that_is_opened_again_is_open_again(self) -> None:
        run_id = self.start()
        task, other, answered = (self.ask(run_id, call_id) for call_id in "012")
        assert self.give(run_id, answered)
        self.close(run_id, status=Status.FAILED)
        self.reopen_with(run_id, task, answered)
        assert (self.asked(task).status, self.asked(task).reason) == (HumanTaskStatus.OPEN, "")
        assert self.asked(other).status is HumanTaskStatus.CANCELED
        assert self.asked(answered).status is HumanTaskStatus.ANSWERED
        assert self.give(run_id, task)

    def test_question_that_was_put_aside_is_asked_anew(self) -> None:
        run_id = self.start()
        task = a_question()
        self.close(run_id, status=Status.FAILED, asked=[task])
        self.reopen_with(run_id)
        assert self.asked(task).status is HumanTaskStatus.CANCELED
        self.commit(run_id, asked=[task._replace(question="Now?")])
        found = self.asked(task)
        assert (found.status, found.question, found.ended_at) == (HumanTaskStatus.OPEN, "Now?", None)

    def reopen_with(self, run_id: UUID, *tasks: NewHumanTask) -> None:
        with self.store.transaction():
            locked = self.store.lock(run_id)
            assert locked is not None
            seq = locked.record.history_length + 1
            event = EventRecord(seq, "workflow_reopened", None, EMPTY_OBJECT, self.store.now())
            reopening = Reopening(
                run_id=run_id,
                version=locked.record.version,
                event=event,
                waiting_for="{}",
                deadline=None,
                due_at=None,
                tasks=[],
                mail=[],
                asked=[task.id for task in tasks],
            )
            assert self.store.reopen(reopening) is None

    def test_audit_sees_questions(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run_id = self.start()
        task, other = self.ask(run_id), self.ask(run_id, "1")
        self.give(run_id, task)
        (run,) = self.store.audited([run_id])
        assert sorted(run.asked, key=_call_of) == [self.asked(task), self.asked(other)]


def _question_of(found: HumanTaskRecord) -> tuple[object, ...]:
    return found.call_id, found.question, found.form, found.assignee, found.permission, found.expires_at


def _call_of(task: HumanTaskRecord) -> str:
    return task.call_id
