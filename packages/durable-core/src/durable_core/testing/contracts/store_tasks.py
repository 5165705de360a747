"""Attempts are begun once, and end once."""

from __future__ import annotations

from datetime import timedelta

from durable_core.codec import Payload
from durable_core.execution import Status, TaskStatus
from durable_core.ports import new_id
from durable_core.testing.contracts.builders import HOUR, SECOND, StoreCases, a_task, outcome_of

BACKOFF = 0.2  # seconds, for cases that wait until a backoff is over


class TaskCases(StoreCases):
    def test_claim_begins_the_first_attempt(self) -> None:
        run_id, expires_at = self.start(), self.later()
        task = self.begin(
            run_id,
            queue="mail",
            priority=2,
            expires_at=expires_at,
            schedule_to_start=2 * SECOND,
            start_to_close=3 * SECOND,
            heartbeat_timeout=timedelta(milliseconds=1500),
            at_most_once=True,
        )
        assert task.at_most_once
        assert not self.begin(run_id).at_most_once
        assert (task.status, task.attempt, task.crashes) == (TaskStatus.RUNNING, 1, 0)
        assert (task.activity_name, task.input) == ("send_mail", '{"args":[7],"kwargs":{}}')
        assert (task.queue, task.priority, task.expires_at) == ("mail", 2, expires_at)
        assert (task.schedule_to_start, task.start_to_close) == (2 * SECOND, 3 * SECOND)
        assert task.heartbeat_timeout == timedelta(milliseconds=1500)
        assert task.started_at is not None
        assert task.scheduled_at <= task.queued_at <= task.started_at
        assert (task.heartbeat_at, task.heartbeat_details, task.failure) == (None, None, None)

    def test_task_is_claimed_once(self) -> None:
        task_id = self.schedule(self.start())
        assert len(self.claim(task_id)) == 1
        assert self.claim(task_id) == []

    def test_task_named_twice_is_claimed_once(self) -> None:
        task_id = self.schedule(self.start())
        assert len(self.claim(task_id, task_id)) == 1

    def test_eight_threads_claim_a_task_once(self) -> None:
        task_ids = [self.schedule(self.start()) for _ in range(5)]
        claimed = self.in_threads([lambda: self.claim(*task_ids)] * 8)
        assert sorted(task.id for tasks in claimed for task in tasks) == sorted(task_ids)

    def test_claim_leaves_out_what_is_unknown_or_closed(self) -> None:
        run_id = self.start()
        done, queued = self.begin(run_id), self.schedule(run_id)
        self.report(outcome_of(done))
        assert [task.id for task in self.claim(new_id(), done.id, queued)] == [queued]

    def test_attempt_and_token_go_up_with_every_claim(self) -> None:
        first = self.begin(self.start())
        self.retry(first, self.store.now())
        (second,) = self.claim(first.id)
        assert (first.attempt, second.attempt) == (1, 2)
        assert second.token > first.token

    def test_task_in_backoff_is_not_claimed(self) -> None:
        task = self.begin(self.start())
        self.retry(task, self.later())
        assert self.claim(task.id) == []

    def test_task_is_claimed_after_its_backoff(self) -> None:
        task = self.begin(self.start())
        self.retry(task, self.later(timedelta(seconds=BACKOFF)))
        self.pass_time(2 * BACKOFF)
        (second,) = self.claim(task.id)
        assert second.retry_at is None

    def test_requeue_ends_a_backoff(self) -> None:
        task = self.begin(self.start())
        self.retry(task, self.later())
        self.store.requeue({task.id: None})
        assert [claimed.id for claimed in self.claim(task.id)] == [task.id]

    def test_requeue_does_not_restart_the_wait_for_a_worker(self) -> None:
        task_id = self.schedule(self.start())
        before = self.store.now()
        self.pass_time(BACKOFF)
        self.store.requeue({task_id: self.later()})
        (task,) = self.claim(task_id)
        assert task.queued_at < before + timedelta(seconds=BACKOFF)

    def test_requeue_touches_queued_tasks_only(self) -> None:
        run_id = self.start()
        running, done = self.begin(run_id), self.begin(run_id)
        self.report(outcome_of(done))
        self.store.requeue({running.id: None, done.id: None, new_id(): None})
        assert self.claim(running.id, done.id) == []

    # Outcomes

    def test_final_outcome_closes_the_task_and_mails_the_open_run(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        outcome = outcome_of(task, result=Payload("1"))
        receipt = self.report(outcome)
        assert receipt.rejected == frozenset()
        assert [wake.run_id for wake in receipt.wakes] == [run_id]
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED
        assert outcome.letter is not None
        assert self.mail_details(run_id) == [outcome.letter.details]

    def test_task_can_end_in_every_final_status(self) -> None:
        run_id = self.start()
        for status in TaskStatus:
            if status.is_closed:
                task = self.begin(run_id)
                self.report(outcome_of(task, status))
                assert self.read_task_status(task.id) is status

    def test_second_outcome_of_an_attempt_is_refused_and_not_mailed(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.report(outcome_of(task, TaskStatus.TIMED_OUT))
        receipt = self.report(outcome_of(task))
        assert (receipt.rejected, receipt.wakes) == (frozenset({task.id}), [])
        assert self.read_task_status(task.id) is TaskStatus.TIMED_OUT
        assert len(self.mail_ids(run_id)) == 1

    def test_stale_token_cannot_complete_a_reclaimed_task(self) -> None:
        run_id = self.start()
        stale = self.begin(run_id)
        self.retry(stale, self.store.now())
        (current,) = self.claim(stale.id)
        assert self.report(outcome_of(stale)).rejected == {stale.id}
        assert self.mail_ids(run_id) == []
        assert self.report(outcome_of(current)).rejected == frozenset()

    def test_late_outcome_of_an_attempt_already_retried_is_refused(self) -> None:
        """It timed out and waits for its next attempt; what the thread that ran it says now comes too late."""
        run_id = self.start()
        task = self.begin(run_id)
        self.retry(task, self.later())
        assert self.report(outcome_of(task)).rejected == {task.id}
        assert self.read_task_status(task.id) is TaskStatus.QUEUED
        assert self.mail_ids(run_id) == []

    def test_outcome_of_an_unknown_task_is_refused(self) -> None:
        task = self.begin(self.start())
        stranger = outcome_of(task, task_id=new_id())
        assert self.report(stranger).rejected == {stranger.task_id}

    def test_refused_outcome_does_not_stop_the_others(self) -> None:
        run_id = self.start()
        late, good = self.begin(run_id), self.begin(run_id)
        self.report(outcome_of(late))
        receipt = self.report(outcome_of(late), outcome_of(good))
        assert receipt.rejected == {late.id}
        assert self.read_task_status(good.id) is TaskStatus.COMPLETED

    def test_queued_task_can_be_closed(self) -> None:
        """As the scheduler does with one whose schedule-to-close limit is over."""
        task = self.begin(self.start(), expires_at=self.later())
        self.retry(task, self.later())
        (waiting,) = self.due(self.later(2 * HOUR)).tasks
        assert waiting.status is TaskStatus.QUEUED
        assert self.report(outcome_of(waiting, TaskStatus.TIMED_OUT)).rejected == frozenset()
        assert self.read_task_status(task.id) is TaskStatus.TIMED_OUT

    def test_retry_tells_the_run_nothing(self) -> None:
        run_id = self.start()
        receipt = self.report(outcome_of(self.begin(run_id), TaskStatus.QUEUED, retry_at=self.later()))
        assert (receipt.rejected, receipt.wakes) == (frozenset(), [])
        assert self.mail_ids(run_id) == []

    def test_retry_keeps_failure_and_crashes_for_the_next_attempt(self) -> None:
        task = self.begin(self.start())
        failure = {"type": "ValueError", "message": "no", "cause": {"type": "KeyError", "cause": None}}
        self.retry(task, self.store.now(), failure=failure, crashes=2)
        (second,) = self.claim(task.id)
        assert second.failure is not None
        assert (dict(second.failure), second.crashes) == (failure, 2)

    def test_two_reports_of_one_attempt_cannot_both_be_accepted(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        receipts = self.in_threads([lambda: self.report(outcome_of(task))] * 4)
        assert sum(not receipt.rejected and not receipt.busy for receipt in receipts) == 1
        assert len(self.mail_ids(run_id)) == 1

    # Back into the queue

    def test_given_back_attempt_is_not_charged(self) -> None:
        task = self.begin(self.start())
        with self.store.transaction():
            (given,) = self.store.give_back({task.id: task.token}).queued
        assert (given.id, given.status, given.attempt) == (task.id, TaskStatus.QUEUED, 0)
        (again,) = self.claim(task.id)
        assert again.attempt == 1
        assert again.token > task.token
        assert self.report(outcome_of(task)).rejected == {task.id}

    def test_only_the_attempt_that_is_held_can_be_given_back(self) -> None:
        run_id = self.start()
        stale, done = self.begin(run_id), self.begin(run_id)
        self.retry(stale, self.store.now())
        (current,) = self.claim(stale.id)
        self.report(outcome_of(done))
        with self.store.transaction():
            assert self.store.give_back({stale.id: stale.token, done.id: done.token, new_id(): 1}).queued == []
        assert self.report(outcome_of(current)).rejected == frozenset()

    def test_forgotten_are_the_claims_a_worker_does_not_know_of(self) -> None:
        worker, run_id = new_id(), self.start()
        known, forgotten = (self.begin(run_id, worker_id=worker) for _ in range(2))
        done, others = self.begin(run_id, worker_id=worker), self.begin(run_id)
        self.report(outcome_of(done))
        assert self.store.forgotten(worker, [(known.id, known.token)]) == {forgotten.id: forgotten.token}
        assert others.id not in self.store.forgotten(worker, [])
        # That an earlier attempt is known says nothing of this one.
        assert self.store.forgotten(worker, [(known.id, known.token - 1)])[known.id] == known.token

    # The run closes

    def test_queued_tasks_close_with_their_run_as_told(self) -> None:
        for status in (TaskStatus.CANCELED, TaskStatus.FAILED):
            run_id = self.start()
            waiting, in_backoff = self.schedule(run_id), self.begin(run_id)
            self.retry(in_backoff, self.later())
            new = a_task()
            self.close(run_id, close_tasks_as=status, tasks=[new])
            assert {self.read_task_status(id_) for id_ in (waiting, in_backoff.id, new.id)} == {status}
            assert self.claim(waiting) == []

    def test_queued_tasks_are_kept_if_told_so_and_run_all_the_same(self) -> None:
        run_id = self.start()
        task_id = self.schedule(run_id)
        self.close(run_id, status=Status.CANCELED, close_tasks_as=None)
        assert self.read_task_status(task_id) is TaskStatus.QUEUED
        [task] = self.claim(task_id)
        self.report(outcome_of(task, TaskStatus.QUEUED, retry_at=self.store.now()))
        assert self.read_task_status(task_id) is TaskStatus.QUEUED

    def test_kept_tasks_in_backoff_come_due(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.retry(task, self.later())
        self.close(run_id, status=Status.CANCELED, close_tasks_as=None)
        assert self.due_tasks(self.later(2 * HOUR)) == [task.id]

    def test_closing_a_run_leaves_the_tasks_of_others_alone(self) -> None:
        other = self.schedule(self.start())
        self.close(self.start())
        assert len(self.claim(other)) == 1

    def test_outcome_for_a_closed_run_closes_the_task_and_mails_nobody(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.close(run_id)
        assert self.read_task_status(task.id) is TaskStatus.RUNNING
        receipt = self.report(outcome_of(task))
        assert (receipt.rejected, receipt.wakes) == (frozenset(), [])
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED
        assert self.mail_ids(run_id) == []

    def test_retry_for_a_closed_run_begins_no_attempt(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.close(run_id)
        self.report(outcome_of(task, TaskStatus.QUEUED, retry_at=self.store.now()))
        assert self.claim(task.id) == []
