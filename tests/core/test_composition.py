"""Several things at once: gather, select, branches, conditions and timers; every prefix of a history replays."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from durable_core.errors import (
    ActivityError,
    DurableError,
    LimitExceeded,
    NondeterminismError,
    TimerCanceled,
    WaitTimeout,
    WorkflowCanceled,
)
from durable_core.execution import Status
from durable_core.handles import ActivityHandle
from tests.core.stories import Story, cancel, child_completed, completed, failed, loads, signal


def waits_for(story):
    return json.loads(story.decision.waiting_for)


# Gather


def test_gather_answers_in_the_order_of_its_arguments_whatever_came_first():
    def fn(ctx):
        first, second = ctx.start_activity("add", 1, 2), ctx.start_activity("add", 3, 4)
        child = ctx.start_workflow("child", n=1)
        return ctx.gather(first, child, second)

    story = Story(fn)
    story.start()
    assert [command.call_id for command in story.decision.activities] == ["0", "1"]
    assert waits_for(story)["what"] == "all of activity add, child child, activity add"
    story.give(completed(1, 7))
    story.give(child_completed(2, "c"))
    story.give(completed(0, 3))
    assert story.result == [3, "c", 7]
    story.check()


def test_gather_raises_the_first_failure_in_the_order_of_its_arguments_when_all_are_done():
    def fn(ctx):
        handles = [ctx.start_activity("old") for _ in range(3)]
        with pytest.raises(ActivityError) as caught:
            ctx.gather(*handles)
        return caught.value.message

    story = Story(fn)
    story.start()
    story.give(failed(2, ValueError("third")))
    story.give(failed(1, ValueError("second")))
    assert story.decision.status is Status.RUNNING
    story.give(completed(0))
    assert story.result == "second"
    story.check()


def test_gather_can_answer_failures_among_the_results():
    def fn(ctx):
        handles = [ctx.start_activity("old") for _ in range(2)]
        results = ctx.gather(*handles, return_exceptions=True)
        return [type(result).__name__ for result in results]

    story = Story(fn)
    story.start(failed(0), completed(1))
    assert story.result == ["ActivityError", "NoneType"]
    story.check()


def test_gather_of_nothing_is_an_empty_list():
    story = Story(lambda ctx: ctx.gather())
    story.start()
    assert story.result == []


def test_one_handle_may_be_waited_for_twice():
    def fn(ctx):
        handle = ctx.start_activity("old")
        return [ctx.gather(handle, handle), ctx.wait(handle), ctx.wait_activity(handle)]

    story = Story(fn)
    story.start(completed(0, 5))
    assert story.result == [[5, 5], 5, 5]
    story.check()


@pytest.mark.parametrize("call", ["gather", "wait", "select"])
def test_what_is_no_handle_is_refused_by_name(call):
    def fn(ctx):
        with pytest.raises(TypeError, match=r"got 'old'; expected a handle"):
            {"gather": ctx.gather, "wait": ctx.wait, "select": lambda it: ctx.select(it=it)}[call]("old")

    story = Story(fn)
    story.start()
    assert story.result is None


@pytest.mark.parametrize("call", ["gather", "wait", "select", "cancel"])
def test_the_handle_of_another_run_is_refused_and_takes_no_id(call):
    def fn(ctx, waits):
        stranger = ActivityHandle("17", "old")
        ways = {"gather": ctx.gather, "wait": ctx.wait, "select": lambda it: ctx.select(it=it), "cancel": ctx.cancel}
        with pytest.raises(DurableError, match="has started nothing by call 17; the handle is another run's"):
            ways[call](stranger)
        return ctx.run_activity("old")

    story = Story(fn, waits=True)
    story.start()
    assert [command.call_id for command in story.decision.activities] == ["1" if call == "select" else "0"]
    story.give(completed(story.decision.activities[0].call_id, 5))
    assert story.result == 5
    story.check()


def test_a_second_outcome_changes_no_result_that_was_read_or_will_be():
    """The winner of a race stays the winner, however often it is asked."""

    def fn(ctx):
        handles = [ctx.start_activity("old"), ctx.start_activity("new")]
        first = ctx.select(a=handles[0], b=handles[1])
        ctx.wait_signal("go")
        return [first, ctx.select(a=handles[0], b=handles[1]), ctx.gather(*handles)]

    story = Story(fn)
    story.start()
    story.give(completed(1, "b"), completed(1, "again"), completed(0, "a"), failed(1))
    story.give(completed(0, "later"), signal("go"))
    assert story.result == [["b", "b"], ["b", "b"], ["a", "b"]]
    assert story.types.count("activity_completed") == 2
    story.check()


@pytest.mark.parametrize(("value", "told"), [(None, ["done", None]), (0, ["done", 0]), (False, ["done", False])])
def test_a_falsy_result_is_no_timeout(value, told):
    def fn(ctx):
        handle = ctx.start_activity("old")
        return [ctx.select(done=handle, timeout=5), ctx.wait(handle, timeout=5), ctx.gather(handle)]

    story = Story(fn)
    story.start(completed(0, value))
    assert story.result == [told, value, [value]]
    story.check()


# Select


def race(ctx):
    handle = ctx.start_activity("old")
    match ctx.select(paid=ctx.signal("paid"), done=handle, timeout=10):
        case "paid", payment:
            return ["paid", payment]
        case "done", value:
            return ["done", value]
        case "timeout", None:
            return ["timeout"]


@pytest.mark.parametrize(
    ("facts", "after", "result"),
    [
        ([signal("paid", 5), completed(0, 6)], 0, ["paid", 5]),
        ([completed(0, 6), signal("paid", 5)], 0, ["done", 6]),
        ([], 10, ["timeout"]),
        ([signal("paid", 0)], 10, ["paid", 0]),
    ],
)
def test_select_answers_what_the_log_has_first(facts, after, result):
    story = Story(race)
    story.start()
    assert waits_for(story)["what"] == "the first of signal 'paid', activity old"
    assert waits_for(story)["until"] is not None
    story.give(*facts, after=after)
    assert story.result == result
    story.check()


def test_select_among_what_is_there_takes_what_came_first():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.sleep(1)
        return [ctx.select(done=handle, b=ctx.signal("b"), a=ctx.signal("a")), ctx.wait_signal("b")]

    story = Story(fn)
    story.start(signal("a", 1), signal("b", 2), completed(0, 3))
    story.wait(1)
    assert story.result == [["a", 1], 2]
    assert story.types.count("timer_started") == 1
    story.check()


def test_select_goes_by_time_and_not_by_name():
    def fn(ctx):
        ctx.sleep(1)
        return [ctx.select(a=ctx.signal("a"), z=ctx.signal("z")), ctx.select(a=ctx.signal("a"), z=ctx.signal("z"))]

    story = Story(fn)
    story.start(signal("z", 1), signal("a", 2))
    story.wait(1)
    assert story.result == [["z", 1], ["a", 2]]
    story.check()


def test_select_raises_the_failure_of_what_came_first():
    def fn(ctx):
        with pytest.raises(ActivityError):
            ctx.select(done=ctx.start_activity("old"), timer=ctx.timer(5))
        return "failed"

    story = Story(fn)
    story.start(failed(0))
    assert story.result == "failed"
    story.check()


def test_a_signal_that_was_not_chosen_is_for_the_next_who_waits():
    def fn(ctx):
        first = ctx.select(done=ctx.start_activity("old"), paid=ctx.signal("paid"))
        return [first, ctx.wait_signal("paid")]

    story = Story(fn)
    story.start(completed(0, 1))
    story.give(signal("paid", 2))
    assert story.result == [["done", 1], 2]
    story.check()


def test_a_time_limit_that_is_not_reached_fires_no_more():
    def fn(ctx):
        first = ctx.select(go=ctx.signal("go"), timeout=1)
        ctx.sleep(10)
        return first

    story = Story(fn)
    story.start(signal("go"))
    story.wait(5)
    assert story.decision.status is Status.RUNNING
    story.wait(10)
    assert story.types.count("timer_fired") == 1
    story.check()


def test_select_of_nothing_is_refused():
    def fn(ctx):
        with pytest.raises(TypeError, match="nothing to wait for"):
            ctx.select()
        return ctx.select(timeout=1)

    story = Story(fn)
    story.start()
    story.wait(1)
    assert story.result == ["timeout", None]
    story.check()


# Timers


def test_a_timer_runs_while_the_code_does_other_things():
    def fn(ctx):
        timer = ctx.timer(10)
        ctx.sleep(6)
        return [ctx.wait(timer), ctx.wait(timer)]

    story = Story(fn)
    story.start()
    story.wait(6)
    story.wait(4)
    assert story.result == [None, None]
    story.check()


def test_a_canceled_timer_never_fires_and_says_so():
    def fn(ctx):
        timer = ctx.timer(1)
        assert ctx.cancel(timer)
        assert not ctx.cancel(timer)
        ctx.sleep(5)
        with pytest.raises(TimerCanceled):
            ctx.wait(timer)
        fired = ctx.timer(0)
        ctx.wait(fired)
        return ctx.cancel(fired)

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "timer_started", "timer_canceled", "timer_started"]
    assert story.decision.wake_at == story.time + timedelta(seconds=5)
    story.wait(5)
    assert story.result is False
    assert story.types.count("timer_fired") == 2
    story.check()


# Branches


def test_branches_take_turns_and_their_calls_have_ids_of_their_own():
    def fn(ctx):
        def steps(name, n):
            return [ctx.run_activity("add", name, i) for i in range(n)]

        left, right = ctx.spawn(steps, "l", 2), ctx.spawn(steps, "r", n=2)
        last = ctx.run_activity("old")
        return [*ctx.gather(left, right), last]

    story = Story(fn)
    story.start()
    assert [command.call_id for command in story.decision.activities] == ["2", "0.0", "1.0"]
    story.give(completed("1.0", "r0"))
    assert [command.call_id for command in story.decision.activities] == ["1.1"]
    story.give(completed("2", "last"), completed("0.0", "l0"), completed("1.1", "r1"))
    assert waits_for(story)["what"] == "all of branch steps, branch steps"
    story.give(completed("0.1", "l1"))
    assert story.result == [["l0", "l1"], ["r0", "r1"], "last"]
    story.check()


def test_a_branch_in_a_branch_has_an_id_with_three_parts():
    def fn(ctx):
        def outer():
            return ctx.wait(ctx.spawn(lambda: ctx.run_activity("old")))

        return ctx.wait(ctx.spawn(outer))

    story = Story(fn)
    story.start()
    assert [command.call_id for command in story.decision.activities] == ["0.0.0"]
    story.give(completed("0.0.0", 1))
    assert story.result == 1
    story.check()


def test_the_error_of_a_branch_is_for_whoever_waits_for_it():
    def fn(ctx):
        def fails():
            ctx.run_activity("old")
            raise KeyError("k")

        branch = ctx.spawn(fails)
        seen = []
        for _ in range(2):
            try:
                ctx.wait(branch)
            except KeyError as error:
                seen.append(str(error))
        return seen

    story = Story(fn)
    story.start(completed("0.0"))
    assert story.result == ["'k'", "'k'"]
    story.check()


def test_branches_are_unwound_when_the_run_ends_and_that_is_said():
    unwound = []

    def fn(ctx):
        def endless():
            try:
                ctx.wait_signal("never")
            finally:
                unwound.append(True)

        def fails():
            raise ValueError("nobody hears")

        ctx.spawn(endless)
        ctx.spawn(fails)
        ctx.run_activity("old")
        return "done"

    story = Story(fn)
    story.start(completed(2))
    assert story.result == "done"
    assert unwound
    assert any("2 of its branches" in warning for warning in story.decision.warnings)


def test_a_branch_that_is_changed_under_the_run_blocks_it():
    def before(ctx):
        ctx.wait(ctx.spawn(lambda: ctx.run_activity("old")))

    def after(ctx):
        ctx.wait(ctx.spawn(lambda: ctx.run_activity("new")))

    story = Story(before)
    story.start()
    with pytest.raises(NondeterminismError, match=r"activity 'old' \(call 0.0\) .* activity 'new' \(call 0.0\)"):
        story.replayed(after)


def test_ctx_of_a_branch_is_not_for_threads_nor_conditions():
    def fn(ctx):
        with pytest.raises(DurableError, match=r"condition of ctx\.wait_until"):
            ctx.wait_until(lambda: ctx.run_activity("old"))
        return "refused"

    story = Story(fn)
    story.start()
    assert story.result == "refused"


def test_branches_nested_too_deep_are_refused():
    def fn(ctx):
        def deeper(n):
            return ctx.wait(ctx.spawn(deeper, n + 1))

        try:
            deeper(0)
        except LimitExceeded as error:
            return str(error)

    story = Story(fn)
    story.start()
    assert "nested too deep" in story.result


def test_a_thousand_branches_take_their_turns():
    def fn(ctx):
        return sum(ctx.gather(*[ctx.spawn(lambda n=n: ctx.run_activity("add", n, 0)) for n in range(1000)]))

    story = Story(fn)
    story.start()
    assert len(story.decision.activities) == 1000
    story.give(*[completed(f"{n}.0", n) for n in reversed(range(1000))])
    assert story.result == sum(range(1000))


# Conditions


def test_a_condition_is_looked_at_whenever_something_has_happened():
    def fn(ctx):
        state = {"paid": 0}

        def collect():
            while state["paid"] < 3:
                state["paid"] += ctx.wait_signal("pay")

        ctx.spawn(collect)
        ctx.wait_until(lambda: state["paid"] >= 2)
        reached = state["paid"]
        ctx.wait_until(lambda: state["paid"] >= 3, timeout=5)
        return reached

    story = Story(fn)
    story.start(signal("pay", 1))
    assert waits_for(story)["kind"] == "condition"
    story.give(signal("pay", 1))
    assert story.decision.status is Status.RUNNING
    story.give(signal("pay", 1))
    assert story.result == 2
    story.check()


def test_a_condition_may_time_out():
    def fn(ctx):
        with pytest.raises(WaitTimeout, match="did not hold within 5 s"):
            ctx.wait_until(lambda: False, timeout=5)
        return "late"

    story = Story(fn)
    story.start()
    story.wait(5)
    assert story.result == "late"
    story.check()


def test_conditions_may_wait_for_each_other():
    def fn(ctx):
        at: list[int] = []

        def follow(n):
            ctx.wait_until(lambda: len(at) == n)
            at.append(n)

        branches = [ctx.spawn(follow, n) for n in (2, 1, 0)]
        ctx.gather(*branches)
        return at

    story = Story(fn)
    story.start()
    assert story.result == [0, 1, 2]
    story.check()


def test_an_error_in_a_condition_is_raised_where_it_is_waited_for():
    def fn(ctx):
        with pytest.raises(ZeroDivisionError):
            ctx.wait_until(lambda: 1 // 0)
        return "raised"

    story = Story(fn)
    story.start()
    assert story.result == "raised"


# Cancel


def test_a_cancel_is_raised_in_every_branch_and_behind_its_branches_in_who_waits_for_them():
    def fn(ctx):
        def works(name):
            try:
                ctx.wait_signal("never")
            except WorkflowCanceled:
                ctx.run_activity("send", name)
                raise

        try:
            ctx.gather(ctx.spawn(works, 1), ctx.spawn(works, 2))
        finally:
            ctx.run_activity("old")

    story = Story(fn)
    story.start()
    story.give(cancel("stop"))
    assert [command.activity_name for command in story.decision.activities] == ["send", "send"]
    story.give(completed("0.1"), completed("1.1"))
    assert [command.activity_name for command in story.decision.activities] == ["old"]
    story.give(completed(2))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_branch_that_was_begun_to_clear_up_is_not_canceled():
    def fn(ctx):
        try:
            ctx.wait_signal("never")
        except WorkflowCanceled:
            ctx.wait(ctx.spawn(lambda: ctx.run_activity("old")))

    story = Story(fn)
    story.start(cancel("stop"))
    story.give(completed("1.0"))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_shield_protects_the_branch_that_is_in_it_alone():
    def fn(ctx):
        def shielded():
            with ctx.shield():
                ctx.run_activity("add", 1, 1)

        branch = ctx.spawn(shielded)
        try:
            ctx.wait_signal("never")
        finally:
            ctx.run_activity("old")
            try:
                ctx.wait(branch)
            except WorkflowCanceled:
                ctx.run_activity("new")

    story = Story(fn)
    story.start()
    story.give(cancel("stop"))
    assert [command.activity_name for command in story.decision.activities] == ["old"]
    story.give(completed(2), completed("0.0"))
    assert [command.activity_name for command in story.decision.activities] == ["new"]
    story.give(completed(3))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_results_of_activities_are_fresh_copies_in_every_branch():
    def fn(ctx):
        handle = ctx.start_activity("old")

        def change():
            value = ctx.wait(handle)
            value.append(1)
            return value

        return ctx.gather(ctx.spawn(change), ctx.spawn(change), handle)

    story = Story(fn)
    story.start(completed(0, []))
    assert story.result == [[1], [1], []]
    assert loads(story.history[-1].details)
    story.check()
