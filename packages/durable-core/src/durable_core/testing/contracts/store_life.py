"""Runs are paused and resumed, and closed ones opened again."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from durable_core.codec import EMPTY_OBJECT, Payload, encode
from durable_core.events import EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Letter, Reopening, Restart, Verdict, new_id
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import HOUR, StoreCases, a_letter, a_run, outcome_of

WAITS = encode({"kind": "worker", "what": "a worker"})


class LifeCases(StoreCases):
    def reopen(self, run_id: UUID, *tasks: Restart, **changes: Any) -> UUID | None:
        with self.store.transaction():
            locked = self.store.lock(run_id)
            assert locked is not None
            seq = locked.record.history_length + 1
            values: dict[str, Any] = {
                "version": locked.record.version,
                "event": EventRecord(seq, "workflow_reopened", None, EMPTY_OBJECT, self.store.now()),
                "waiting_for": WAITS,
                "deadline": None,
                "due_at": None,
                "tasks": tasks,
                "mail": [mail.id for mail in locked.mail],
                **changes,
            }
            return self.store.reopen(Reopening(run_id=run_id, **values))

    def fail(self, run_id: UUID, **changes: Any) -> None:
        self.close(run_id, status=Status.FAILED, error="ValueError: no", **changes)

    def pause(self, run_id: UUID) -> None:
        with self.store.transaction():
            assert self.store.lock(run_id) is not None
            self.store.pause(run_id, "look at it")

    def resume(self, run_id: UUID, due_at: datetime | None = None) -> None:
        with self.store.transaction():
            assert self.store.lock(run_id) is not None
            self.store.resume(run_id, due_at)

    def test_last_run_with_a_workflow_id_is_found_open_or_closed(self) -> None:
        first, new = self.start(workflow_id="user-7"), new_id()
        assert self.store.last_of("user-7", besides=first) is None
        assert self.store.last_of("user-8", besides=new) is None
        self.close(first)
        second = self.start(workflow_id="user-7")
        last = self.store.last_of("user-7", besides=second)
        assert last == self.record_of(first)
        third = self.continue_as_new(second)
        assert self.store.last_of("user-7", besides=new) == self.record_of(third)
        assert self.store.last_of("user-7", besides=third) == self.record_of(first)

    def test_of_starts_that_race_for_an_id_that_is_used_once_one_wins(self) -> None:
        self.start()  # a store may prepare itself on first use

        def start_and_close() -> str:
            run = a_run(workflow_id="user-7")
            with suppress(Interrupted), self.store.transaction():
                [created] = self.store.create([run])
                if not created.created:
                    return "open"
                if self.store.last_of("user-7", besides=run.id) is not None:
                    raise Interrupted
            if self.store.get(run.id) is None:
                return "used"
            self.close(run.id)
            return "mine"

        answers = self.in_threads([start_and_close] * 8)
        assert answers.count("mine") == 1

    def test_paused_run_says_since_when(self) -> None:
        run_id, before = self.start(), self.store.now()
        self.pause(run_id)
        record = self.record_of(run_id)
        assert record.status is Status.PENDING
        assert record.paused_at is not None
        assert before - HOUR < record.paused_at < before + HOUR
        self.resume(run_id)
        assert self.record_of(run_id).paused_at is None

    def test_decision_from_before_a_pause_or_a_resumption_is_a_conflict(self) -> None:
        run_id = self.start()
        for mark in (self.pause, self.resume):
            decision = self.decision(run_id, "workflow_started")
            mark(run_id)
            assert self.store.commit([decision]).results[run_id].verdict is Verdict.CONFLICT
        assert self.event_types(run_id) == []

    def test_paused_run_is_due_at_its_deadline_and_not_before(self) -> None:
        run_id = self.start(due_at=self.store.now(), deadline=self.later(2 * HOUR))
        unlimited = self.start(due_at=self.store.now())
        self.pause(run_id)
        self.pause(unlimited)
        assert self.due_runs(self.later(HOUR)) == []
        assert self.due_runs(self.later(3 * HOUR)) == [run_id]

    def test_resumed_run_is_due_when_it_is_told_or_at_its_deadline(self) -> None:
        soon, late = self.start(), self.start(deadline=self.later(2 * HOUR))
        for run_id in (soon, late):
            self.pause(run_id)
        self.resume(soon, self.store.now())
        self.resume(late, self.later(9 * HOUR))
        assert self.due_runs(self.later(timedelta(seconds=1))) == [soon]
        assert self.due_runs(self.later(3 * HOUR)) == [late]

    def test_reopened_run_is_not_paused(self) -> None:
        run_id = self.start()
        self.pause(run_id)
        self.fail(run_id)
        self.reopen(run_id)
        assert self.record_of(run_id).paused_at is None

    def test_reopened_run_is_running_and_forgets_how_it_ended(self) -> None:
        run_id = self.start(deadline=self.later())
        assert self.commit(run_id, "workflow_started", failures=2).verdict is Verdict.COMMITTED
        word = Letter(run_id, "external_message_delivered", "0", "{}")
        self.fail(run_id, failures=3, crashes=1, result=Payload("1"), unheard=[word])
        before, deadline = self.record_of(run_id), self.later(2 * HOUR)
        assert self.reopen(run_id, deadline=deadline) is None
        record = self.record_of(run_id)
        assert (record.status, record.error, record.result) == (Status.RUNNING, "", None)
        assert (record.failures, record.crashes, record.worker_id) == (0, 0, None)
        assert record.unheard is None
        assert (record.version, record.deadline) == (before.version + 1, deadline)
        assert self.event_types(run_id) == ["workflow_started", "workflow_completed", "workflow_reopened"]
        assert record.history_length == 3
        assert self.read_waiting_for(run_id) == WAITS

    def test_reopened_run_is_decided_on_and_closes_again(self) -> None:
        run_id = self.start()
        self.fail(run_id)
        stale = self.decision(run_id, "timer_fired")
        self.reopen(run_id)
        assert self.store.commit([stale]).results[run_id].verdict is Verdict.CONFLICT
        self.close(run_id)
        assert self.record_of(run_id).status is Status.COMPLETED

    def test_reopened_run_takes_letters_again(self) -> None:
        run_id = self.start()
        self.fail(run_id)
        assert self.deliver(a_letter(run_id)) == []
        self.reopen(run_id)
        assert [wake.run_id for wake in self.deliver(a_letter(run_id))] == [run_id]

    def test_reopened_run_is_due_when_it_is_told_or_at_its_deadline(self) -> None:
        soon, later, never = self.start(), self.start(), self.start()
        for run_id in (soon, later, never):
            self.fail(run_id)
        self.reopen(soon, due_at=self.store.now(), deadline=self.later(2 * HOUR))
        self.reopen(later, deadline=self.later())
        self.reopen(never)
        assert self.due_runs(self.store.now()) == [soon]
        assert self.due_runs(self.later(HOUR + HOUR / 2)) == [later]

    def test_activity_that_begins_anew_is_as_if_never_tried(self) -> None:
        run_id = self.start()
        tried = self.begin(run_id)
        self.report(outcome_of(tried, TaskStatus.FAILED, failure={"type": "ValueError"}, crashes=1))
        self.fail(run_id, mail_read=self.mail_ids(run_id))
        expires_at = self.later()
        self.reopen(run_id, Restart(tried.id, expires_at, self.store.now()))
        [past] = self.store.tasks_of(run_id)
        record = past.record
        assert (record.status, record.attempt, record.crashes) == (TaskStatus.QUEUED, 0, 0)
        assert (record.expires_at, record.started_at, record.retry_at) == (expires_at, None, None)
        assert record.scheduled_at >= tried.scheduled_at
        assert self.due_tasks(self.later(timedelta(seconds=1))) == [tried.id]
        [again] = self.claim(tried.id)
        assert again.attempt == 1
        assert again.token > tried.token

    def test_attempt_from_before_the_reopening_is_refused(self) -> None:
        run_id = self.start()
        running = self.begin(run_id)
        self.fail(run_id)
        self.reopen(run_id, Restart(running.id, None, None))
        assert self.report(outcome_of(running)).rejected == {running.id}
        [again] = self.claim(running.id)
        assert not self.report(outcome_of(again)).rejected

    def test_activity_that_its_code_has_canceled_is_canceled_when_its_run_goes_on(self) -> None:
        run_id = self.start()
        running, late = self.begin(run_id), self.begin(run_id, call_id="1")
        self.report(outcome_of(late, TaskStatus.TIMED_OUT, failure={"type": "ActivityTimeout"}))
        self.fail(run_id, mail_read=self.mail_ids(run_id))
        self.reopen(run_id, canceled=[running.id, late.id])
        assert {past.record.status for past in self.store.tasks_of(run_id)} == {TaskStatus.CANCELED}
        assert self.report(outcome_of(running)).rejected == {running.id}
        assert self.due_tasks(self.later()) == []

    def test_activity_that_is_not_named_stays_as_it_is(self) -> None:
        run_id = self.start()
        done = self.begin(run_id)
        self.report(outcome_of(done, result=Payload('"done"')))
        self.fail(run_id, mail_read=self.mail_ids(run_id))
        self.reopen(run_id)
        found = [(past.record.status, past.result) for past in self.store.tasks_of(run_id)]
        assert found == [(TaskStatus.COMPLETED, '"done"')]

    def test_activities_of_a_run_are_its_own(self) -> None:
        run_id = self.start()
        first, second = self.schedule(run_id, call_id="0"), self.schedule(run_id, call_id="1")
        self.schedule(self.start())
        assert [past.record.id for past in self.store.tasks_of(run_id)] == [first, second]
        assert self.store.tasks_of(new_id()) == []

    def test_workflow_id_that_another_run_has_keeps_a_run_closed(self) -> None:
        run_id = self.start(workflow_id="user-7")
        self.fail(run_id)
        other = self.start(workflow_id="user-7")
        assert self.reopen(run_id) == other
        assert self.record_of(run_id).status is Status.FAILED
        self.close(other)
        assert self.reopen(run_id) is None
        [created] = self.store.create([a_run(workflow_id="user-7")])
        assert (created.run_id, created.created) == (run_id, False)

    def test_start_and_reopening_that_race_for_a_workflow_id_agree(self) -> None:
        run_id = self.start(workflow_id="user-7")
        self.fail(run_id)

        def start() -> UUID:
            [created] = self.store.create([a_run(workflow_id="user-7")])
            return created.run_id

        def reopen() -> UUID:
            return self.reopen(run_id) or run_id

        first, second = self.in_threads([start, reopen])
        assert first == second
