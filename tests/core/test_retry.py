"""When to try again: never too early, never later than the cap, never a number that a date cannot take."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.errors import ConfigurationError
from durable_core.retry import DEFAULT_RETRY_POLICY, LONGEST_INTERVAL, RetryPolicy

policies = st.builds(
    RetryPolicy,
    initial_interval=st.floats(0, LONGEST_INTERVAL),
    backoff_coefficient=st.floats(1, 1e300),
    maximum_interval=st.floats(0, LONGEST_INTERVAL),
    maximum_attempts=st.integers(0, 5),
    jitter=st.floats(0, 1),
    strategy=st.sampled_from(["exponential", "linear"]),
    non_retryable_error_types=st.lists(st.text(), max_size=3),
)


def _seconds(policy, attempts):
    delays = [policy.delay_after(attempt) for attempt in attempts]
    return [None if delay is None else delay.total_seconds() for delay in delays]


def test_delays_double_up_to_a_minute():
    assert _seconds(RetryPolicy(), range(1, 9)) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_linear_delays_grow_by_the_first():
    assert _seconds(RetryPolicy(strategy="linear", initial_interval=15), range(1, 6)) == [15, 30, 45, 60, 60]


def test_the_last_attempt_is_followed_by_none():
    assert _seconds(RetryPolicy(maximum_attempts=3), [1, 2, 3, 4]) == [1, 2, None, None]
    assert _seconds(RetryPolicy(maximum_attempts=1), [1]) == [None]


@given(policies, st.integers(1, 10_000))
def test_a_delay_is_always_one_that_a_date_can_take(policy, attempt):
    delay = policy.delay_after(attempt, seed="x")
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        assert delay is None
    else:
        assert delay is not None
        assert timedelta(0) <= delay <= timedelta(seconds=policy.maximum_interval)
        assert (datetime(2100, 1, 1, tzinfo=UTC) + delay).year < 2200


@given(policies)
def test_a_policy_survives_being_stored(policy):
    stored = json.loads(json.dumps(policy.to_json()))
    assert RetryPolicy.from_json(stored) == policy


def test_only_what_differs_is_stored():
    assert RetryPolicy().to_json() == {}
    assert RetryPolicy(maximum_attempts=3).to_json() == {"maximum_attempts": 3}
    assert RetryPolicy(retry_if=bool).to_json() == {}
    assert RetryPolicy.from_json({}) is DEFAULT_RETRY_POLICY


def test_fields_of_a_newer_release_are_passed_over():
    assert RetryPolicy.from_json({"maximum_attempts": 3, "budget": 5}) == RetryPolicy(maximum_attempts=3)


def test_jitter_takes_off_its_share_and_is_the_same_for_the_same_seed():
    policy = RetryPolicy(jitter=0.5, initial_interval=10)
    delays = {delay.total_seconds() for n in range(200) if (delay := policy.delay_after(1, seed=str(n))) is not None}
    assert len(delays) > 190
    assert 5 <= min(delays) < 6
    assert 9 < max(delays) <= 10
    assert policy.delay_after(1, seed="a") == policy.delay_after(1, seed="a")


def test_error_types_are_classes_or_names_and_match_base_types():
    types: Any = [ValueError, "LookupError"]
    policy = RetryPolicy(non_retryable_error_types=types)
    assert policy.non_retryable_error_types == ("ValueError", "LookupError")
    assert policy.refuses(["KeyError", "LookupError", "Exception"])
    assert not policy.refuses(["TypeError"])
    assert not policy.refuses([])


@pytest.mark.parametrize(
    "values",
    [
        {"initial_interval": -1},
        {"initial_interval": float("nan")},
        {"initial_interval": "1"},
        {"initial_interval": None},
        {"initial_interval": True},
        {"initial_interval": timedelta.max},
        {"maximum_interval": float("inf")},
        {"maximum_interval": timedelta(seconds=-1)},
        {"backoff_coefficient": 0.5},
        {"backoff_coefficient": float("nan")},
        {"backoff_coefficient": float("inf")},
        {"maximum_attempts": -1},
        {"maximum_attempts": 2.5},
        {"maximum_attempts": None},
        {"jitter": 1.1},
        {"jitter": -0.1},
        {"strategy": "random"},
        {"non_retryable_error_types": "ValueError"},
    ],
)
def test_senseless_values_are_refused_by_name(values):
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{next(iter(values))} is "):
        RetryPolicy(**values)


def test_bounds_themselves_are_in():
    policy = RetryPolicy(
        initial_interval=LONGEST_INTERVAL, maximum_interval=LONGEST_INTERVAL, backoff_coefficient=1, jitter=1.0
    )
    assert policy.delay_after(1) is not None
    assert _seconds(RetryPolicy(initial_interval=0, maximum_interval=0, jitter=0), [1, 2]) == [0, 0]


def test_backoff_that_no_number_holds_is_the_longest_and_nothing_stays_nothing():
    assert _seconds(RetryPolicy(backoff_coefficient=1e300), [1, 2, 3]) == [1, 60, 60]
    assert _seconds(RetryPolicy(initial_interval=0, backoff_coefficient=1e300), [1, 3]) == [0, 0]


def test_intervals_may_be_timedeltas():
    intervals: Any = {"initial_interval": timedelta(minutes=1), "maximum_interval": timedelta(hours=1)}
    policy = RetryPolicy(**intervals)
    assert _seconds(policy, [1, 2, 10]) == [60, 120, 3600]
