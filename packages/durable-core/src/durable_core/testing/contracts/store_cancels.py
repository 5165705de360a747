"""Activities that the code of their run wants no more."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from durable_core.events import ActivityCanceled
from durable_core.execution import TaskStatus
from durable_core.ports import Beat, Letter, TaskCancel
from durable_core.testing.contracts.builders import SECOND, StoreCases, a_letter, a_task, a_worker, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from durable_core.ports import CommitResult, TaskRecord


class CancelCases(StoreCases):
    def cancel(self, run_id: UUID, *call_ids: str, reason: str = "enough") -> CommitResult:
        cancels = [TaskCancel(call_id, reason) for call_id in call_ids]
        return self.commit(run_id, "activity_cancel_requested", cancels=cancels)

    def told(self, run_id: UUID, *call_ids: str, reason: str = "enough") -> bool:
        """Whether its mailbox says, of these and no others, that they were canceled."""
        expected = [Letter.of(run_id, ActivityCanceled(call_id=call_id, reason=reason)) for call_id in call_ids]
        mail = self.store.load([run_id])[run_id].mail
        return sorted(m[1:] for m in mail) == sorted(letter[1:] for letter in expected)

    def is_told_to_stop(self, task: TaskRecord, worker_id: UUID) -> bool:
        reply = self.store.beat(worker_id, [Beat(task.id, task.token, None, None, is_sign_of_life=False)])
        return task.id in reply.canceled

    def test_canceled_queued_task_ends_at_once_and_its_run_is_told(self) -> None:
        run_id = self.start()
        waiting, in_backoff = self.schedule(run_id, call_id="0"), self.begin(run_id, call_id="1")
        self.retry(in_backoff, self.later())
        result = self.cancel(run_id, "0", "1")
        assert {self.read_task_status(id_) for id_ in (waiting, in_backoff.id)} == {TaskStatus.CANCELED}
        assert self.told(run_id, "0", "1")
        assert sorted(mail.id for mail in result.mail) == sorted(self.mail_ids(run_id))
        assert self.claim(waiting, in_backoff.id) == []

    def test_run_that_is_told_of_a_canceled_task_is_woken(self) -> None:
        run_id = self.start()
        self.schedule(run_id)
        committed = self.store.commit([self.decision(run_id, cancels=[TaskCancel("0", "")])])
        assert [wake.run_id for wake in committed.wakes] == [run_id]

    def test_task_is_canceled_by_the_commit_that_makes_it(self) -> None:
        run_id, task = self.start(), a_task()
        self.commit(run_id, "activity_scheduled", tasks=[task], cancels=[TaskCancel("0", "enough")])
        assert self.read_task_status(task.id) is TaskStatus.CANCELED
        assert self.told(run_id, "0")

    def test_canceled_running_task_is_told_to_stop_and_says_how_it_ended(self) -> None:
        run_id, worker = self.start(), a_worker()
        self.store.add_worker(worker)
        task = self.begin(run_id, worker_id=worker.id)
        assert not self.is_told_to_stop(task, worker.id)
        assert self.cancel(run_id, "0").mail == []
        assert self.read_task_status(task.id) is TaskStatus.RUNNING
        assert self.is_told_to_stop(task, worker.id)
        assert self.report(outcome_of(task)).rejected == frozenset()
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED

    def test_retry_of_a_canceled_task_is_its_end_and_its_run_is_told(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.cancel(run_id, "0")
        receipt = self.report(outcome_of(task, TaskStatus.QUEUED, retry_at=self.store.now()))
        assert [wake.run_id for wake in receipt.wakes] == [run_id]
        assert self.read_task_status(task.id) is TaskStatus.CANCELED
        assert self.told(run_id, "0", reason="")

    def test_canceled_task_that_is_given_back_ends_and_its_run_is_told(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.cancel(run_id, "0")
        with self.store.transaction():
            back = self.store.give_back({task.id: task.token})
        assert back.queued == []
        assert [wake.run_id for wake in back.wakes] == [run_id]
        assert self.read_task_status(task.id) is TaskStatus.CANCELED
        assert self.told(run_id, "0", reason="")
        assert self.due_runs(self.later(3600 * SECOND)) == [run_id]

    def test_task_that_has_ended_is_not_canceled(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.report(outcome_of(task))
        (outcome,) = self.store.load([run_id])[run_id].mail
        assert self.cancel(run_id, "0").mail == [outcome]
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED

    def test_outcome_in_the_commit_that_cancels_its_task_holds(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.commit(run_id, outcomes=[outcome_of(task)], cancels=[TaskCancel("0", "")])
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED
        assert self.mail_ids(run_id) == []

    def test_cancel_leaves_other_calls_and_other_runs_alone(self) -> None:
        run_id, other = self.start(), self.start()
        mine, neighbour = self.schedule(run_id, call_id="0"), self.schedule(run_id, call_id="1")
        theirs, third = self.schedule(other, call_id="0"), self.schedule(other, call_id="1")
        self.deliver(a_letter(other))
        self.store.commit(
            [
                self.decision(run_id, cancels=[TaskCancel("0", "")]),
                self.decision(other, cancels=[TaskCancel("1", "")]),
            ]
        )
        assert [self.read_task_status(id_) for id_ in (mine, third)] == [TaskStatus.CANCELED] * 2
        assert {task.id for task in self.claim(mine, neighbour, theirs, third)} == {neighbour, theirs}

    def test_nobody_is_told_of_a_cancel_in_a_conflict(self) -> None:
        run_id = self.start()
        task_id = self.schedule(run_id)
        stale = self.decision(run_id, cancels=[TaskCancel("0", "")])
        self.commit(run_id)
        self.store.commit([stale])
        assert [task.id for task in self.claim(task_id)] == [task_id]
        assert self.mail_ids(run_id) == []

    def test_claim_and_cancel_of_one_task_leave_it_told_once(self) -> None:
        """Whichever comes first: either it never begins, or whoever has it hears that it should stop."""
        for _ in range(5):
            run_id = self.start()
            task_id = self.schedule(run_id)
            decision = self.decision(run_id, cancels=[TaskCancel("0", "enough")])
            claimed: list[TaskRecord] = []
            works: list[Callable[[], object]] = [
                partial(self._claim_into, claimed, task_id),
                partial(self.store.commit, [decision]),
            ]
            self.in_threads(works)
            if claimed:
                assert self.mail_ids(run_id) == []
                self.report(outcome_of(claimed[0], TaskStatus.QUEUED, retry_at=self.store.now()))
            assert self.read_task_status(task_id) is TaskStatus.CANCELED
            assert len(self.mail_ids(run_id)) == 1

    def _claim_into(self, claimed: list[TaskRecord], task_id: UUID) -> None:
        claimed += self.claim(task_id)
