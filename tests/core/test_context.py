"""Calls of `ctx`: what they say when they are made wrongly, what they write, and what code may know of its run."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from random import Random
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import ConfigurationError, PayloadError, SideEffectError
from tests.core.stories import EPOCH, RUN_ID, Story
from tests.core.test_composition import waits_for

A_HANDLE = "expected a handle: what start_activity(), start_workflow(), start_ask(), spawn() or timer() returned"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda ctx: ctx.wait(5), f"wait() got 5; {A_HANDLE}."),
        (lambda ctx: ctx.wait_activity(ctx.timer(1)), "; expected what ctx.start_activity() returned."),
        (lambda ctx: ctx.wait_workflow(ctx.timer(1)), "; expected what ctx.start_workflow() returned."),
        (lambda ctx: ctx.gather(5), f"gather() got 5; {A_HANDLE}."),
        (lambda ctx: ctx.select(it=5), f"select(it=) got 5; {A_HANDLE}, or ctx.signal(name)."),
        (
            lambda ctx: ctx.select(),
            "select() got nothing to wait for; expected handles or signals by name, or a timeout.",
        ),
        (
            lambda ctx: ctx.cancel(5),
            f"cancel() got 5; {A_HANDLE}.",
        ),
        (lambda ctx: ctx.spawn(5), "spawn() got 5; expected a function of the workflow's own code."),
        (
            lambda ctx: ctx.wait_until(True),
            "wait_until() got True; expected a function without arguments that says yes or no.",
        ),
        (lambda ctx: ctx.signal(""), "signal() got ''; expected the signal's name."),
        (lambda ctx: ctx.signal(5), "signal() got 5; expected the signal's name."),
        (lambda ctx: ctx.wait_signal(""), "wait_signal() got ''; expected the signal's name."),
        (lambda ctx: ctx.wait_signal(None), "wait_signal() got None; expected the signal's name."),
        (lambda ctx: ctx.sleep(-1), "ctx.sleep() is -1; expected 0 or more."),
        (lambda ctx: ctx.sleep(None), "ctx.sleep() is None; expected seconds or a timedelta."),
        (lambda ctx: ctx.timer(-1), "ctx.timer() is -1; expected 0 or more."),
        (lambda ctx: ctx.select(timeout=-1), "select(timeout=) is -1; expected 0 or more."),
        (lambda ctx: ctx.wait_until(bool, timeout=-1), "wait_until(timeout=) is -1; expected 0 or more."),
        (lambda ctx: ctx.wait_signal("s", timeout=-1), "wait_signal(timeout=) is -1; expected 0 or more."),
        (
            lambda ctx: ctx.wait(ctx.start_activity("old"), timeout=-1),
            "the timeout of a wait for 'old' is -1; expected 0 or more.",
        ),
        (lambda ctx: ctx.get_version("v", 0), "get_version('v') got version 0; expected 1 or more."),
        (lambda ctx: ctx.get_version("v", True), "get_version('v') got version True; expected 1 or more."),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_in_words(call, says):
    def fn(ctx):
        with pytest.raises((TypeError, ConfigurationError)) as caught:
            call(ctx)
        return str(caught.value)

    story = Story(fn)
    story.start()
    assert story.result.endswith(says)
    assert not {"signal_wait_started", "timer_fired", "version_marker"} & set(story.types)
    story.check()


@pytest.mark.parametrize(
    ("call", "call_id", "bounded"),
    [
        (lambda ctx: ctx.sleep(5), "0", None),
        (lambda ctx: ctx.wait(ctx.timer(5)), "0", None),
        (lambda ctx: ctx.wait(ctx.start_activity("old"), timeout=5), "1", "0"),
        (lambda ctx: ctx.wait_workflow(ctx.start_workflow("child"), timeout=5), "1", "0"),
        (lambda ctx: ctx.select(a=ctx.signal("a"), timeout=5), "0", "0"),
        (lambda ctx: ctx.wait_until(lambda: False, timeout=5), "0", "0"),
    ],
)
def test_a_limit_is_a_timer_that_knows_what_it_bounds(call, call_id, bounded):
    story = Story(call)
    story.start()
    (timer,) = [fact for fact in map(e.event_of, story.history) if isinstance(fact, e.TimerStarted)]
    assert (timer.fire_at, timer.waits_for) == (EPOCH + timedelta(seconds=5), bounded)
    assert timer.call_id == call_id
    assert story.decision.wake_at == timer.fire_at
    assert story.wait(4.999).end is None
    assert story.wait(0.001).end is not None
    story.check()


@pytest.mark.parametrize(
    ("call", "kind", "what", "until"),
    [
        (lambda ctx: ctx.sleep(5), "timer", "sleep", 5),
        (lambda ctx: ctx.wait(ctx.timer(5)), "timer", "timer", None),
        (lambda ctx: ctx.wait_signal("s"), "signal", "s", None),
        (lambda ctx: ctx.wait_signal("s", timeout=5), "signal", "s", 5),
        (lambda ctx: ctx.run_activity("old"), "activity", "old", None),
        (lambda ctx: ctx.wait(ctx.start_activity("old"), timeout=5), "activity", "old", 5),
        (lambda ctx: ctx.run_workflow("child"), "child", "child", None),
        (lambda ctx: ctx.wait_until(lambda: False), "condition", "<lambda>", None),
        (lambda ctx: ctx.wait_until(partial(bool, 0), timeout=5), "condition", "condition", 5),
        (lambda ctx: ctx.wait(ctx.spawn(partial(ctx.wait_signal, "s"))), "branch", "partial", None),
        (lambda ctx: ctx.select(a=ctx.signal("a"), timeout=5), "several", "the first of signal 'a'", 5),
        (
            lambda ctx: ctx.gather(*[ctx.start_activity("old")] * 5),
            "several",
            "all of activity old, activity old, activity old, activity old, activity old",
            None,
        ),
        (
            lambda ctx: ctx.gather(*[ctx.start_activity("old")] * 7),
            "several",
            "all of activity old, activity old, activity old, activity old, activity old and 2 more",
            None,
        ),
    ],
)
def test_a_run_says_what_it_waits_for_and_until_when(call, kind, what, until):
    story = Story(call)
    story.start()
    told = waits_for(story)
    end = None if until is None else (EPOCH + timedelta(seconds=until)).isoformat()
    assert (told["kind"], told["what"], told["until"]) == (kind, what, end)
    assert told["at"].startswith(f"{__file__}:")


def test_a_select_and_a_canceled_timer_are_written_with_what_they_are_about():
    def fn(ctx):
        ctx.cancel(ctx.timer(5))
        ctx.select(a=ctx.signal("one"), b=ctx.signal("two"))

    story = Story(fn)
    story.start()
    assert [e.event_of(record) for record in story.history[2:]] == [
        e.TimerCanceled(call_id="0"),
        e.SignalWaitStarted(call_id="1.0", name="one", fire_at=None),
        e.SignalWaitStarted(call_id="1.1", name="two", fire_at=None),
    ]


def test_code_knows_its_run_and_the_time_of_its_step():
    seen = []

    def fn(ctx):
        seen.append((ctx.now(), ctx.is_replaying))
        ctx.sleep(5)
        seen.append((ctx.now(), ctx.is_replaying))
        return [str(ctx.info.execution_id), ctx.info.workflow_name]

    story = Story(fn)
    story.start()
    story.wait(6)
    first, second = (EPOCH, False), (EPOCH + timedelta(seconds=6), False)
    assert seen == [first, second]
    assert story.result == [str(RUN_ID), "story"]
    seen.clear()
    story.replayed(length=story.steps[0].length).close()
    assert seen == [(EPOCH, True)]


def test_a_version_may_be_the_first():
    story = Story(lambda ctx: ctx.get_version("v", 1))
    story.start()
    assert story.result == 1


def test_random_values_are_those_of_a_generator_seeded_by_the_id_of_the_run():
    story = Story(lambda ctx: [ctx.random().random(), str(ctx.uuid4()), ctx.random().random()])
    story.start()
    same = Random(RUN_ID.int)
    expected = [same.random(), str(UUID(int=same.getrandbits(128), version=4)), same.random()]
    assert story.result == expected


def test_a_handle_of_a_timer_knows_when_it_fires():
    story = Story(lambda ctx: ctx.timer(timedelta(minutes=1)).fire_at.isoformat())
    story.start()
    assert story.result == (EPOCH + timedelta(minutes=1)).isoformat()


def test_the_value_of_a_side_effect_has_the_limit_of_the_project():
    def fn(ctx):
        with pytest.raises(PayloadError, match="the value of a side effect takes 51 bytes"):
            ctx.side_effect(lambda: "x" * 49)
        return len(ctx.side_effect(lambda: "x" * 48))

    story = Story(fn, settings=RunSettings(payload_limit=50))
    story.start()
    assert story.result == 48


def test_a_side_effect_is_recorded_with_its_value_or_its_failure():
    def fail():
        raise KeyError("no")

    def fn(ctx):
        ctx.side_effect(lambda: [1])
        with pytest.raises(SideEffectError):
            ctx.side_effect(fail)

    story = Story(fn)
    story.start()
    one, two = [fact for fact in map(e.event_of, story.history) if isinstance(fact, e.SideEffectRecorded)]
    assert (one.call_id, one.result, one.failure) == ("0", "[1]", None)
    assert (two.call_id, two.result) == ("1", "null")
    assert two.failure is not None
    assert (two.failure["type"], two.failure["message"]) == ("KeyError", "'no'")
