"""Parts of the code that are canceled by themselves: scopes and branches; every prefix of a history replays."""

from __future__ import annotations

import pytest

from durable_core import events as e
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    BranchCanceled,
    DurableError,
    NondeterminismError,
    ScopeCanceled,
    TimerCanceled,
    WaitTimeout,
    WorkflowCanceled,
)
from durable_core.execution import Status
from tests.core.stories import Story, cancel, completed, failed, loads, signal
from tests.core.test_canceling import canceled


def asked_to_end(story):
    """By their calls."""
    asking = ("activity_cancel_requested", "child_workflow_cancel_requested", "timer_canceled")
    return [record.call_id for record in story.history if record.type in asking]


# By their time


def test_a_scope_whose_time_is_over_ends_what_it_waits_for_and_goes_on_behind_the_block():
    def fn(ctx):
        with ctx.cancel_scope(timeout=5) as scope:
            ctx.run_activity("old")
            ctx.wait_signal("never comes here")
        return [scope.was_canceled, scope.reason, ctx.run_activity("new")]

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "timer_started", "activity_scheduled"]
    assert story.decision.wake_at is not None
    story.wait(5)
    assert story.types[3:] == ["timer_fired", "activity_cancel_requested", "activity_scheduled"]
    story.give(canceled(1), completed(2, 7))
    assert story.result == [True, "its time limit of 5 s was over", 7]
    story.check()


def test_a_scope_that_ends_in_time_is_not_canceled_and_its_timer_never_fires():
    def fn(ctx):
        with ctx.cancel_scope(timeout=5) as scope:
            value = ctx.run_activity("old")
        ctx.sleep(10)
        return [scope.was_canceled, value, scope.cancel()]

    story = Story(fn)
    story.start(completed(1, 7))
    story.wait(5)
    assert story.decision.status is Status.RUNNING
    story.wait(5)
    assert story.result == [False, 7, False]
    assert story.types.count("timer_fired") == 1
    story.check()


@pytest.mark.parametrize(
    ("wait", "says"),
    [
        (lambda ctx: ctx.sleep(60), "timer"),
        (lambda ctx: ctx.wait_signal("never"), "signal"),
        (lambda ctx: ctx.wait_signal("never", timeout=60), "signal"),
        (lambda ctx: ctx.wait_until(lambda: False), "condition"),
        (lambda ctx: ctx.select(timeout=60, a=ctx.signal("a")), "several"),
        (lambda ctx: ctx.wait(ctx.timer(60)), "timer"),
        (lambda ctx: ctx.gather(ctx.start_activity("old"), ctx.start_workflow("child")), "several"),
    ],
)
def test_every_wait_ends_with_its_scope_and_leaves_nothing_behind(wait, says):
    def fn(ctx):
        with ctx.cancel_scope(timeout=5) as scope:
            wait(ctx)
        return [scope.was_canceled, ctx.wait_signal("never")]

    story = Story(fn)
    story.start()
    assert f'"kind":"{says}"' in str(story.decision.waiting_for)
    story.wait(5)
    story.give(signal("never", 1))
    assert story.result == [True, 1]
    assert story.decision.wake_at is None
    story.check()


def test_a_step_in_which_the_time_is_over_and_the_result_comes_goes_by_the_log():
    def fn(ctx):
        values = []
        with ctx.cancel_scope(timeout=5) as scope:
            values.append(ctx.run_activity("old"))
        return [scope.was_canceled, *values]

    for first, result in (([completed(1, 7)], [False, 7]), ([e.TimerFired(call_id="0"), completed(1, 7)], [True])):
        story = Story(fn)
        story.start()
        story.give(*first, after=5)
        assert story.result == result
        story.check()


# By code


def test_a_scope_is_canceled_from_another_strand_and_takes_its_branches_along():
    def fn(ctx):
        seen = []

        def works(name):
            try:
                ctx.run_activity("send", name)
            except ScopeCanceled as error:
                seen.append([name, error.reason])
                ctx.run_activity("old")
                raise

        def outside():
            return ctx.run_activity("add", 1, 1)

        def stops(scope):
            ctx.wait_signal("stop")
            assert scope.cancel("enough")
            assert not scope.cancel("again")

        other = ctx.spawn(outside)
        with ctx.cancel_scope() as scope:
            ctx.spawn(stops, scope)
            inside = [ctx.spawn(works, name) for name in (1, 2)]
            ctx.gather(*inside)
        errors = ctx.gather(*inside, return_exceptions=True)
        return [seen, [[type(error).__name__, error.reason] for error in errors], scope.reason, ctx.wait(other)]

    story = Story(fn)
    story.start()
    story.give(signal("stop"))
    assert asked_to_end(story) == ["2.0", "3.0"]
    assert [command.activity_name for command in story.decision.activities] == ["old", "old"]
    story.give(canceled("2.0"), canceled("3.0"), completed("2.1"), completed("3.1"), completed("0.0", 2))
    both = [["BranchCanceled", "enough"]] * 2
    assert story.result == [[[1, "enough"], [2, "enough"]], both, "enough", 2]
    assert not story.decision.warnings
    story.check()


def test_a_scope_may_cancel_itself_and_without_a_wait_nothing_is_raised():
    def fn(ctx):
        with ctx.cancel_scope() as scope:
            scope.cancel("enough")
            reached = True
        with ctx.cancel_scope() as second:
            second.cancel()
            handle = ctx.start_activity("old")
            ctx.wait(handle)
            ctx.wait_signal("never comes here")
        return [scope.was_canceled, reached, second.was_canceled, ctx.cancel(handle)]

    story = Story(fn)
    story.start()
    assert story.result == [True, True, True, True]
    assert asked_to_end(story) == ["0"]  # started behind the cancel: at the end of the block
    story.check()


def test_a_scope_is_not_canceled_by_another_error():
    def fn(ctx):
        scopes = []
        try:
            with ctx.cancel_scope(timeout=5) as scope:
                scopes.append(scope)
                ctx.run_activity("old")
        except ActivityError:
            return scopes[0].was_canceled

    story = Story(fn)
    story.start(failed(1))
    assert story.result is False
    assert story.decision.wake_at is None
    story.check()


def test_what_is_started_in_a_scope_and_goes_on_at_its_end_goes_on():
    def fn(ctx):
        with ctx.cancel_scope() as outer:
            with ctx.cancel_scope():
                inner = ctx.start_activity("old")
            timer = ctx.timer(60)
            child = ctx.start_workflow("child")
            ctx.wait_signal("stop")
            outer.cancel()
            done = [type(error).__name__ for error in ctx.gather(timer, return_exceptions=True)]
        after = ctx.start_activity("new")
        return [done, ctx.cancel(timer), inner.call_id, child.call_id, after.call_id]

    story = Story(fn)
    story.start()
    assert asked_to_end(story) == []
    story.give(signal("stop"))
    assert asked_to_end(story) == ["0", "1", "2"]
    assert story.result == [["TimerCanceled"], False, "0", "2", "4"]
    story.check()


# Inside each other


def test_the_outer_scope_ends_the_inner_one_which_does_not_take_its_cancel():
    def fn(ctx):
        seen = []
        with ctx.cancel_scope(timeout=5) as outer:
            with ctx.cancel_scope(timeout=60) as inner:
                ctx.wait_signal("never")
            seen.append("behind the inner one")
        return [seen, outer.was_canceled, inner.was_canceled]

    story = Story(fn)
    story.start()
    story.wait(5)
    assert story.result == [[], True, False]
    assert story.decision.wake_at is None
    story.check()


def test_the_inner_scope_leaves_the_outer_one_alone():
    def fn(ctx):
        with ctx.cancel_scope(timeout=60) as outer:
            with ctx.cancel_scope(timeout=5) as inner:
                ctx.wait_signal("never")
            value = ctx.run_activity("old")
        return [value, outer.was_canceled, inner.was_canceled]

    story = Story(fn)
    story.start()
    story.wait(5)
    story.give(completed(3, 7))
    assert story.result == [7, False, True]
    story.check()


def test_a_cancel_is_raised_once_and_whoever_catches_it_may_clear_up():
    def fn(ctx):
        values = []
        with ctx.cancel_scope() as scope:
            scope.cancel()
            try:
                ctx.wait_signal("never")
            except ScopeCanceled:
                values.append(ctx.run_activity("old"))
        return values

    story = Story(fn)
    story.start(completed(1, 7))
    assert story.result == [7]
    assert story.types.count("activity_cancel_requested") == 0
    story.check()


# Shields, and the cancel of the run


def test_a_shield_in_a_scope_holds_and_the_cancel_is_raised_at_its_end():
    def fn(ctx):
        seen = []
        with ctx.cancel_scope(timeout=5):
            with ctx.shield():
                seen.append(ctx.run_activity("old"))
                seen.append("shielded")
            seen.append("behind the shield")
        return seen

    story = Story(fn)
    story.start()
    story.wait(5)
    assert asked_to_end(story) == []
    story.give(completed(1, 7))
    assert story.result == [7, "shielded"]
    story.check()


def test_a_scope_in_a_shield_is_canceled_all_the_same():
    def fn(ctx):
        with ctx.shield(), ctx.cancel_scope(timeout=5) as scope:
            ctx.run_activity("old")
        return scope.was_canceled

    story = Story(fn)
    story.start()
    story.give(cancel("stop"))
    assert asked_to_end(story) == []
    story.wait(5)
    assert story.decision.status is Status.CANCELED
    assert asked_to_end(story) == ["1"]
    story.check()


def test_a_cancel_of_the_run_goes_through_scopes():
    def fn(ctx):
        scopes = []
        try:
            with ctx.cancel_scope(timeout=60) as scope:
                scopes.append(scope)
                ctx.wait_signal("never")
        except WorkflowCanceled as error:
            ctx.run_activity("send", [type(error).__name__, scopes[0].was_canceled])
            raise

    story = Story(fn)
    story.start()
    story.give(cancel("stop"))
    [command] = story.decision.activities
    assert loads(command.input)["args"] == [["WorkflowCanceled", False]]
    story.give(completed(2))
    assert story.decision.status is Status.CANCELED
    story.check()


@pytest.mark.parametrize("run_first", [True, False])
def test_a_cancel_of_the_run_and_one_of_a_scope_in_one_step_are_both_heard(run_first):
    def fn(ctx):
        seen = []
        with ctx.cancel_scope(timeout=5) as scope:
            try:
                ctx.wait_signal("never")
            finally:
                seen.append("left")
        ctx.run_activity("send", scope.was_canceled, subject=str(seen))

    story = Story(fn)
    story.start()
    both = [cancel("stop"), e.TimerFired(call_id="0")]
    story.give(*(both if run_first else reversed(both)))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_the_end_of_a_scope_by_an_error_of_its_own_is_no_cancel_of_the_run():
    """A run that was asked to end, and lets a cancel of a scope out by hand, has failed."""

    def fn(ctx):
        with ctx.shield():
            ctx.wait_signal("go")
            kept = []
            with ctx.cancel_scope() as scope:
                scope.cancel()
                try:
                    ctx.sleep(1)
                except ScopeCanceled as error:
                    kept.append(error)
        raise kept[0]

    story = Story(fn)
    story.start(signal("go"))
    assert story.decision.status is Status.FAILED
    assert story.decision.error.startswith("ScopeCanceled: this part of the workflow was canceled")


# Branches


def test_a_branch_is_canceled_by_its_handle_and_who_waits_gets_a_typed_error():
    def fn(ctx):
        def works():
            try:
                ctx.run_activity("old")
            finally:
                ctx.run_activity("new")

        branch = ctx.spawn(works)
        ctx.wait_signal("stop")
        first = ctx.cancel(branch, "enough")
        with pytest.raises(BranchCanceled) as caught:
            ctx.wait(branch)
        return [first, caught.value.reason, str(caught.value), ctx.cancel(branch)]

    story = Story(fn)
    story.start()
    story.give(signal("stop"))
    assert asked_to_end(story) == ["0.0"]
    story.give(canceled("0.0"), completed("0.1"))
    assert story.result == [True, "enough", "this branch of the workflow was canceled: enough", False]
    story.check()


def test_a_canceled_branch_that_returns_all_the_same_has_returned():
    def fn(ctx):
        def works():
            try:
                ctx.wait_signal("never")
            except ScopeCanceled as error:
                return error.reason

        branch = ctx.spawn(works)
        ctx.cancel(branch, "enough")
        return ctx.wait(branch)

    story = Story(fn)
    story.start()
    assert story.result == "enough"
    story.check()


def test_what_a_canceled_branch_leaves_going_on_is_canceled_at_its_end():
    def fn(ctx):
        def works():
            try:
                ctx.wait_signal("never")
            except ScopeCanceled:
                ctx.start_activity("old")

        branch = ctx.spawn(works)
        ctx.cancel(branch)
        return ctx.wait(branch)

    story = Story(fn)
    story.start()
    assert story.result is None
    assert asked_to_end(story) == ["0.1"]
    story.check()


def test_a_branch_may_outlive_the_scope_that_it_was_spawned_in():
    def fn(ctx):
        with ctx.cancel_scope(timeout=60):
            with ctx.cancel_scope() as inner:
                branch = ctx.spawn(lambda: ctx.run_activity("old"))
            assert not inner.cancel()
            ctx.wait_signal("go")
        return ctx.wait(branch)

    story = Story(fn)
    story.start()
    story.give(signal("go"))
    story.give(completed("1.0", 7))
    assert story.result == 7
    story.check()


def test_who_waits_in_a_scope_for_a_branch_from_outside_waits_no_longer():
    def fn(ctx):
        branch = ctx.spawn(lambda: ctx.run_activity("old"))
        with ctx.cancel_scope(timeout=5) as scope:
            ctx.wait(branch)
        return [scope.was_canceled, ctx.wait(branch)]

    story = Story(fn)
    story.start()
    story.wait(5)
    assert story.decision.status is Status.RUNNING
    assert asked_to_end(story) == []
    story.give(completed("0.0", 7))
    assert story.result == [True, 7]
    story.check()


# Misuse and change


def test_a_scope_is_for_the_code_of_its_run_and_its_reason_is_a_text():
    kept = []

    def fn(ctx):
        with ctx.cancel_scope() as scope:
            kept.append(scope)
            with pytest.raises(TypeError, match=r"cancel\(reason=\) got 5"):
                scope.cancel(5)
        with pytest.raises(DurableError, match="is one block"), scope:
            raise AssertionError("never comes here")
        ctx.wait_signal("never")

    story = Story(fn)
    story.start()
    with pytest.raises(DurableError, match="outside its workflow's own code"):
        kept[0].cancel()


def test_a_time_limit_that_cancels_something_else_on_replay_blocks_the_run():
    def made(name):
        def fn(ctx):
            with ctx.cancel_scope(timeout=5):
                getattr(ctx, name)("old" if name == "run_activity" else "child")
            ctx.wait_signal("never")

        return fn

    def without(ctx):
        with ctx.cancel_scope(timeout=5), ctx.shield():
            ctx.run_activity("old")
        ctx.wait_signal("never")

    story = Story(made("run_activity"))
    story.start()
    story.wait(5)
    with pytest.raises(NondeterminismError, match="a cancel of the activity of call 1 at seq 5"):
        story.replayed(without)
    shielded = Story(without)
    shielded.start()
    shielded.wait(5)
    with pytest.raises(NondeterminismError, match="asked for a cancel of the activity of call 1"):
        shielded.replayed(made("run_activity"))


def test_names_of_cancels_and_of_time_limits_differ():
    """Whoever catches a time limit does not catch a cancel."""
    assert not issubclass(ScopeCanceled, WaitTimeout)
    assert issubclass(ScopeCanceled, WorkflowCanceled)
    assert not issubclass(BranchCanceled, WorkflowCanceled)
    assert {ActivityCanceled, TimerCanceled, BranchCanceled}.isdisjoint(WorkflowCanceled.__mro__)
