"""Attempts that somebody else completes: theirs from then on, and nobody's to who ends the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.codec import Payload
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Detached, TaskCancel, TaskRecord, new_id
from durable_core.testing.contracts.builders import HOUR, SECOND, StoreCases, outcome_of

if TYPE_CHECKING:
    from uuid import UUID


class CompletionCases(StoreCases):
    def test_attempt_that_has_begun_can_be_completed_from_outside(self) -> None:
        run_id, worker_id, until = self.start(), new_id(), self.later()
        task = self.begin(run_id, worker_id=worker_id)
        assert self.store.expect_completion(task.id, task.token, "d" * 64, until)
        assert self.store.detach(task.id, task.token, until) is Detached.DONE
        held = self.held(task.id)
        assert (held.completion_digest, held.completion_expires_at) == ("d" * 64, until)
        assert (held.status, held.token, held.is_detached) == (TaskStatus.RUNNING, task.token, True)
        assert self.bury(worker_id) == []
        assert self.store.buried_alive() == []
        assert self.store.give_back({task.id: task.token}).queued == []
        assert self.store.forgotten(worker_id, []) == {}
        assert self.due_tasks(until) == [task.id]
        assert self.report(outcome_of(held)).rejected == frozenset()
        assert not self.held(task.id).is_detached
        assert len(self.mail_ids(run_id)) == 1

    def test_only_the_attempt_that_runs_can_be_completed_from_outside(self) -> None:
        task, until = self.begin(self.start()), self.later()
        for token in (task.token - 1, task.token + 1):
            assert not self.store.expect_completion(task.id, token, "d" * 64, until)
            assert self.store.detach(task.id, token, until) is Detached.GONE
        assert (self.held(task.id).completion_digest, self.held(task.id).is_detached) == (None, False)
        self.retry(task, self.later())
        queued = self.held(task.id)
        assert not self.store.expect_completion(task.id, queued.token, "d" * 64, until)
        assert self.store.detach(task.id, queued.token, until) is Detached.GONE
        assert self.store.detach(new_id(), 1, until) is Detached.GONE

    def test_attempt_that_is_completed_from_outside_ends_with_its_run(self) -> None:
        run_id = self.start()
        detached, running = self.begin(run_id), self.begin(run_id)
        assert self.store.detach(detached.id, detached.token, self.later()) is Detached.DONE
        self.close(run_id, status=Status.CANCELED, close_tasks_as=TaskStatus.FAILED)
        assert self.read_task_status(detached.id) is TaskStatus.FAILED
        assert self.report(outcome_of(detached)).rejected == {detached.id}
        assert self.read_task_status(running.id) is TaskStatus.RUNNING
        assert self.store.detach(running.id, running.token, self.later()) is Detached.UNWANTED

    def test_attempt_that_is_completed_from_outside_can_be_canceled_at_once(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        assert self.store.detach(task.id, task.token, self.later()) is Detached.DONE
        self.commit(run_id, cancels=[TaskCancel(task.call_id, "enough")])
        assert self.read_task_status(task.id) is TaskStatus.CANCELED
        assert len(self.mail_ids(run_id)) == 1

    def test_attempt_that_is_completed_from_outside_calls_in(self) -> None:
        task = self.begin(self.start())
        self.store.detach(task.id, task.token, self.later())
        for details, kept in ((Payload('"half"'), '"half"'), (None, '"half"')):
            later = self.later(2 * HOUR)
            self.store.beat_detached(task.id, details, later)
            held = self.held(task.id)
            assert held.heartbeat_details == kept
            assert held.heartbeat_at is not None
            assert self.due_tasks(later - SECOND) == []
            assert self.due_tasks(later) == [task.id]

    def held(self, task_id: UUID) -> TaskRecord:
        with self.store.transaction():
            task = self.store.hold_task(task_id)
        assert task is not None
        return task
