"""What is written in one transaction is written together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from durable_core.execution import Status, TaskStatus
from durable_core.ports import Verdict
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import StoreCases, a_letter, a_run, a_task, a_worker, outcome_of


class TransactionCases(StoreCases):
    @contextmanager
    def failing(self) -> Iterator[None]:
        """A transaction that fails when all in it is done."""
        with suppress(Interrupted), self.store.transaction():
            yield
            raise Interrupted

    def test_thread_knows_whether_it_is_in_a_transaction(self) -> None:
        assert not self.store.in_transaction()
        with self.store.transaction():
            assert self.store.in_transaction()
            with self.store.transaction():
                assert self.store.in_transaction()
            assert self.store.in_transaction()
        assert not self.store.in_transaction()
        with self.failing():
            pass
        assert not self.store.in_transaction()

    def test_transaction_of_another_thread_is_not_ones_own(self) -> None:
        with self.store.transaction():
            assert self.in_threads([self.store.in_transaction]) == [False]

    def test_exception_comes_out_as_it_is(self) -> None:
        error = Interrupted("this very one")
        try:
            with self.store.transaction():
                raise error
        except Interrupted as caught:
            assert caught is error

    def test_transaction_sees_its_own_writes(self) -> None:
        with self.store.transaction():
            run_id = self.start()
            self.commit(run_id, "workflow_started")
            self.store.deliver([a_letter(run_id)])
            assert self.event_types(run_id) == ["workflow_started"]
            assert len(self.mail_ids(run_id)) == 1

    def test_rolled_back_start_leaves_nothing(self) -> None:
        run = a_run(workflow_id="user-7", due_at=self.store.now())
        with self.failing():
            self.store.create([run])
        assert self.store.get(run.id) is None
        assert self.store.next_due() is None
        assert self.store.create([a_run(workflow_id="user-7")])[0].created

    def test_rolled_back_delivery_leaves_nothing(self) -> None:
        run_id = self.start()
        with self.failing():
            assert len(self.store.deliver([a_letter(run_id)])) == 1
        assert self.mail_ids(run_id) == []
        assert self.store.next_due() is None
        assert self.commit(run_id, status=Status.COMPLETED).verdict is Verdict.COMMITTED

    def test_rolled_back_commit_leaves_nothing(self) -> None:
        run_id, other = self.start(workflow_id="user-7"), self.start()
        self.commit(run_id, "workflow_started", waiting_for='{"kind":"signal"}', due_at=self.later())
        queued, running = self.schedule(run_id), self.begin(run_id)
        self.deliver(a_letter(run_id))
        before, next_due = self.store.load([run_id, other]), self.store.next_due()
        child, task = a_run(parent_id=run_id, parent_call_id="1"), a_task()
        extras: dict[str, Any] = {
            "tasks": [task],
            "children": [child],
            "letters": [a_letter(other)],
            "outcomes": [outcome_of(running)],
            "mail_read": self.mail_ids(run_id),
        }
        with self.failing():
            result = self.commit(run_id, "workflow_completed", status=Status.COMPLETED, **extras)
            assert result.verdict is Verdict.COMMITTED
        assert self.store.load([run_id, other]) == before
        assert self.store.next_due() == next_due
        assert self.store.get(child.id) is None
        assert self.store.children(run_id) == []
        assert self.claim(task.id) == []
        assert self.read_task_status(running.id) is TaskStatus.RUNNING
        assert self.read_task_status(queued) is TaskStatus.QUEUED
        assert not self.store.create([a_run(workflow_id="user-7")])[0].created

    def test_rolled_back_claim_leaves_the_task_queued(self) -> None:
        task_id = self.schedule(self.start())
        with self.failing():
            assert len(self.claim(task_id)) == 1
        (task,) = self.claim(task_id)
        assert task.attempt == 1

    def test_rolled_back_outcome_leaves_the_attempt_running(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        with self.failing():
            self.store.record_outcomes([outcome_of(task)])
        assert self.mail_ids(run_id) == []
        assert self.report(outcome_of(task)).rejected == frozenset()

    def test_rolled_back_burial_leaves_the_worker_to_be_buried(self) -> None:
        worker = a_worker()
        self.store.add_worker(worker)
        task = self.begin(self.start(), worker_id=worker.id)
        with self.failing():
            assert len(self.store.bury([worker.id])) == 1
        assert [left.id for left in self.bury(worker.id)] == [task.id]

    def test_rolled_back_requeue_leaves_the_backoff(self) -> None:
        task, retry_at = self.begin(self.start()), self.later()
        self.retry(task, retry_at)
        with self.failing():
            self.store.requeue({task.id: None})
        assert self.claim(task.id) == []
        assert self.store.next_due() == retry_at

    def test_inner_transaction_is_rolled_back_with_the_outer(self) -> None:
        run = a_run()
        with self.failing(), self.store.transaction():
            self.store.create([run])
        assert self.store.get(run.id) is None

    def test_nested_transactions_are_written_together(self) -> None:
        one, other = a_run(), a_run()
        with self.store.transaction():
            self.store.create([one])
            with self.store.transaction():
                self.store.create([other])
        assert self.store.load([one.id, other.id]).keys() == {one.id, other.id}

    def test_failure_of_an_inner_transaction_that_nobody_catches_undoes_the_outer(self) -> None:
        run = a_run()
        with suppress(Interrupted), self.store.transaction():
            self.store.create([run])
            with self.store.transaction():
                raise Interrupted
        assert self.store.get(run.id) is None

    def test_shared_transaction_writes_together(self) -> None:
        run_id, other = self.start(), self.start()
        task = self.begin(run_id)
        for error in (Interrupted(), None):
            with suppress(Interrupted), self.store.shared_transaction():
                assert self.store.in_transaction()
                self.store.deliver([a_letter(other)])
                assert self.store.record_outcomes([outcome_of(task)]).rejected == frozenset()
                if error is not None:
                    raise error
            assert not self.store.in_transaction()
            written = error is None
            assert len(self.mail_ids(other)) == len(self.mail_ids(run_id)) == written
            assert self.read_task_status(task.id) is (TaskStatus.COMPLETED if written else TaskStatus.RUNNING)

    def test_failure_that_is_caught_in_a_shared_transaction_takes_back_only_itself(self) -> None:
        kept, lost, later = a_run(), a_run(), a_run()
        with self.store.shared_transaction():
            self.store.create([kept])
            with self.failing():
                self.store.create([lost])
            self.store.create([later])
        assert self.store.load([kept.id, lost.id, later.id]).keys() == {kept.id, later.id}

    def test_held_task_is_as_it_stands(self) -> None:
        task = self.begin(self.start())
        with self.store.transaction():
            assert self.store.hold_task(task.id) == task
        self.retry(task, self.later())
        with self.store.transaction():
            held = self.store.hold_task(task.id)
            assert held is not None
            assert (held.status, held.token > task.token) == (TaskStatus.QUEUED, True)
            assert self.store.hold_task(a_task().id) is None

    def test_store_works_after_a_failure(self) -> None:
        with self.failing():
            self.start()
        run_id = self.start()
        assert self.commit(run_id, "workflow_started").verdict is Verdict.COMMITTED
