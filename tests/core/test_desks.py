"""The two desks of a worker: what is begun and given back there, and what is said of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from durable_core.codec import NULL
from durable_core.errors import StoreUnavailable
from durable_core.execution import Status, TaskStatus
from durable_core.failures import invented
from durable_core.ports import ClaimedTasks, EntryKind, GivenBack, Receipt, Wake
from durable_core.retry import RetryPolicy
from durable_core.testing import InMemoryHistoryStore
from durable_core.worker import attempts
from durable_core.worker.activities import ActivityDesk
from durable_core.worker.attempt import Ending
from durable_core.worker.inline import InlineExecutor
from tests.core.stories import loads
from tests.core.test_worker import Bench

SECOND = timedelta(seconds=1)
WORKER = UUID(int=90)
FAILURE = invented("Error", "no")


class Row(InMemoryHistoryStore):
    """Tasks that somebody holds are busy."""

    busy: frozenset[UUID] = frozenset()
    is_away = False

    def claim_tasks(self, task_ids, worker_id):
        free = [task_id for task_id in task_ids if task_id not in self.busy]
        return ClaimedTasks(super().claim_tasks(free, worker_id)[0], self.busy)

    def give_back(self, attempts):
        if self.is_away:
            raise StoreUnavailable("no server", ambiguous=False)
        return super().give_back(attempts)


class Desk(Bench):
    """A desk, and activities in the queue for it."""

    def __init__(self, *, max_crashes=3, slots=10, **limits):
        super().__init__(Row, exclude=("theirs",))

        @self.registry.activity(queue="theirs", retry_policy=RetryPolicy(initial_interval=2))
        def act(): ...

        @self.registry.workflow
        def calls(ctx):
            ctx.run_activity(act.using(**limits))

        self.executor = InlineExecutor(slots=slots, clock=self.clock, wake=lambda: None, payload_limit=100)
        self.desk = ActivityDesk(self.store, self.queue, self.registry, self.executor, WORKER, max_crashes=max_crashes)

    def queued(self, number=1):
        for _ in range(number):
            self.start("calls")
        self.worker().run(until_idle=True)
        return self.queue.claim(WORKER, {EntryKind.ACTIVITY: number}, queues=("theirs",), exclude=())

    def kill(self, claims, times=1):
        """As many workers die over these activities."""
        for claim in claims:
            for _ in range(times):
                [task], _busy = self.store.claim_tasks([claim.entry.ref], WORKER)
                dead = attempts.worker_died(task, self.store.now(), charged=True, max_crashes=99)
                self.store.record_outcomes([dead])
                self.clock.advance(60)

    def begun(self, number=1):
        self.desk.begin(self.queued(number))
        return self.executor.attempts()

    def entries(self):
        """Of the activities' queue: ready, claimed, delayed."""
        stats = [stats for stats in self.queue.stats() if stats.queue == "theirs"]
        return (stats[0].ready, stats[0].claimed, stats[0].delayed) if stats else (0, 0, 0)

    def ready_after(self, seconds):
        self.clock.advance(seconds - 0.01)
        before = self.entries()[0]
        self.clock.advance(0.01)
        return before, self.entries()[0]


# Beginning


def test_entry_has_done_its_work_when_its_activity_is_claimed():
    desk = Desk()
    [attempt] = desk.begun()
    assert desk.entries() == (0, 0, 0)
    assert (attempt.task.attempt, attempt.definition.name) == (1, "act")
    assert desk.store.task_status(attempt.task.id) is TaskStatus.RUNNING
    assert not desk.desk.is_idle
    assert desk.desk.runs_here == {attempt.task.run_id}


def test_activities_that_run_here_hear_at_once_that_their_run_wants_them_no_more():
    desk = Desk()
    wanted, unwanted = desk.begun(2)
    desk.desk.cancel(unwanted.task.run_id, {"1"})
    desk.desk.cancel(wanted.task.run_id, set())
    assert (wanted.current.canceled, unwanted.current.canceled) == (False, False)
    desk.desk.cancel(unwanted.task.run_id, {unwanted.task.call_id})
    assert (wanted.current.canceled, unwanted.current.canceled) == (False, True)


def test_activity_that_somebody_holds_is_tried_again_in_half_a_second():
    desk = Desk()
    held, free = desk.queued(2)
    desk.store.busy = frozenset({held.entry.ref})
    desk.desk.begin([held, free])
    assert [attempt.task.id for attempt in desk.executor.attempts()] == [free.entry.ref]
    assert desk.entries() == (0, 0, 1)
    assert desk.ready_after(0.5) == (0, 1)


def test_activity_that_is_unknown_here_is_left_to_others_with_a_hint(caplog):
    desk = Desk()
    [claim] = desk.queued()
    definition = desk.registry.activities["act"]
    desk.registry.activities.clear()
    desk.registry.activities["acts"] = definition
    desk.desk.begin([claim])
    assert desk.executor.attempts() == []
    assert desk.entries() == (0, 0, 1)
    assert desk.ready_after(5) == (0, 1)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("no activity 'act' here (")
    assert "'acts'" in record.getMessage()
    [run] = desk.store._runs
    assert (record.execution_id, record.activity) == (str(run.record.id), "act")
    assert loads(desk.store.waiting_for(run.record.id)) == {
        "kind": "worker",
        "what": "a worker that has activity 'act'",
    }
    [task], _busy = desk.store.claim_tasks([claim.entry.ref], WORKER)
    assert (task.attempt, task.crashes) == (1, 0)


def test_of_activities_that_are_given_up_with_this_worker_one_runs_at_a_time():
    desk = Desk(max_crashes=3)
    suspect, innocent, other = desk.queued(3)
    desk.kill([suspect, other], times=2)
    desk.desk.begin([suspect, innocent, other])
    running = [attempt.task.id for attempt in desk.executor.attempts()]
    assert running == [suspect.entry.ref, innocent.entry.ref]
    assert desk.desk.holds_suspect
    assert desk.ready_after(1) == (0, 1)
    [again] = desk.queue.claim(WORKER, {EntryKind.ACTIVITY: 1}, queues=("theirs",), exclude=())
    desk.desk.begin([again])
    assert len(desk.executor.attempts()) == 2


@pytest.mark.parametrize(
    ("crashes", "most", "is_last"), [(0, 3, False), (1, 3, False), (2, 3, True), (0, 1, False), (1, 1, True)]
)
def test_last_chance_is_the_one_before_too_many(crashes, most, is_last):
    desk = Desk(max_crashes=most)
    claims = desk.queued()
    desk.kill(claims, times=crashes)
    desk.desk.begin(claims)
    assert desk.desk.holds_suspect == is_last


@pytest.mark.parametrize(("name", "slots", "begins"), [("act", 1, True), ("other", 1, False), ("act", 0, False)])
def test_activity_begins_here_if_it_is_known_and_there_is_room(name, slots, begins):
    desk = Desk(slots=slots)
    assert desk.desk.starts_here(name, 0) == begins
    assert not desk.desk.starts_here(name, 1)


# Ending


def test_attempts_that_ended_are_counted_and_become_outcomes():
    desk = Desk()
    now = desk.store.now()
    tasks = [attempt.task for attempt in desk.begun(2)]
    assert desk.desk.collect(now) == [attempts.completed(task, NULL) for task in tasks]
    assert (desk.desk.done, desk.desk.collect(now)) == (2, [])
    assert desk.desk.is_idle


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {}),
        ({"retryable": False}, {"retryable": False}),
        ({"next_delay": 9 * SECOND}, {"next_delay": 9 * SECOND}),
        ({"type_names": ("Refused",)}, {"type_names": ("Refused",)}),
    ],
)
def test_failed_attempt_is_judged_by_all_that_is_known_of_it(told, expected, monkeypatch):
    desk = Desk(retry_policy=RetryPolicy(initial_interval=2, non_retryable_error_types=("Refused",)))
    [attempt] = desk.begun()
    now = desk.store.now()
    monkeypatch.setattr(desk.executor, "endings", lambda: [Ending(attempt, None, FAILURE, **told)])
    assert desk.desk.collect(now) == [attempts.failed(attempt.task, FAILURE, now, **expected)]


def test_attempt_that_let_itself_be_canceled_is_no_failure(monkeypatch):
    desk = Desk()
    [attempt] = desk.begun()
    monkeypatch.setattr(desk.executor, "endings", lambda: [Ending(attempt, None, FAILURE, canceled=True)])
    assert desk.desk.collect(desk.store.now()) == [attempts.canceled(attempt.task, FAILURE)]


@pytest.mark.parametrize(("crashes", "retried"), [(0, True), (1, True), (2, False)])
def test_death_of_a_process_counts_as_that_of_a_worker(monkeypatch, crashes, retried):
    desk = Desk(max_crashes=3)
    [attempt] = desk.begun()
    attempt.task = replace(attempt.task, crashes=crashes)
    died = Ending(attempt, None, {**FAILURE}, ("ProcessDied",), crashed=True)
    monkeypatch.setattr(desk.executor, "endings", lambda: [died])
    [outcome] = desk.desk.collect(desk.store.now())
    assert (outcome.crashes, outcome.retry_at is not None) == (crashes + 1, retried)
    assert outcome.failure is not None
    assert ("MAX_CRASHES is 3" in outcome.failure["message"]) is not retried


def test_activities_here_are_told_of_a_cancel_with_all_that_goes_with_it():
    desk = Desk()
    [attempt] = desk.begun()
    told = []
    attempt.on_cancel = lambda: told.append(attempt)
    desk.desk.cancel(attempt.task.run_id, {attempt.task.call_id})
    desk.desk.cancel(attempt.task.run_id, {attempt.task.call_id})
    assert attempt.current.canceled
    assert told == [attempt]


def test_late_attempt_is_timed_out_by_its_own_worker(monkeypatch):
    desk = Desk(start_to_close=5)
    [attempt] = desk.begun()
    now = desk.store.now()
    monkeypatch.setattr(desk.executor, "endings", list)
    monkeypatch.setattr(desk.executor, "overdue", lambda: [attempt])
    assert desk.desk.collect(now) == [attempts.timed_out(attempt.task, "start_to_close", now)]
    assert desk.desk.done == 0


# Reporting


def test_nothing_to_report_is_nothing_to_wait_for():
    assert Desk().desk.flush() is None


def test_report_says_when_the_first_retry_is_due():
    desk = Desk()
    now = desk.store.now()
    for seconds, attempt in zip((7, 3), desk.begun(2), strict=True):
        desk.desk.report(attempts.failed(attempt.task, FAILURE, now, next_delay=seconds * SECOND))
    assert desk.desk.flush() == now + 3 * SECOND
    assert desk.desk.flush() is None


@pytest.mark.parametrize("leaving", [False, True])
def test_run_is_woken_where_it_is_in_memory_unless_that_worker_leaves(leaving, monkeypatch):
    desk = Desk()
    [attempt] = desk.begun()
    run_id = attempt.task.run_id
    receipt = Receipt(frozenset(), [Wake(run_id, "default", 2, WORKER)])
    monkeypatch.setattr(desk.store, "record_outcomes", lambda outcomes: receipt)
    desk.desk.leaving = leaving
    desk.desk.report(attempts.completed(attempt.task, NULL))
    desk.desk.flush()
    [item] = [item for item in desk.queue._items if item.entry.ref == run_id and item.is_ready]
    assert item.entry == (EntryKind.RUN, run_id, "default", 2, None if leaving else WORKER)


def test_outcome_that_came_too_late_is_told_of_once(caplog):
    caplog.set_level(logging.INFO)
    desk = Desk()
    [attempt] = desk.begun()
    outcome = attempts.completed(attempt.task, NULL)
    desk.store.record_outcomes([outcome])
    caplog.clear()
    desk.desk.report(outcome)
    desk.desk.flush()
    [record] = caplog.records
    told = f"an outcome of activity task {attempt.task.id} came too late and was refused"
    assert (record.getMessage(), record.levelno) == (told, logging.INFO)
    assert desk.desk.is_idle is False  # the executor has it still
    desk.desk.collect(desk.store.now())
    assert desk.desk.is_idle


# Giving back


def test_what_is_given_back_is_ready_for_others_at_once():
    desk = Desk()
    [attempt] = desk.begun()
    desk.desk.withdraw()
    assert desk.executor.attempts() == []
    assert desk.entries() == (1, 0, 0)
    assert desk.store.task_status(attempt.task.id) is TaskStatus.QUEUED


@pytest.mark.parametrize("leaving", [False, True])
def test_run_of_a_canceled_attempt_that_is_given_back_is_woken_at_once(leaving, monkeypatch):
    desk = Desk()
    [attempt] = desk.begun()
    run_id = attempt.task.run_id
    told = GivenBack([], [Wake(run_id, "default", 2, WORKER)])
    monkeypatch.setattr(desk.store, "give_back", lambda attempts: told)
    desk.desk.leaving = leaving
    desk.desk.withdraw()
    assert desk.entries() == (0, 0, 0)
    [item] = [item for item in desk.queue._items if item.entry.ref == run_id and item.is_ready]
    assert item.entry == (EntryKind.RUN, run_id, "default", 2, None if leaving else WORKER)


def test_what_has_begun_is_withdrawn_only_where_that_is_asked_for():
    desk = Desk()
    [attempt] = desk.begun()
    attempt.begun = 1.0
    desk.desk.withdraw()
    assert desk.executor.attempts() == [attempt]
    desk.desk.withdraw(begun=True)
    assert desk.entries() == (1, 0, 0)


def test_what_runs_at_most_once_and_has_begun_fails_instead_of_being_given_back():
    desk = Desk(at_most_once=True)
    begun, waiting = desk.begun(2)
    begun.begun = 1.0
    desk.desk.withdraw(begun=True)
    desk.desk.flush()
    assert desk.store.task_status(begun.task.id) is TaskStatus.FAILED
    assert desk.store.task_status(waiting.task.id) is TaskStatus.QUEUED


def test_what_was_left_to_others_is_neither_given_back_nor_given_up():
    desk = Desk()
    left, mine = desk.begun(2)
    left.begun = mine.begun = 1.0
    left.is_left = True
    desk.store.detach(left.task.id, left.task.token, desk.store.now() + SECOND)
    desk.desk.abandon_all(desk.store.now())
    desk.desk.flush()
    assert desk.store.task_status(left.task.id) is TaskStatus.RUNNING
    assert desk.store.task_status(mine.task.id) is TaskStatus.QUEUED
    other = Desk()
    [left] = other.begun()
    left.begun, left.is_left = 1.0, True
    other.desk.withdraw(begun=True)
    other.desk.flush()
    assert other.entries() == (0, 0, 0)


def test_after_an_outage_while_giving_back_only_the_store_knows_what_is_claimed():
    desk = Desk()
    desk.begun()
    desk.store.is_away = True
    with pytest.raises(StoreUnavailable) as caught:
        desk.desk.withdraw()
    assert caught.value.ambiguous
    desk.store.is_away = False
    desk.desk.reconcile(())
    assert desk.entries() == (1, 0, 0)


def test_what_is_known_here_in_any_way_is_not_given_back():
    desk = Desk()
    held, undecided, reported = desk.begun(3)
    for attempt in (undecided, reported):
        desk.executor.abandon(attempt)
    desk.desk.report(attempts.completed(reported.task, NULL))
    desk.desk.reconcile([(undecided.task.id, undecided.task.token)])
    assert desk.entries() == (0, 0, 0)
    desk.desk.reconcile(())
    assert desk.entries() == (1, 0, 0)
    assert desk.executor.attempts() == [held]


def test_worker_that_was_declared_dead_gives_up_what_has_begun_and_drops_the_rest(monkeypatch):
    desk = Desk()
    begun, waiting = desk.begun(2)
    begun.begun = 1.0
    reports: list[Any] = []
    monkeypatch.setattr(desk.desk, "report", reports.append)
    now = desk.store.now()
    desk.desk.abandon_all(now)
    assert reports == [attempts.given_up(begun.task, now)]
    assert desk.executor.attempts() == []
    assert waiting.current.canceled


# Runs


class Refusing(InMemoryHistoryStore):
    """Cannot write what one run decides; with *all*, not even that it is blocked."""

    refused: UUID | None = None
    all = False

    def commit(self, commits):
        for commit in commits:
            if commit.run_id == self.refused and (self.all or commit.status is not Status.BLOCKED):
                raise ValueError("a text with a NUL")
        return super().commit(commits)


def two_runs():
    bench = Bench(Refusing)

    @bench.registry.workflow
    def ends(ctx):
        return "done"

    broken, sound = bench.start("ends"), bench.start("ends")
    bench.store.refused = broken
    return bench, broken, sound


def test_decision_that_cannot_be_written_blocks_its_run_and_no_other(caplog):
    bench, broken, sound = two_runs()
    bench.drive(sound)
    assert bench.result(sound) == "done"
    record = bench.client.find(broken)
    why = "(the decision could not be written, which is no fault of the code)"
    assert (record.status, record.error) == (Status.BLOCKED, f"ValueError: a text with a NUL {why}")
    [told] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.getMessage().startswith("a run is blocked: ValueError at ")
    assert told.getMessage().endswith(why)
    assert "NUL" not in told.getMessage()
    assert (told.execution_id, told.workflow_name) == (str(broken), "ends")
    bench.store.refused = None
    bench.drive(broken)
    assert bench.result(broken) == "done"


def test_store_that_cannot_even_write_that_a_run_is_blocked_ends_the_worker():
    bench, _broken, sound = two_runs()
    bench.store.all = True
    with pytest.raises(ValueError, match="NUL"):
        bench.drive(sound)


def test_decision_that_could_not_be_made_says_so_to_the_run_and_not_to_logs(caplog):
    bench = Bench()

    @bench.registry.workflow
    def waits(ctx):
        ctx.wait_signal("go")

    run_id = bench.start("waits")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    history = bench.store._events[run_id]
    history[1] = history[1]._replace(details="a secret")
    bench.client.signal(run_id, "go")
    bench.drive(run_id, to=lambda status: status is Status.BLOCKED)
    why = "(the decision could not be made, which is no fault of the code)"
    assert bench.client.find(run_id).error.endswith(why)
    first, second = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert first.getMessage().startswith("a decision could not be made: PayloadError at ")
    assert second.getMessage().endswith(why)
    assert "secret" not in first.getMessage() + second.getMessage()
    assert {(record.execution_id, record.workflow_name) for record in (first, second)} == {(str(run_id), "waits")}
