"""Sleeps, timeouts, deadlines and signals, told as facts and decisions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_core.errors import (
    DurableError,
    WaitTimeout,
)
from durable_core.execution import Status
from tests.core.stories import (
    EPOCH,
    Story,
    cancel,
    completed,
    signal,
)

# Time


@pytest.mark.promise("P5")
def test_sleep_suspends_until_its_time_and_not_before():
    def fn(ctx):
        ctx.sleep(timedelta(minutes=1))
        return "woken"

    story = Story(fn)
    assert story.start().wake_at == EPOCH + timedelta(minutes=1)
    assert story.wait(59.999999).events == []
    story.wait(0.000001)
    assert story.types == ["workflow_started", "timer_started", "timer_fired", "workflow_completed"]
    assert story.result == "woken"
    story.check()


@pytest.mark.parametrize(
    "duration",
    [-1, -0.000001, timedelta(seconds=-1), float("nan"), float("inf"), timedelta.max, 1e300, True, None, "5", [5]],
)
def test_a_senseless_duration_is_refused_before_any_command(duration):
    def fn(ctx):
        problems = 0
        handle = ctx.start_activity("old")
        attempts = [lambda: ctx.sleep(duration)]
        if duration is not None:
            attempts += [
                lambda: ctx.wait_activity(handle, timeout=duration),
                lambda: ctx.wait_signal("s", timeout=duration),
            ]
        for attempt in attempts:
            try:
                attempt()
            except DurableError:
                problems += 1
        ctx.sleep(1)
        return problems == len(attempts)

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "activity_scheduled", "timer_started"]
    story.wait(1)
    assert story.result is True
    story.check()


@pytest.mark.parametrize("duration", [0, 0.0, -0.0, timedelta(0)])
def test_a_sleep_of_nothing_ends_in_the_same_step(duration):
    def fn(ctx):
        ctx.sleep(duration)
        return "done"

    story = Story(fn)
    assert story.start().status is Status.COMPLETED
    story.check()


def test_a_sleep_of_ten_years_is_one_timer():
    def fn(ctx):
        ctx.sleep(timedelta(days=3653))

    story = Story(fn)
    story.start()
    assert story.wait(3652 * 86400).events == []
    assert story.wait(86400).status is Status.COMPLETED
    story.check()


def test_a_timeout_is_a_logged_timer():
    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            return ctx.wait_activity(handle, timeout=5)
        except WaitTimeout as error:
            return [isinstance(error, TimeoutError), ctx.wait_activity(handle)]

    story = Story(fn)
    story.start()
    assert story.types[-1] == "timer_started"
    story.wait(5)
    assert story.types[-1] == "timer_fired"
    story.give(completed(0, "late"))
    assert story.result == [True, "late"]
    story.check()


@pytest.mark.parametrize("first", ["timer", "activity"])
def test_the_winner_of_a_race_is_the_first_in_the_log(first):
    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            return ctx.wait_activity(handle, timeout=5)
        except WaitTimeout:
            return "timeout"

    story = Story(fn)
    story.start()
    # Both have happened by now. Facts that were delivered come before timers that are merely due.
    story.give(*([completed(0, "done")] if first == "activity" else []), after=10)
    assert story.result == ("done" if first == "activity" else "timeout")
    story.check()


def test_a_wait_for_what_is_there_needs_no_timer_but_takes_its_id():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_signal("go")
        ctx.wait_activity(handle, timeout=5)
        ctx.run_activity("new")

    story = Story(fn)
    story.start()
    story.give(completed(0), signal("go"))
    assert "timer_started" not in story.types
    assert story.decision.activities[0].call_id == "3"  # as if the timer had been needed
    story.check()


def test_a_timer_behind_the_deadline_never_fires_however_late_the_worker():
    def fn(ctx):
        ctx.sleep(3600)
        return "too late"

    story = Story(fn, deadline=60)
    assert story.start().wake_at == EPOCH + timedelta(seconds=60)
    decision = story.wait(7200)
    assert decision.status is Status.TIMED_OUT
    assert decision.error.startswith("WorkflowTimeout")
    assert story.types[-1] == "workflow_timed_out"
    assert "timer_fired" not in story.types
    story.check()


def test_a_timer_before_the_deadline_fires_even_when_both_have_passed():
    def fn(ctx):
        ctx.sleep(10)
        return "in time"

    story = Story(fn, deadline=60)
    story.start()
    story.wait(7200)
    assert story.result == "in time"


def test_a_run_times_out_at_its_deadline_and_not_before():
    story = Story(lambda ctx: ctx.wait_signal("s"), deadline=60)
    story.start()
    assert story.wait(59.999).status is Status.RUNNING
    assert story.wait(0.001).status is Status.TIMED_OUT
    story.check()


def test_a_deadline_that_passed_before_the_start_ends_the_run_all_the_same():
    story = Story(lambda ctx: ctx.sleep(1), deadline=10)
    assert story.give(story.started, after=11).status is Status.TIMED_OUT
    story.check()


# Signals


@pytest.mark.promise("P6")
def test_signals_are_kept_in_order_and_consumed_once():
    def fn(ctx):
        ctx.sleep(1)
        return [ctx.wait_signal("a"), ctx.wait_signal("b"), ctx.wait_signal("a")]

    story = Story(fn)
    story.start(signal("a", 1), signal("a", 2), signal("b", 3))
    story.wait(1)
    assert story.result == [1, 3, 2]
    story.check()


def test_a_signal_behind_a_timeout_is_for_the_next_wait():
    def fn(ctx):
        try:
            return ctx.wait_signal("s", timeout=5)
        except WaitTimeout as error:
            return [str(error), ctx.wait_signal("s")]

    story = Story(fn)
    story.start()
    assert story.decision.wake_at == EPOCH + timedelta(seconds=5)
    story.wait(5)
    story.give(signal("s", "late"))
    assert story.result == ["no signal 's' came within 5 s", "late"]
    story.check()


def test_a_signal_that_came_late_in_the_last_batch_is_recorded_before_the_end():
    def fn(ctx):
        return ctx.wait_signal("s")

    story = Story(fn)
    story.start()
    story.give(signal("s", 1), signal("s", 2), completed(77))
    assert story.types[-3:] == ["signal_received", "signal_received", "workflow_completed"]
    assert story.result == 1
    story.check()


def test_nothing_is_recorded_behind_the_end():
    story = Story(lambda ctx: None)
    story.start()
    assert story.give(signal("s"), cancel(), completed(0)).events == []


def test_a_wait_for_a_timer_that_was_canceled_says_which_it_was():
    def fn(ctx):
        handle = ctx.timer(10)
        ctx.cancel(handle)
        return ctx.wait(handle)

    story = Story(fn)
    assert story.start().error == "TimerCanceled: the timer of 2026-01-01T00:00:10+00:00 was canceled"
    story.check()
