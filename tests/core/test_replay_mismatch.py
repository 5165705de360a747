"""Code that asks for something else than its history holds: nothing is written, and the message helps."""

from __future__ import annotations

from contextlib import suppress

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import (
    NewerCodeNeeded,
    NondeterminismError,
)
from durable_core.execution import Status
from durable_core.mismatch import first_difference
from tests.core.stories import (
    EPOCH,
    Story,
    completed,
    signal,
)


def _mismatch(first, then, *facts) -> str:
    story = Story(first)
    story.start()
    for fact in facts:
        story.give(fact, after=1)
    before = list(story.history)
    with pytest.raises(NondeterminismError) as caught:
        story.replayed(then)
    assert story.history == before
    return str(caught.value)


@pytest.mark.promise("P8")
def test_swapped_calls_are_a_mismatch():
    def first(ctx):
        ctx.run_activity("old")
        ctx.wait_signal("s")

    def then(ctx):
        ctx.wait_signal("s")
        ctx.run_activity("old")

    message = _mismatch(first, then)
    assert "The history holds activity 'old' (call 0) at seq 2" in message
    assert "the code asked for a wait for signal 's' without time limit (call 0)" in message
    line = then.__code__.co_firstlineno + 1
    assert f"at {__file__}:{line}" in message
    assert "reordered" in message
    assert "ctx.patched()" in message


def test_a_renamed_activity_is_a_mismatch_that_says_how_to_rename():
    message = _mismatch(lambda ctx: ctx.run_activity("old"), lambda ctx: ctx.run_activity("new"))
    assert "at seq 2" in message
    assert "register it with name=" in message


@pytest.mark.promise("P8")
def test_an_added_call_is_a_mismatch():
    def one_before(ctx):
        ctx.start_activity("new")
        ctx.run_activity("old")

    def one_behind(ctx):
        handle = ctx.start_activity("old")
        ctx.start_activity("new")
        ctx.wait_activity(handle)

    message = _mismatch(lambda ctx: ctx.run_activity("old"), one_before)
    assert "activity 'new' (call 0)" in message
    message = _mismatch(lambda ctx: ctx.run_activity("old"), one_behind)
    assert "holds no such call behind seq 1 (workflow_started)" in message
    assert "A call was probably added" in message


@pytest.mark.promise("P8")
def test_a_removed_call_is_a_mismatch():
    def first(ctx):
        ctx.run_activity("old")
        ctx.start_activity("send", 1)
        ctx.sleep(10)

    def waits(ctx):
        ctx.run_activity("old")
        ctx.sleep(10)

    def ends(ctx):
        ctx.run_activity("old")

    def raises(ctx):
        ctx.run_activity("old")
        raise ValueError("new bug")

    assert "activity 'send' (call 1) at seq 4" in _mismatch(first, waits, completed(0))
    message = _mismatch(first, ends, completed(0))
    assert "activity 'send' (call 1) at seq 4" in message
    assert "has ended (workflow_completed)" in message
    assert "workflow_failed with ValueError" in _mismatch(first, raises, completed(0))


def test_code_that_ends_too_early_is_a_mismatch():
    message = _mismatch(lambda ctx: ctx.wait_signal("s"), lambda ctx: ctx.start_activity("old"))
    assert "a wait for signal 's'" in message

    def first(ctx):
        ctx.start_activity("old")
        ctx.wait_activity(ctx.start_activity("new"))

    def then(ctx):
        ctx.start_activity("old")
        ctx.start_activity("new")

    message = _mismatch(first, then)
    assert f"has ended (workflow_completed) in {__file__}:{then.__code__.co_firstlineno} where" in message
    assert "of 3 events" in message

    def fails(ctx):
        ctx.start_activity("old")
        ctx.start_activity("new")
        raise ValueError("early")

    line = fails.__code__.co_firstlineno + 3
    assert f"has ended (workflow_failed with ValueError) at {__file__}:{line} where" in _mismatch(first, fails)

    def misuses(ctx):
        ctx.start_activity("old")
        ctx.start_activity("new")
        ctx.sleep(-1)  # refused by code of ours, but this is the line to look at

    line = misuses.__code__.co_firstlineno + 3
    assert f" at {__file__}:{line} where" in _mismatch(first, misuses)


def test_code_that_waits_for_something_else_is_a_mismatch():
    def first(ctx):
        ctx.sleep(1)
        ctx.start_activity("old")
        ctx.sleep(1)

    def then(ctx):
        ctx.sleep(1)
        ctx.wait_activity(ctx.start_activity("old"))

    assert "the code never asked for it and waits at " in _mismatch(first, then, signal("x"))

    def unbounded(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_activity(handle)

    def bounded(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_activity(handle, timeout=1)

    assert "the time limit of a wait for call 0" in _mismatch(bounded, unbounded)


def test_a_changed_end_of_a_closed_run_is_a_mismatch():
    def then(ctx):
        raise ValueError("now it fails")

    message = _mismatch(lambda ctx: 1, then)
    assert "workflow_completed at seq 2" in message
    assert "workflow_failed with ValueError" in message
    assert "now it fails" not in message  # it may hold a secret, and this goes into logs


def test_a_side_effect_in_the_place_of_another_call_is_a_mismatch():
    message = _mismatch(lambda ctx: ctx.start_activity("old"), lambda ctx: ctx.side_effect(lambda: 1))
    assert "holds activity 'old' (call 0) at seq 2, but the code asked for a side effect (call 0) at " in message

    def later(ctx):
        ctx.wait_signal("s")
        ctx.side_effect(lambda: 1)

    def sooner(ctx):
        ctx.side_effect(lambda: 1)
        ctx.wait_signal("s")

    assert "but the code asked for a side effect (call 0) at " in _mismatch(later, sooner, signal("s"))


def test_code_that_still_waits_where_its_run_has_ended_is_a_mismatch():
    def first(ctx):
        ctx.start_activity("old")

    def then(ctx):
        ctx.wait_activity(ctx.start_activity("old"))

    assert "workflow_completed at seq 3, but the code waits at" in _mismatch(first, then)


def test_an_outcome_nobody_can_have_asked_for_is_a_mismatch():
    story = Story(lambda ctx: ctx.run_activity("old"))
    story.start()
    story.history.append(e.EventRecord(3, "child_workflow_timed_out", "5", "{}", EPOCH))
    with pytest.raises(NondeterminismError, match=r"child_workflow_timed_out \(call 5\) at seq 3.*waits at"):
        story.replayed()


@pytest.mark.promise("P8")
def test_a_mismatch_heals_when_the_old_code_is_back():
    def first(ctx):
        return ctx.run_activity("old")

    story = Story(first)
    story.start()
    with pytest.raises(NondeterminismError):
        story.replayed(lambda ctx: ctx.sleep(1))
    story.evict(first)
    story.give(completed(0, "healed"))
    assert story.result == "healed"


def test_a_mismatch_swallowed_by_the_code_is_a_mismatch_still():
    def then(ctx):
        with suppress(BaseException):
            ctx.sleep(1)
        return "swallowed"

    assert "a sleep" in _mismatch(lambda ctx: ctx.run_activity("old"), then)


def test_changed_arguments_warn_and_the_recorded_ones_hold():
    def first(ctx):
        ctx.run_activity("add", 1, 2)
        ctx.sleep(1)

    def then(ctx):
        ctx.run_activity("add", 1, 3)
        ctx.sleep(1)

    story = Story(first)
    story.start()
    story.give(completed(0))
    story.evict(then)
    (warning,) = story.wait(0).warnings
    assert "are not the recorded ones: see $.args[1]. The recorded ones hold." in warning  # where, not what
    assert f"{__file__}:{then.__code__.co_firstlineno + 1}" in warning
    assert story.wait(0).warnings == []
    with pytest.raises(NondeterminismError, match="STRICT_INPUTS"):
        story.replayed(settings=RunSettings(strict_inputs=True))


@pytest.mark.parametrize(
    ("recorded", "now", "path"),
    [
        ([1, 2], [1, 3], "$[1]"),
        ([1, 2], [1], "$"),
        ({"a": {"b": [0]}}, {"a": {"b": [None]}}, "$.a.b[0]"),
        ({"a": 1}, {"a": 1, "b": 2}, "$.b"),
        ({"a": 1, "b": None}, {"a": 1}, "$.b"),
        ({"a": 1}, {"a": 1, "b": None}, "$.b"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ({}, [], "$"),
    ],
)
def test_the_place_of_a_difference_is_named(recorded, now, path):
    assert first_difference(recorded, now) == path


def test_arguments_in_another_order_of_keys_are_the_same():
    story = Story(lambda ctx: ctx.run_activity("send", 1, subject={"a": 1, "b": 2}))
    story.start()
    story.evict(lambda ctx: ctx.run_activity("send", 1, subject={"b": 2, "a": 1}))
    assert story.wait(0).warnings == []


def test_changed_durations_are_no_mismatch_and_the_recorded_ones_hold():
    story = Story(lambda ctx: ctx.sleep(60))
    story.start()
    story.evict(lambda ctx: ctx.sleep(5))
    assert story.wait(5).status is Status.RUNNING
    assert story.wait(55).status is Status.COMPLETED


def test_an_event_of_a_newer_release_leaves_the_run_to_a_newer_worker():
    story = Story(lambda ctx: ctx.sleep(1))
    story.start()
    story.history.append(e.EventRecord(3, "workflow_teleported", None, "{}", EPOCH))
    with pytest.raises(NewerCodeNeeded, match="workflow_teleported"):
        story.replayed()
