"""ctx.map(): many items, one call; what it waits for, when it is done, and what becomes of the rest."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest

from durable_core.errors import (
    ActivityError,
    BatchFailed,
    ConfigurationError,
    NondeterminismError,
    PayloadError,
    ScopeCanceled,
    UnknownActivityError,
    WorkflowCanceled,
)
from durable_core.execution import Status
from durable_core.policies import CompletionPolicy
from tests.core.stories import Story, activities_and_children, cancel, child_completed, completed, failed
from tests.core.test_canceling import canceled
from tests.core.test_scopes import asked_to_end

ONE, TWO, THREE = Decimal(1), Decimal(2), Decimal(3)


@pytest.fixture
def registry():
    registry = activities_and_children()

    @registry.activity
    def double(n): ...

    @registry.workflow
    def ships(ctx, order): ...

    @registry.activity(name="both")
    def an_activity(n): ...

    @registry.workflow(name="both")
    def a_workflow(ctx, n): ...

    return registry


@pytest.fixture
def story(registry):
    return lambda fn: Story(fn, registry=registry)


def started(story):
    return [command.call_id for command in story.decision.activities]


def told(result):
    return [str(item.status) for item in result.outcomes]


# What is mapped


def test_an_activity_is_called_for_each_item_and_results_are_in_the_order_of_the_items(story):
    def fn(ctx):
        return ctx.map("double", [1, 2, 3]).results

    told = story(fn)
    told.start()
    assert started(told) == ["0.0", "0.1", "0.2"]
    told.give(completed("0.2", 6))
    told.give(completed("0.0", 2), completed("0.1", 4))
    assert told.result == [2, 4, 6]
    told.check()


def test_a_workflow_is_a_child_for_each_item(story, registry):
    def fn(ctx):
        return ctx.map(registry.workflows["ships"], ["a", "b"]).results

    told = story(fn)
    told.start()
    assert [command.call_id for command in told.decision.children] == ["0.0", "0.1"]
    assert [command.input for command in told.decision.children] == ['{"order":"a"}', '{"order":"b"}']
    assert len({command.child_id for command in told.decision.children}) == 2
    told.give(child_completed("0.1", 2), child_completed("0.0", 1))
    assert told.result == [1, 2]
    told.check()


def test_a_function_is_a_branch_for_each_item(story):
    def fn(ctx):
        def steps(n):
            return ctx.run_activity("double", n) + ctx.run_activity("double", n)

        return [ctx.map(steps, range(2)).results, ctx.run_activity("old")]

    told = story(fn)
    told.start()
    assert started(told) == ["0.0.0", "0.1.0"]
    told.give(completed("0.1.0", 1), completed("0.0.0", 2), completed("0.0.1", 3), completed("0.1.1", 4))
    assert started(told) == ["0.1.1", "0.0.1", "1"] or started(told)[-1] == "1"
    told.give(completed(1, "next"))
    assert told.result == [[5, 5], "next"]
    told.check()


def test_nothing_to_do_is_done_at_once(story):
    told = story(lambda ctx: [ctx.map("double", []).results, ctx.map("double", (), max_concurrency=1).results])
    told.start()
    assert told.result == [[], []]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_no_more_at_a_time_than_wanted_and_ids_go_by_the_items(story, at_once):
    def fn(ctx):
        return [ctx.map("double", range(5), max_concurrency=at_once).results, ctx.run_activity("old")]

    told = story(fn)
    told.start()
    under_way = started(told)
    assert under_way == [f"0.{n}" for n in range(at_once)]
    seen = list(under_way)
    while under_way:
        call_id = under_way.pop()  # the youngest ends first
        told.give(completed(call_id, int(call_id[2:])))
        under_way += [new for new in started(told) if new != "1"]
        seen += [new for new in started(told) if new != "1"]
        assert len(under_way) <= at_once
    assert seen == [f"0.{n}" for n in range(5)]
    told.give(completed(1))
    assert told.result == [[0, 1, 2, 3, 4], None]
    told.check()


# What is done, and what has failed


def test_without_a_policy_all_are_waited_for_and_then_failures_are_raised_together(story):
    def fn(ctx):
        with pytest.raises(BatchFailed, match=r"2 of 3 items of double failed; the first, in their order, with") as got:
            ctx.map("double", [1, 2, 3])
        result, cause = got.value.result, got.value.__cause__
        assert isinstance(cause, ActivityError)
        return [told(result), result.results, [error.message for error in result.failures], cause.message]

    story_of = story(fn)
    story_of.start()
    story_of.give(failed("0.2", ValueError("third")))
    story_of.give(failed("0.0", ValueError("first")))
    assert story_of.decision.status is Status.RUNNING
    story_of.give(completed("0.1", 4))
    assert story_of.result == [["FAILED", "SUCCEEDED", "FAILED"], [4], ["first", "third"], "first"]
    story_of.check()


def test_once_enough_have_succeeded_the_rest_is_canceled_and_the_result_comes_back(story):
    def fn(ctx):
        policy = CompletionPolicy(min_successful=2)
        result = ctx.map("double", range(6), max_concurrency=4, completion=policy)
        return [told(result), result.results, ctx.run_activity("old")]

    story_of = story(fn)
    story_of.start()
    story_of.give(completed("0.3", 6))
    story_of.give(failed("0.0"))
    story_of.give(completed("0.1", 2))
    assert asked_to_end(story_of) == ["0.2", "0.4", "0.5"]
    story_of.give(canceled("0.2"), completed(1, 7))
    statuses = ["FAILED", "SUCCEEDED", "CANCELED", "SUCCEEDED", "CANCELED", "CANCELED"]
    assert story_of.result == [statuses, [2, 6], 7]
    story_of.check()


def test_what_has_not_begun_never_begins(story):
    def fn(ctx):
        return told(ctx.map("double", range(4), 1, CompletionPolicy(min_successful=1)))

    story_of = story(fn)
    story_of.start()
    story_of.give(completed("0.0"))
    assert story_of.result == ["SUCCEEDED", *["NOT_STARTED"] * 3]
    story_of.check()


@pytest.mark.parametrize(
    ("policy", "failures"),
    [
        (CompletionPolicy(tolerated_failures=0), 1),
        (CompletionPolicy(tolerated_failures=2), 3),
        (CompletionPolicy(min_successful=3), 2),  # out of four: two failures are one too many
        (CompletionPolicy(min_successful=3, tolerated_failures=9), 2),
        (CompletionPolicy(min_successful=1, tolerated_failures=1), 2),
    ],
)
def test_one_failure_too_many_cancels_the_rest_and_raises(story, policy, failures):
    def fn(ctx):
        with pytest.raises(BatchFailed) as got:
            ctx.map("double", range(4), completion=policy)
        return [told(got.value.result), len(got.value.result.failures)]

    story_of = story(fn)
    story_of.start()
    for number in range(failures):
        assert asked_to_end(story_of) == []
        story_of.give(failed(f"0.{number}"))
    assert asked_to_end(story_of) == [f"0.{number}" for number in range(failures, 4)]
    assert story_of.result == [["FAILED"] * failures + ["CANCELED"] * (4 - failures), failures]
    story_of.check()


def test_tolerated_failures_are_in_the_result(story):
    def fn(ctx):
        result = ctx.map("double", range(3), completion=CompletionPolicy(tolerated_failures=1))
        return [told(result), result.results, len(result.failures)]

    story_of = story(fn)
    story_of.start(failed("0.1"), completed("0.0", 0), completed("0.2", 4))
    assert story_of.result == [["SUCCEEDED", "FAILED", "SUCCEEDED"], [0, 4], 1]
    story_of.check()


def test_more_successes_than_there_are_items_cannot_be(story):
    def fn(ctx):
        with pytest.raises(BatchFailed, match="0 of 1 items of double failed, but 2 were to succeed") as got:
            ctx.map("double", [1], completion=CompletionPolicy(min_successful=2))
        return told(got.value.result)

    story_of = story(fn)
    story_of.start()
    assert story_of.result == ["NOT_STARTED"]


def test_a_canceled_function_may_clear_up_before_the_batch_is_done(story):
    def fn(ctx):
        def works(n):
            try:
                return ctx.run_activity("double", n)
            except ScopeCanceled:
                ctx.run_activity("old")
                if n == 2:
                    return "all the same"
                raise

        result = ctx.map(works, range(3), completion=CompletionPolicy(min_successful=1))
        return [told(result), result.results]

    story_of = story(fn)
    story_of.start()
    story_of.give(completed("0.1.0", 1))
    assert asked_to_end(story_of) == ["0.0.0", "0.2.0"]
    assert story_of.decision.status is Status.RUNNING
    story_of.give(completed("0.0.1"), completed("0.2.1"))
    assert story_of.result == [["CANCELED", "SUCCEEDED", "SUCCEEDED"], [1, "all the same"]]
    assert not story_of.decision.warnings
    story_of.check()


# Cancels from outside


def test_a_cancel_of_the_run_is_raised_when_its_functions_have_cleared_up(story):
    def fn(ctx):
        def works(n):
            try:
                ctx.wait_signal("never")
            except WorkflowCanceled:
                ctx.run_activity("double", n)
                raise

        try:
            ctx.map(works, range(2), max_concurrency=2)
        finally:
            ctx.run_activity("old")

    story_of = story(fn)
    story_of.start()
    story_of.give(cancel("stop"))
    assert started(story_of) == ["0.0.1", "0.1.1"]
    story_of.give(completed("0.0.1"), completed("0.1.1"))
    assert started(story_of) == ["1"]
    story_of.give(completed(1))
    assert story_of.decision.status is Status.CANCELED
    story_of.check()


def test_a_scope_takes_the_items_along(story):
    def fn(ctx):
        with ctx.cancel_scope(timeout=5) as scope:
            ctx.map("double", range(5), max_concurrency=2)
        return scope.was_canceled

    story_of = story(fn)
    story_of.start()
    story_of.give(completed("1.0"))
    story_of.wait(5)
    assert asked_to_end(story_of) == ["1.1", "1.2"]
    assert story_of.result is True
    story_of.check()


# What is wrong with a call


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda ctx: ctx.map(5, [1]), TypeError, "map() got 5; expected an activity, a workflow, or a function"),
        (lambda ctx: ctx.map("double", {1, 2}), TypeError, "map() got a set, whose order is another in every process"),
        (lambda ctx: ctx.map("double", [1], 0), ConfigurationError, "max_concurrency=) got 0; expected a number"),
        (
            lambda ctx: ctx.map("double", [1], completion=3),
            TypeError,
            "completion=) got 3; expected a CompletionPolicy",
        ),
        (lambda ctx: ctx.map("doubel", [1]), UnknownActivityError, "Did you mean 'double'?"),
        (lambda ctx: ctx.map("both", [1]), ConfigurationError, "an activity's name and a workflow's"),
        (lambda ctx: ctx.map("add", [1, 2]), TypeError, "activity 'add': missing a required argument"),
        (lambda ctx: ctx.map("double", [1, object()]), PayloadError, "the arguments of activity 'double'"),
        (lambda ctx: ctx.map("ships", [1, object()]), PayloadError, "the input of workflow 'ships'"),
        (lambda ctx: CompletionPolicy(min_successful=0), ConfigurationError, "min_successful is 0"),
        (lambda ctx: CompletionPolicy(tolerated_failures=-1), ConfigurationError, "tolerated_failures is -1"),
    ],
)
def test_a_call_that_is_wrong_starts_nothing_and_takes_no_id(story, call, error, says):
    def fn(ctx):
        with pytest.raises(error) as caught:
            call(ctx)
        return [str(caught.value), ctx.run_activity("old")]

    story_of = story(fn)
    story_of.start()
    assert started(story_of) == ["0"]
    story_of.give(completed(0))
    assert says in story_of.result[0]
    story_of.check()


def test_another_function_under_the_run_blocks_it(story, registry):
    story_of = story(lambda ctx: ctx.map("double", [1, 2]).results)
    story_of.start()
    with pytest.raises(NondeterminismError, match=r"activity 'double' \(call 0.0\) .* activity 'send' \(call 0.0\)"):
        story_of.replayed(lambda ctx: ctx.map("send", [1, 2]))


def test_a_map_in_the_history_needs_no_signature_and_no_registration(story, registry):
    story_of = story(lambda ctx: ctx.map("double", [1, 2, 3], max_concurrency=1).results)
    story_of.start()
    story_of.give(completed("0.0", 2))
    del registry.activities["double"]
    story_of.give(completed("0.1", 4), completed("0.2", 6))
    assert story_of.result == [2, 4, 6]
    story_of.check()


def test_a_map_in_the_history_needs_no_signature_of_today(story, registry):
    story_of = story(lambda ctx: ctx.map("double", [1, 2, 3], max_concurrency=2).results)
    story_of.start()
    story_of.give(completed("0.0", 2))

    def double(n, more): ...

    del registry.activities["double"]
    registry.activity(double)
    story_of.check()


@pytest.mark.parametrize(
    ("refused", "then"),
    [
        (("add", [1, 2]), ("double", [1, 2])),
        (("counted", [ONE, "x"]), ("counted", [ONE])),
        (("counted", ["x"]), ("counted", [ONE])),
        (("delivers", [ONE, "x"]), ("delivers", [ONE])),
        (("doubel", [1]), ("double", [1])),
    ],
)
def test_a_map_that_was_refused_is_refused_on_a_replay_too_whatever_comes_next(story, registry, refused, then):
    @registry.activity
    def counted(n: Decimal): ...

    @registry.workflow
    def delivers(ctx, order: Decimal): ...

    def code(ctx):
        with pytest.raises((TypeError, PayloadError, UnknownActivityError)):
            ctx.map(*refused)
        return ctx.map(*then).results

    story_of = story(code)
    story_of.start()
    assert [event.call_id for event in story_of.history] == [None, *(f"0.{n}" for n in range(len(then[1])))]
    story_of.check()


def test_a_refused_map_that_shares_its_first_items_with_the_next_is_refused_on_a_replay_too(story, registry):
    @registry.activity
    def counted(n: Decimal): ...

    @registry.workflow
    def delivers(ctx, order: Decimal): ...

    def code(ctx):
        for fn in ("counted", "delivers"):
            with pytest.raises(PayloadError):
                ctx.map(fn, [ONE, TWO, "x"], max_concurrency=2)
        return [ctx.map(fn, [ONE, TWO, THREE], max_concurrency=2).results for fn in ("counted", "delivers")]

    story_of = story(code)
    story_of.start()
    story_of.give(completed("0.0", 1))
    story_of.give(completed("0.1", 2), completed("0.2", 3))
    story_of.give(child_completed("1.0", 1), child_completed("1.1", 2))
    story_of.give(child_completed("1.2", 3))
    assert story_of.result == [[1, 2, 3], [1, 2, 3]]
    story_of.check()


@pytest.mark.parametrize("max_concurrency", [None, 1, 2])
def test_children_of_a_map_by_name_need_no_registration_in_the_process_that_replays(story, registry, max_concurrency):
    story_of = story(lambda ctx: ctx.map("ships", ["a", "b"], max_concurrency=max_concurrency).results)
    story_of.start()
    del registry.workflows["ships"]
    story_of.check()
    story_of.evict()
    story_of.give(child_completed("0.0", "A"))
    story_of.give(child_completed("0.1", "B"))
    assert story_of.result == ["A", "B"]
    assert story_of.check()


def test_a_map_of_nothing_by_name_needs_no_registration(story, registry):
    story_of = story(lambda ctx: (ctx.map("ships", []).results, ctx.run_activity("double", 1)))
    story_of.start()
    del registry.workflows["ships"]
    story_of.check()


# Size


def test_a_thousand_items_take_as_long_each_as_two_thousand(story):
    """Measured in calls, which are the same on every machine."""

    def calls(items, at_once):
        count = 0

        def counting(frame, event, arg):
            nonlocal count
            count += event == "call"

        story_of = story(lambda ctx: sum(ctx.map("double", range(items), at_once).results))
        sys.setprofile(counting)
        try:
            story_of.start()
            for number in range(items):
                story_of.give(completed(f"0.{number}", 1))
        finally:
            sys.setprofile(None)
        assert story_of.result == items
        return count

    for at_once in (None, 10):
        assert calls(800, at_once) < 2.2 * calls(400, at_once)
