"""Decisions are written whole, or not at all."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from durable_core.codec import NULL, Payload
from durable_core.execution import CLOSED_STATUSES, Status, TaskStatus
from durable_core.ports import Commit, CommitResult, Verdict, new_id
from durable_core.testing.contracts.builders import StoreCases, a_letter, a_run, a_task, outcome_of


class CommitCases(StoreCases):
    def everything(self, run_id: UUID, task_id: UUID, other: UUID) -> dict[str, Any]:
        """What a commit may write besides events: a task, a child, a letter, mail read."""
        return {
            "tasks": [a_task(id=task_id)],
            "children": [a_run(parent_id=run_id, parent_call_id="1")],
            "letters": [a_letter(other)],
            "mail_read": self.mail_ids(run_id),
        }

    def test_commit_writes_everything(self) -> None:
        run_id, other, task_id = self.start(), self.start(), new_id()
        self.deliver(a_letter(run_id))
        extras = self.everything(run_id, task_id, other)
        committed = self.store.commit([self.decision(run_id, "workflow_started", **extras)])
        assert committed.results[run_id] == CommitResult(Verdict.COMMITTED, [])
        assert [wake.run_id for wake in committed.wakes] == [other]
        assert self.event_types(run_id) == ["workflow_started"]
        assert self.mail_ids(run_id) == []
        assert len(self.mail_ids(other)) == 1
        assert self.store.children(run_id) == [extras["children"][0].id]
        (task,) = self.claim(task_id)
        assert (task.run_id, task.call_id, task.activity_name) == (run_id, "0", "send_mail")
        assert dict(task.retry_policy) == {"maximum_attempts": 3}

    def test_commit_sets_the_state_of_the_run(self) -> None:
        run_id, worker_id = self.start(), new_id()
        self.commit(
            run_id,
            status=Status.BLOCKED,
            error="NondeterminismError: 4 is a timer",
            failures=3,
            crashes=1,
            worker_id=worker_id,
        )
        record = self.record_of(run_id)
        assert (record.status, record.error) == (Status.BLOCKED, "NondeterminismError: 4 is a timer")
        assert (record.failures, record.crashes, record.worker_id) == (3, 1, worker_id)

    def test_every_commit_moves_the_version(self) -> None:
        run_id = self.start()
        versions = [self.record_of(run_id).version]
        for _ in range(3):
            self.commit(run_id)
            versions.append(self.record_of(run_id).version)
        assert versions == [0, 1, 2, 3]

    def test_history_grows_from_one_without_gaps(self) -> None:
        run_id = self.start()
        self.commit(run_id, "workflow_started", "timer_started")
        self.commit(run_id)
        self.commit(run_id, "timer_fired")
        events = self.store.load([run_id])[run_id].events
        assert [event.seq for event in events] == [1, 2, 3]
        assert self.record_of(run_id).history_length == 3

    def test_events_are_read_as_they_were_written(self) -> None:
        run_id = self.start()
        decision = self.decision(run_id, "workflow_started", "timer_started")
        timer = '{"fire_at":"2026-01-01T00:00:00+00:00"}'
        started, timer_started = decision.events
        decision.events = [started, timer_started._replace(call_id="4.1.2", details=timer)]
        self.store.commit([decision])
        assert self.store.load([run_id])[run_id].events == decision.events

    def test_waiting_for_is_what_the_last_commit_said(self) -> None:
        run_id = self.start()
        self.commit(run_id, waiting_for='{"kind":"signal"}')
        assert self.read_waiting_for(run_id) == '{"kind":"signal"}'
        self.commit(run_id)
        assert self.read_waiting_for(run_id) is None

    def test_result_of_none_is_not_the_result_null(self) -> None:
        failed, returned_none = self.start(), self.start()
        self.close(failed, status=Status.FAILED, error="ValueError: no")
        self.close(returned_none, result=NULL)
        assert self.record_of(failed).result is None
        assert self.record_of(returned_none).result == "null"

    def test_run_can_close_in_every_way(self) -> None:
        for status in CLOSED_STATUSES:
            run_id = self.start()
            self.close(run_id, status=status, result=Payload("[1]"))
            assert self.record_of(run_id).status is status

    def test_stale_version_is_a_conflict_and_writes_nothing(self) -> None:
        run_id, other, task_id = self.start(), self.start(), new_id()
        stale = self.decision(run_id, "workflow_started")
        self.commit(run_id, "workflow_started")
        self.deliver(a_letter(run_id))
        before = self.store.load([run_id])
        for name, value in self.everything(run_id, task_id, other).items():
            setattr(stale, name, value)
        committed = self.store.commit([stale])
        assert committed.results[run_id].verdict is Verdict.CONFLICT
        assert committed.wakes == []
        assert self.store.load([run_id]) == before
        assert self.mail_ids(other) == []
        assert self.store.children(run_id) == []
        assert self.claim(task_id) == []

    def test_closed_run_is_a_conflict(self) -> None:
        run_id = self.start()
        self.close(run_id)
        before = self.store.load([run_id])
        assert self.commit(run_id, "timer_fired").verdict is Verdict.CONFLICT
        assert self.store.load([run_id]) == before

    def test_unknown_run_is_a_conflict(self) -> None:
        run_id = new_id()
        commit = Commit(run_id=run_id, version=0, status=Status.RUNNING)
        assert self.store.commit([commit]).results[run_id].verdict is Verdict.CONFLICT

    def test_empty_batch_is_fine(self) -> None:
        committed = self.store.commit([])
        assert (committed.results, committed.wakes) == ({}, [])

    def test_bad_run_in_a_batch_does_not_stop_the_others(self) -> None:
        first, stale, closed, last = self.start(), self.start(), self.start(), self.start()
        batch = [self.decision(run_id, "workflow_started") for run_id in (first, stale, closed, last)]
        self.commit(stale)
        self.close(closed)
        results = self.store.commit(batch).results
        verdicts = [results[run_id].verdict for run_id in (first, stale, closed, last)]
        assert verdicts == [Verdict.COMMITTED, Verdict.CONFLICT, Verdict.CONFLICT, Verdict.COMMITTED]
        assert self.event_types(first) == self.event_types(last) == ["workflow_started"]
        assert self.event_types(stale) == []

    def test_large_batch_commits_every_run(self) -> None:
        runs = [self.start() for _ in range(50)]
        results = self.store.commit([self.decision(run_id, "workflow_started") for run_id in runs]).results
        assert {results[run_id].verdict for run_id in runs} == {Verdict.COMMITTED}
        assert all(len(loaded.events) == 1 for loaded in self.store.load(runs).values())

    def test_two_commits_on_one_version_cannot_both_succeed(self) -> None:
        run_id = self.start()
        decisions = [self.decision(run_id, "workflow_started") for _ in range(4)]

        def commit(decision: Commit) -> Verdict:
            return self.store.commit([decision]).results[run_id].verdict

        verdicts = self.in_threads([partial(commit, decision) for decision in decisions])
        assert verdicts.count(Verdict.COMMITTED) == 1
        assert self.event_types(run_id) == ["workflow_started"]

    # Mail

    def test_commit_removes_the_mail_it_read_and_answers_the_rest(self) -> None:
        run_id = self.start()
        self.deliver(a_letter(run_id, "a"), a_letter(run_id, "b"), a_letter(run_id, "c"))
        first, second, third = self.store.unread({run_id: 0})[run_id]
        result = self.commit(run_id, "signal_received", mail_read=[first.id])
        assert result == CommitResult(Verdict.COMMITTED, [second, third])
        assert self.mail_ids(run_id) == [second.id, third.id]

    def test_commit_does_not_touch_the_mail_of_others(self) -> None:
        run_id, other = self.start(), self.start()
        self.deliver(a_letter(other))
        self.commit(run_id, mail_read=self.mail_ids(other))
        assert len(self.mail_ids(other)) == 1

    def test_closing_commit_with_unread_mail_is_refused_and_writes_nothing(self) -> None:
        run_id, other, task_id = self.start(), self.start(), new_id()
        self.deliver(a_letter(run_id, "seen"))
        extras = self.everything(run_id, task_id, other)
        self.deliver(a_letter(run_id, "unseen"))
        before = self.store.load([run_id])
        decision = self.decision(run_id, "workflow_completed", status=Status.COMPLETED, result=NULL, **extras)
        committed = self.store.commit([decision])
        assert committed.results[run_id].verdict is Verdict.UNREAD
        unseen = [mail for mail in committed.results[run_id].mail if mail.id not in decision.mail_read]
        assert [mail.details for mail in unseen] == [a_letter(run_id, "unseen").details]
        assert committed.wakes == []
        assert self.store.load([run_id]) == before
        assert (self.mail_ids(other), self.store.children(run_id), self.claim(task_id)) == ([], [], [])

    def test_closing_commit_that_read_all_mail_is_accepted(self) -> None:
        run_id = self.start()
        self.deliver(a_letter(run_id))
        result = self.commit(run_id, status=Status.COMPLETED, result=NULL, mail_read=self.mail_ids(run_id))
        assert result.verdict is Verdict.COMMITTED

    def test_letter_to_a_closed_run_is_dropped(self) -> None:
        run_id, closed = self.start(), self.start()
        self.close(closed)
        committed = self.store.commit([self.decision(run_id, letters=[a_letter(closed), a_letter(new_id())])])
        assert committed.results[run_id].verdict is Verdict.COMMITTED
        assert committed.wakes == []
        assert self.mail_ids(closed) == []

    # Outcomes of attempts that ran in the committing worker

    def test_outcome_in_a_commit_closes_the_task_and_sends_no_letter(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        outcome = outcome_of(task, result=Payload("1"))
        assert self.commit(run_id, "activity_completed", outcomes=[outcome]).verdict is Verdict.COMMITTED
        assert self.read_task_status(task.id) is TaskStatus.COMPLETED
        assert self.mail_ids(run_id) == []  # the fact is in the history already

    def test_stale_outcome_in_a_commit_is_a_conflict_and_writes_nothing(self) -> None:
        run_id = self.start()
        fresh, taken = self.begin(run_id, call_id="0"), self.begin(run_id, call_id="1")
        self.retry(taken, self.store.now())
        before = self.store.load([run_id])
        outcomes = [outcome_of(fresh), outcome_of(taken)]
        result = self.commit(run_id, "activity_completed", "activity_completed", outcomes=outcomes)
        assert result.verdict is Verdict.CONFLICT
        assert self.store.load([run_id]) == before
        assert self.read_task_status(fresh.id) is TaskStatus.RUNNING
        assert self.read_task_status(taken.id) is TaskStatus.QUEUED

    def test_task_committed_as_claimed_is_running_its_first_attempt(self) -> None:
        run_id, worker = self.start(), new_id()
        task = a_task(claimed=True)
        self.commit(run_id, tasks=[task], worker_id=worker)
        assert self.claim(task.id) == []
        assert self.store.forgotten(worker, []) == {task.id: 1}
