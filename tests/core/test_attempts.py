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
from durable_core.ports import OVERRUN, TaskRecord, due_while_running, earliest
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
