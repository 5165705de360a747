"""How an attempt that ended becomes an outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.codec import Payload
from durable_core.execution import TaskStatus
from durable_core.failures import describe
from durable_core.ports import OVERRUN, TaskOutcome, TaskRecord, due_while_running, earliest
from durable_core.retry import RetryPolicy
from durable_core.worker import attempts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def task_of(policy=None, **changes):
    task = TaskRecord(
        id=UUID(int=1),
        run_id=UUID(int=2),
        call_id="0",
        activity_name="send",
        status=TaskStatus.RUNNING,
        input=Payload("{}"),
        attempt=1,
        token=4,
        queue="default",
        priority=0,
        retry_policy=(policy or RetryPolicy()).to_json(),
        scheduled_at=NOW,
        started_at=NOW,
        queued_at=NOW,
        retry_at=None,
        expires_at=None,
        schedule_to_start=None,
        start_to_close=None,
        heartbeat_timeout=None,
        heartbeat_at=None,
        heartbeat_details=None,
        crashes=0,
    )
    return replace(task, **changes)


def fact_of(outcome):
    letter = outcome.letter
    return e.event_of(e.EventRecord(0, letter.type, letter.call_id, letter.details, NOW))


FAILURE = describe(ValueError("no"), attempt=1)


def outcome_of(**changes):
    """Of `task_of()`, whole: what is not named must be left alone."""
    return TaskOutcome(task_id=UUID(int=1), run_id=UUID(int=2), token=4, **changes)


def test_a_completed_attempt_is_final_and_names_its_token():
    outcome = attempts.completed(task_of(), Payload("5"))
    assert (outcome.status, outcome.result, outcome.token) == (TaskStatus.COMPLETED, "5", 4)
    assert fact_of(outcome) == e.ActivityCompleted(call_id="0", attempt=1, result=Payload("5"))


def test_a_failed_attempt_is_retried_and_the_run_hears_nothing():
    outcome = attempts.failed(task_of(), FAILURE, NOW)
    assert (outcome.status, outcome.retry_at, outcome.letter) == (TaskStatus.QUEUED, NOW + SECOND, None)
    assert outcome.failure == FAILURE


def test_an_error_may_say_when_to_try_again():
    assert attempts.failed(task_of(), FAILURE, NOW, next_delay=9 * SECOND).retry_at == NOW + 9 * SECOND
    assert attempts.failed(task_of(), FAILURE, NOW, next_delay=timedelta(0)).retry_at == NOW


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (RetryPolicy(maximum_attempts=1), {}),
        (RetryPolicy(maximum_attempts=1), {"next_delay": SECOND}),
        (RetryPolicy(), {"retryable": False}),
        (RetryPolicy(non_retryable_error_types=("LookupError",)), {"type_names": ["KeyError", "LookupError"]}),
    ],
)
def test_a_failure_that_is_not_retried_tells_the_run(policy, options):
    outcome = attempts.failed(task_of(policy), FAILURE, NOW, **options)
    assert outcome.status is TaskStatus.FAILED
    assert fact_of(outcome) == e.ActivityFailed(call_id="0", failure=FAILURE)


def test_schedule_to_close_ends_retries():
    outcome = attempts.failed(task_of(expires_at=NOW + SECOND), FAILURE, NOW)
    assert outcome.status is TaskStatus.TIMED_OUT
    fact = fact_of(outcome)
    assert fact.kind == "schedule_to_close"
    assert fact.failure["cause"]["message"] == "no"
    assert attempts.failed(task_of(expires_at=NOW + 2 * SECOND), FAILURE, NOW).status is TaskStatus.QUEUED


@pytest.mark.parametrize("kind", ["start_to_close", "heartbeat"])
def test_limits_of_one_attempt_are_retried(kind):
    task = task_of(start_to_close=SECOND, heartbeat_timeout=SECOND)
    outcome = attempts.timed_out(task, kind, NOW)
    assert (outcome.status, outcome.retry_at) == (TaskStatus.QUEUED, NOW + SECOND)
    assert outcome.failure is not None
    assert kind in outcome.failure["message"]
    last = attempts.timed_out(task_of(RetryPolicy(maximum_attempts=1)), kind, NOW)
    assert (last.status, fact_of(last).kind) == (TaskStatus.TIMED_OUT, kind)
    refused = task_of(RetryPolicy(non_retryable_error_types=("TimeoutError",)))
    assert attempts.timed_out(refused, kind, NOW).status is TaskStatus.TIMED_OUT


@pytest.mark.parametrize("kind", ["schedule_to_close", "schedule_to_start"])
def test_limits_of_the_whole_are_not_retried(kind):
    outcome = attempts.timed_out(task_of(failure=FAILURE), kind, NOW)
    assert outcome.status is TaskStatus.TIMED_OUT
    assert fact_of(outcome).failure["cause"]["type"] == "ValueError"


def test_a_task_that_times_out_for_years_does_not_grow():
    task = task_of(start_to_close=SECOND)
    sizes = []
    for attempt in range(1, 300):
        outcome = attempts.timed_out(replace(task, attempt=attempt), "start_to_close", NOW)
        task = replace(task, failure=outcome.failure)
        sizes.append(len(json.dumps(outcome.failure)))
    assert max(sizes) < 2 * sizes[1]
    assert attempts.timed_out(task, "schedule_to_close", NOW).letter


def test_a_dead_worker_is_a_failed_attempt_until_there_were_too_many():
    first = attempts.worker_died(task_of(), NOW, charged=True, max_crashes=3)
    assert (first.status, first.crashes) == (TaskStatus.QUEUED, 1)
    third = attempts.worker_died(task_of(crashes=2), NOW, charged=True, max_crashes=3)
    assert (third.status, third.crashes) == (TaskStatus.FAILED, 3)
    assert "3 workers died" in fact_of(third).failure["message"]
    free = attempts.worker_died(task_of(crashes=2), NOW, charged=False, max_crashes=3)
    assert (free.status, free.crashes) == (TaskStatus.QUEUED, 2)
    refused = task_of(RetryPolicy(non_retryable_error_types=("WorkerDied",)))
    assert attempts.worker_died(refused, NOW, charged=True, max_crashes=3).status is TaskStatus.FAILED


@pytest.mark.parametrize(
    ("changes", "late"),
    [
        ({}, None),
        ({"expires_at": NOW}, "schedule_to_close"),
        ({"expires_at": NOW + SECOND}, None),
        ({"start_to_close": timedelta(0)}, "start_to_close"),
        ({"start_to_close": SECOND}, None),
        ({"heartbeat_timeout": SECOND, "heartbeat_at": NOW - SECOND}, "heartbeat"),
        ({"heartbeat_timeout": SECOND, "started_at": NOW - SECOND}, "heartbeat"),
        ({"heartbeat_timeout": SECOND, "started_at": NOW - SECOND, "heartbeat_at": NOW}, None),
        ({"status": TaskStatus.QUEUED, "schedule_to_start": SECOND, "queued_at": NOW - SECOND}, "schedule_to_start"),
        ({"status": TaskStatus.QUEUED, "schedule_to_start": SECOND}, None),
        ({"status": TaskStatus.QUEUED, "schedule_to_start": timedelta(0), "retry_at": NOW}, None),
        ({"status": TaskStatus.QUEUED, "start_to_close": timedelta(0)}, None),
        ({"status": TaskStatus.QUEUED, "expires_at": NOW}, "schedule_to_close"),
        ({"status": TaskStatus.QUEUED, "expires_at": NOW, "retry_at": NOW}, "schedule_to_close"),
    ],
)
def test_which_limit_has_passed(changes, late):
    assert attempts.overdue(task_of(**changes), NOW) == late


def test_when_the_scheduler_must_look():
    queued = task_of(schedule_to_start=5 * SECOND, expires_at=NOW + 9 * SECOND)
    assert attempts.due_while_queued(queued, NOW, None) == NOW + 5 * SECOND
    assert attempts.due_while_queued(queued, NOW, NOW + SECOND) == NOW + SECOND
    assert attempts.due_while_queued(task_of(), NOW, None) is None
    waited = task_of(schedule_to_start=5 * SECOND, queued_at=NOW - 2 * SECOND)  # an entry is made anew for it
    assert attempts.due_while_queued(waited, NOW, None) == NOW + 3 * SECOND
    limits: Any = {"expires_at": None, "start_to_close": SECOND, "heartbeat_timeout": None}
    # The worker itself comes first: it can interrupt the thread.
    assert due_while_running(NOW, **limits) == NOW + SECOND + OVERRUN
    assert earliest(None, None) is None


# Whole outcomes: each field of them is a column


def test_an_attempt_that_stopped_because_it_was_told_to_is_canceled_and_says_why():
    failure = {**FAILURE, "message": "nobody wants it"}
    fact = e.ActivityCanceled(call_id="0", reason="nobody wants it")
    expected = outcome_of(status=TaskStatus.CANCELED, failure=failure, fact=fact)
    assert attempts.canceled(task_of(), failure) == expected


def test_an_outcome_has_nothing_but_what_its_attempt_came_to():
    fact = e.ActivityCompleted(call_id="0", attempt=1, result=Payload("5"))
    expected = outcome_of(status=TaskStatus.COMPLETED, result=Payload("5"), fact=fact)
    assert attempts.completed(task_of(), Payload("5")) == expected
    failed = e.ActivityFailed(call_id="0", failure=FAILURE)
    expected = outcome_of(status=TaskStatus.FAILED, failure=FAILURE, fact=failed)
    assert attempts.failed(task_of(), FAILURE, NOW, retryable=False) == expected


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_death_over_what_runs_at_most_once_is_its_outcome(crashes):
    """Whatever the retry policy of the task says: it may be that of another release."""
    for outcome in (
        attempts.worker_died(task_of(at_most_once=True, crashes=crashes), NOW, charged=True, max_crashes=9),
        attempts.given_up(task_of(at_most_once=True, crashes=crashes), NOW),
    ):
        assert outcome.status is TaskStatus.FAILED
        assert outcome.failure is not None
        assert outcome.failure["type"] == "WorkerDied"
        assert "may have had its effect or not" in outcome.failure["message"]


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_retry_keeps_its_failure_and_its_crashes(crashes):
    expected = outcome_of(status=TaskStatus.QUEUED, failure=FAILURE, retry_at=NOW + SECOND, crashes=crashes)
    assert attempts.failed(task_of(), FAILURE, NOW, crashes=crashes) == expected
    last = task_of(RetryPolicy(maximum_attempts=1))
    assert attempts.failed(last, FAILURE, NOW, crashes=crashes).crashes == crashes


def test_later_attempts_wait_longer():
    assert attempts.failed(task_of(attempt=3), FAILURE, NOW).retry_at == NOW + 4 * SECOND
    assert attempts.timed_out(task_of(attempt=3), "heartbeat", NOW).retry_at == NOW + 4 * SECOND


def test_jitter_differs_from_task_to_task_and_not_from_worker_to_worker():
    policy = RetryPolicy(jitter=1.0)
    one, other = task_of(policy), task_of(policy, id=UUID(int=9))
    times = [
        (attempts.failed(task, FAILURE, NOW).retry_at, attempts.timed_out(task, "heartbeat", NOW).retry_at)
        for task in (one, one, other)
    ]
    expected = policy.delay_after(1, seed=str(one.id))
    assert expected is not None
    assert times[0] == times[1] == (NOW + expected, NOW + expected)
    assert times[2][0] != times[0][0]
    assert times[2][1] != times[0][1]


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("start_to_close", "0:00:05"),
        ("heartbeat", "0:00:03"),
        ("schedule_to_start", "0:00:07"),
        ("schedule_to_close", "2026-01-01 00:00:09+00:00"),
    ],
)
def test_a_time_limit_that_ends_an_activity_is_named_with_its_length(kind, limit):
    limits: Any = {
        "start_to_close": 5 * SECOND,
        "heartbeat_timeout": 3 * SECOND,
        "schedule_to_start": 7 * SECOND,
        "expires_at": NOW + 9 * SECOND,
    }
    task = task_of(RetryPolicy(maximum_attempts=2), attempt=2, **limits)
    failure = {
        "type": "ActivityTimeout",
        "bases": [],
        "message": f"{kind} limit ({limit}) reached",
        "traceback": "",
        "attempt": 2,
        "cause": None,
    }
    fact = e.ActivityTimedOut(call_id="0", kind=kind, failure=failure)
    expected = outcome_of(status=TaskStatus.TIMED_OUT, failure=failure, fact=fact)
    assert attempts.timed_out(task, kind, NOW) == expected


def test_a_time_limit_keeps_the_error_before_it_but_not_its_causes():
    before = {**FAILURE, "cause": FAILURE}
    outcome = attempts.timed_out(task_of(failure=before, crashes=2), "heartbeat", NOW)
    assert (outcome.status, outcome.crashes) == (TaskStatus.QUEUED, 2)
    assert outcome.failure is not None
    assert outcome.failure["cause"] == {**FAILURE, "cause": None}


def test_a_policy_may_refuse_to_retry_attempts_that_ran_out_of_time():
    for name in ("ActivityTimeout", "TimeoutError"):
        task = task_of(RetryPolicy(non_retryable_error_types=(name,)), start_to_close=SECOND)
        assert attempts.timed_out(task, "start_to_close", NOW).status is TaskStatus.TIMED_OUT
        assert attempts.failed(task, FAILURE, NOW, type_names=("ValueError",)).status is TaskStatus.QUEUED


def test_a_retry_that_comes_too_late_tells_of_the_last_error():
    task = task_of(expires_at=NOW + SECOND, attempt=1)
    fact = fact_of(attempts.failed(task, FAILURE, NOW))
    assert fact.failure == {
        "type": "ActivityTimeout",
        "bases": [],
        "message": "no retry fits the schedule_to_close limit any more",
        "traceback": "",
        "attempt": 1,
        "cause": FAILURE,
    }
    late = attempts.failed(task, FAILURE, NOW)
    assert (late.failure, late.retry_at) == (fact.failure, None)


def test_who_killed_its_worker_reads_how_often_and_what_may_have_done_it():
    first = attempts.worker_died(task_of(attempt=2), NOW, charged=True, max_crashes=3)
    assert first.failure is not None
    assert (first.failure["type"], first.failure["attempt"]) == ("WorkerDied", 2)
    assert first.failure["message"] == "the worker died while it ran this activity"
    last = attempts.worker_died(task_of(attempt=2, crashes=2), NOW, charged=True, max_crashes=3)
    failure = fact_of(last).failure
    assert failure == last.failure
    assert (failure["type"], failure["attempt"]) == ("WorkerDied", 2)
    assert failure["message"].startswith("3 workers died while they ran this activity (MAX_CRASHES is 3): killed by")
    assert first.retry_at == NOW + 2 * SECOND


def test_what_a_living_worker_gives_up_is_charged_with_nothing():
    outcome = attempts.given_up(task_of(crashes=2), NOW)
    assert (outcome.status, outcome.crashes, outcome.retry_at) == (TaskStatus.QUEUED, 2, NOW + SECOND)


def test_beats_start_from_the_claim_of_a_task_that_has_no_start_yet():
    task = task_of(started_at=None, scheduled_at=NOW - 2 * SECOND)
    assert attempts.overdue(replace(task, start_to_close=2 * SECOND), NOW) == "start_to_close"
    assert attempts.overdue(replace(task, start_to_close=3 * SECOND), NOW) is None
    assert attempts.overdue(replace(task, heartbeat_timeout=2 * SECOND), NOW) == "heartbeat"
    assert attempts.overdue(replace(task, heartbeat_timeout=3 * SECOND), NOW) is None


def test_a_wait_for_a_worker_is_counted_from_its_queueing_and_never_from_the_future():
    queued = task_of(status=TaskStatus.QUEUED, schedule_to_start=5 * SECOND, queued_at=NOW + SECOND)
    assert attempts.due_while_queued(queued, NOW, None) == NOW + 5 * SECOND
