"""Names, durations and options at the edge of what is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from durable_core.errors import ConfigurationError
from durable_core.options import (
    LONGEST,
    ActivityOptions,
    WorkflowOptions,
    as_timedelta,
    changed,
    check_name,
    seconds_of,
    span_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVITY, WORKFLOW = ActivityOptions(), WorkflowOptions()


@pytest.mark.parametrize("name", ["x", "x" * 200, "\ud7ff\ue000", "\x01"])
def test_a_name_may_be_of_1_to_200_characters(name):
    check_name(name, "it")


@pytest.mark.parametrize("name", ["", "x" * 201, "\x00", "\ud800", "a\udfff", None])
def test_a_name_that_no_database_could_hold_is_refused(name):
    with pytest.raises(ConfigurationError) as caught:
        check_name(name, "it")
    expected = "expected a text of 1 to 200 characters without NUL and lone surrogates."
    assert str(caught.value) == f"it is {name!r}; {expected}"


@pytest.mark.parametrize("value", [0, 0.0, timedelta(0), 0.5, 1, LONGEST, LONGEST.total_seconds()])
def test_a_duration_lasts_from_nothing_to_a_thousand_years(value):
    expected = value if isinstance(value, timedelta) else timedelta(seconds=value)
    assert as_timedelta(value, what="it") == span_of(value, "it") == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (-0.001, "it is -0.001; expected 0 or more."),
        (LONGEST + timedelta.resolution, f"it is {LONGEST + timedelta.resolution!r}; expected at most 365,000 days."),
        (1e300, "it is 1e+300; expected seconds that fit a timedelta."),
        (float("nan"), "it is nan; expected seconds that fit a timedelta."),
        (False, "it is False; expected seconds (a number) or a timedelta."),
        ("1", "it is '1'; expected seconds (a number) or a timedelta."),
        (None, "it is None; expected seconds or a timedelta."),
    ],
)
def test_any_other_duration_is_refused(value, says):
    with pytest.raises(ConfigurationError) as caught:
        span_of(value, "it")
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (5, "5"),
        (0.1, "0.1"),
        (timedelta(minutes=1), "60"),
        (timedelta(milliseconds=1), "0.001"),
        (86_400_000, "86400000"),
    ],
)
def test_durations_are_said_in_seconds(duration, text):
    assert seconds_of(duration) == text


def test_a_run_starts_at_once_or_after_a_while_or_at_a_time():
    assert WORKFLOW.start_at(NOW) is None
    assert WorkflowOptions(run_after=timedelta(hours=1)).start_at(NOW) == NOW + timedelta(hours=1)
    later = NOW.replace(year=2027)
    assert WorkflowOptions(run_after=later).start_at(NOW) == later


@pytest.mark.parametrize("name", ["timeout", "schedule_to_start", "start_to_close", "heartbeat_timeout"])
def test_every_limit_of_an_activity_is_a_duration(name):
    assert getattr(changed(ACTIVITY, {name: 1.5}, what="it"), name) == timedelta(seconds=1.5)
    with pytest.raises(ConfigurationError, match=f"^it: {name} is -1; expected 0 or more"):
        changed(ACTIVITY, {name: -1}, what="it")


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (ACTIVITY, {"priority": -32768}),
        (ACTIVITY, {"priority": 32767, "queue": "q" * 200}),
        (ACTIVITY, {"priority": None, "queue": None, "retry_policy": None}),
        (WORKFLOW, {"workflow_id": None, "run_after": None, "cancel_with_parent": False}),
        (WORKFLOW, {"run_after": NOW.replace(year=2)}),
        (WORKFLOW, {"run_after": NOW.replace(year=8999)}),
    ],
)
def test_options_are_taken_as_they_are(options, changes):
    taken = changed(options, changes, what="it")
    assert {name: getattr(taken, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("options", "changes", "says"),
    [
        (ACTIVITY, {"priority": -32769}, "it: priority is -32769; expected -32768 to 32767."),
        (ACTIVITY, {"priority": 32768}, "it: priority is 32768; expected -32768 to 32767."),
        (ACTIVITY, {"priority": "1"}, "it: priority is '1'; expected a whole number, higher first."),
        (ACTIVITY, {"retry_policy": 3}, "it: retry_policy is 3; expected a RetryPolicy."),
        (ACTIVITY, {"queue": ""}, "it: queue is ''; "),
        (WORKFLOW, {"workflow_id": ""}, "it: workflow_id is ''; "),
        (WORKFLOW, {"run_after": -1}, "it: run_after is -1; expected 0 or more."),
        (WORKFLOW, {"run_after": NOW.replace(year=1)}, "it: run_after is 0001-01-01 00:00:00+00:00; expected a year "),
        (WORKFLOW, {"run_after": NOW.replace(year=9000)}, "expected a year from 2 to 8999."),
        (WORKFLOW, {"run_after": NOW.replace(tzinfo=None)}, "is the naive time 2026-01-01 00:00:00; expected an aware"),
        (WORKFLOW, {"priorty": 1}, "it.using() got an unknown option 'priorty'. Did you mean 'priority'?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(options, changes, says):
    with pytest.raises(ConfigurationError) as caught:
        changed(options, changes, what="it")
    assert says in str(caught.value)
