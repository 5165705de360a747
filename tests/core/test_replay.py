"""Facts in, decisions out; and every prefix of a history replays to the same place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_core import engine
from durable_core import events as e
from durable_core.codec import encode
from durable_core.decision import RunSettings
from durable_core.errors import (
    LimitExceeded,
    NondeterminismError,
    PayloadError,
)
from durable_core.execution import Status
from tests.core.stories import (
    EPOCH,
    Story,
    child_completed,
    completed,
    failed,
    loads,
    signal,
)

# How a run goes on


def test_a_run_starts_with_what_its_code_asks_for():
    def fn(ctx, a):
        return ctx.run_activity("add", a, b=2)

    story = Story(fn, a=1)
    decision = story.start()
    assert story.types == ["workflow_started", "activity_scheduled"]
    assert [record.seq for record in story.history] == [1, 2]
    assert [command.activity_name for command in decision.activities] == ["add"]
    assert loads(decision.activities[0].input) == {"args": [1], "kwargs": {"b": 2}}
    assert decision.status is Status.RUNNING
    waiting = loads(decision.waiting_for)
    assert (waiting["kind"], waiting["what"], waiting["until"]) == ("activity", "add", None)
    assert waiting["at"].startswith(__file__)
    story.give(completed(0, 3), after=1)
    assert story.result == 3
    assert story.types[2:] == ["activity_completed", "workflow_completed"]
    story.check()


def test_a_workflow_that_returns_none_completes_with_null():
    story = Story(lambda ctx: None)
    assert story.start().status is Status.COMPLETED
    assert story.decision.result == "null"
    story.check()


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 0.0])
def test_falsy_outcomes_are_values(value):
    def fn(ctx):
        handle = ctx.start_activity("old")
        by_timeout = ctx.wait_activity(handle, timeout=5)
        return [by_timeout, ctx.wait_signal("s", timeout=5), ctx.side_effect(lambda: value), ctx.run_workflow("child")]

    story = Story(fn)
    story.start()
    story.give(completed(0, value))
    story.give(signal("s", value))
    story.give(child_completed(4, value))
    assert story.result == [value] * 4
    story.check()


def test_handles_may_be_awaited_out_of_order_and_twice():
    def fn(ctx):
        first, second, third = (ctx.start_activity("add", n, n) for n in range(3))
        return [ctx.wait_activity(handle) for handle in (third, first, second, first, third)]

    story = Story(fn)
    assert len(story.start().activities) == 3
    story.give(completed(1, "b"))
    assert not story.decision.events[1:]
    story.give(completed(2, "c"), completed(0, "a"))
    assert story.result == ["c", "a", "b", "a", "c"]
    story.check()


def test_a_handle_of_another_run_is_an_error_not_an_endless_wait():
    handles = []

    def one(ctx):
        handles.append(ctx.start_activity("old"))
        ctx.start_activity("old")
        handles.append(ctx.start_activity("old"))

    def other(ctx):
        ctx.wait_activity(handles[1])

    Story(one).start()
    story = Story(other)
    story.start()
    assert story.decision.status is Status.FAILED
    assert "call 2" in story.decision.error
    story.check()


def test_what_is_changed_by_the_code_does_not_leak():
    def fn(ctx):
        handle = ctx.start_activity("old")
        first = ctx.wait_activity(handle)
        first["list"].append(1)
        noted = ctx.side_effect(lambda: first)
        noted["list"].append(2)
        got = ctx.wait_signal("s")
        got.append(3)
        return [ctx.wait_activity(handle), first, noted, got]

    story = Story(fn)
    story.start()
    story.give(completed(0, {"list": []}))
    story.give(signal("s", []))
    assert story.result == [{"list": []}, {"list": [1]}, {"list": [1, 2]}, [3]]
    story.check()


def test_a_first_run_sees_what_a_replay_sees():
    seen = []

    def fn(ctx, **kwargs):
        seen.append([kwargs, ctx.side_effect(lambda: (1, {2: ("x",)}))])
        ctx.sleep(1)

    story = Story(fn, t=(1, 2), d={3: 4})
    story.start()
    story.replayed().close()
    assert seen == [[{"t": [1, 2], "d": {"3": 4}}, [1, {"2": ["x"]}]]] * 2


def test_now_is_the_time_of_the_step_and_never_goes_back():
    def fn(ctx):
        times = [ctx.now()]
        ctx.wait_signal("a")
        times.append(ctx.now())
        ctx.wait_signal("b")
        times.append(ctx.now())
        return [time.isoformat() for time in times]

    story = Story(fn)
    story.start()
    story.give(signal("a"), after=10)
    story.give(signal("b"), after=-5)  # the store's clock was set back
    ten = (EPOCH + timedelta(seconds=10)).isoformat()
    assert story.result == [EPOCH.isoformat(), ten, ten]
    story.check()


def test_random_numbers_are_the_same_on_every_replay():
    seen = []

    def fn(ctx):
        numbers = [ctx.random().random(), str(ctx.uuid4())]
        ctx.sleep(1)
        seen.append([*numbers, str(ctx.uuid4())])
        ctx.sleep(1)

    story = Story(fn)
    story.start()
    story.wait(1)
    story.replayed().close()
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


# Facts that must leave no trace


@pytest.mark.promise("P3")
def test_second_and_unknown_outcomes_leave_no_trace():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_signal("go")
        return ctx.wait_activity(handle)

    story = Story(fn)
    story.start()
    story.give(completed(0, "first"), completed(0, "second"), failed(0), completed(99), child_completed("7"))
    assert story.types[-1] == "activity_completed"
    assert story.give(failed(0), story.started).events == []
    story.give(signal("go"))
    assert story.result == "first"
    story.check()


def test_a_fact_nobody_asked_for_is_an_error_of_the_caller():
    story = Story(lambda ctx: ctx.sleep(1))
    story.start()
    with pytest.raises(NondeterminismError, match="timer_fired"):
        story.run.advance([e.TimerFired(call_id="9")], story.time)


# Limits


def test_the_history_has_a_limit_and_a_replay_meets_it_at_the_same_place(monkeypatch):
    monkeypatch.setattr(engine, "MAX_HISTORY", 6)

    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            while True:
                ctx.patched("p")
                ctx.start_activity("new")
        except LimitExceeded:
            return ctx.wait_activity(handle)

    story = Story(fn)
    story.start()
    assert len(story.history) == 6
    story.check()
    story.give(completed(0, "fine"))
    assert story.result == "fine"
    story.check()


def test_the_limit_fails_code_that_ignores_it(monkeypatch):
    monkeypatch.setattr(engine, "MAX_HISTORY", 20)

    def fn(ctx):
        while True:
            ctx.sleep(0)

    story = Story(fn)
    assert story.start().status is Status.FAILED
    assert story.decision.error.startswith("LimitExceeded")
    story.check()


def test_payloads_over_the_limit_raise_at_the_call():
    def fn(ctx):
        try:
            ctx.run_activity("add", 1, "x" * 2000)
        except PayloadError:
            return "refused"

    story = Story(fn, settings=RunSettings(payload_limit=1000))
    story.start()
    assert story.result == "refused"
    assert story.types == ["workflow_started", "workflow_completed"]


def test_text_of_any_kind_survives_in_names_and_payloads():
    odd = "\x00\ud800\U0001f600é%s'\";--"

    def fn(ctx, **kwargs):
        return [kwargs, ctx.wait_signal(odd), ctx.side_effect(lambda: odd)]

    story = Story(fn, **{odd: odd})
    story.start()
    story.give(signal(odd, {odd: odd}))
    assert story.result == [{odd: odd}, {odd: odd}, odd]
    assert all(record.details.isascii() for record in story.history)
    assert encode(odd).isascii()
    story.check()
