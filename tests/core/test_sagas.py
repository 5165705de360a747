"""ctx.saga(): what is undone, in which order, and what is said when that fails; every prefix of a history replays."""

from __future__ import annotations

import pytest

from durable_core import events as e
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    DurableError,
    NondeterminismError,
    PayloadError,
    SagaError,
    UnknownActivityError,
    WorkflowCanceled,
)
from durable_core.execution import Status
from durable_core.retry import RetryPolicy
from tests.core.stories import Story, activities_and_children, cancel, completed, failed, loads, signal, timed_out
from tests.core.test_canceling import canceled
from tests.core.test_scopes import asked_to_end


@pytest.fixture
def registry():
    registry = activities_and_children()

    @registry.activity
    def charge(amount): ...

    @registry.activity
    def refund(payment): ...

    @registry.activity
    def ship(order): ...

    @registry.activity
    def call_back(parcel): ...

    return registry


@pytest.fixture
def told(registry):
    return lambda fn: Story(fn, registry=registry)


def started(story):
    return [[command.activity_name, *loads(command.input)["args"]] for command in story.decision.activities]


def buys(ctx):
    with ctx.saga() as saga:
        payment = saga.run("charge", 5, undo="refund")
        parcel = saga.run("ship", 7, undo="call_back")
        ctx.run_activity("old")
    return [payment, parcel]


def test_a_saga_that_succeeds_undoes_nothing(told):
    story = told(buys)
    story.start(completed(0, "p"))
    story.give(completed(1, "s"), completed(2))
    assert story.result == ["p", "s"]
    assert story.types.count("activity_scheduled") == 3
    story.check()


def test_what_was_done_is_undone_last_in_first_out_with_the_results_and_the_error_goes_on(told):
    story = told(buys)
    story.start(completed(0, "p"), completed(1, {"parcel": 1}))
    story.give(failed(2, ValueError("no")))
    assert started(story) == [["call_back", {"parcel": 1}]]
    story.give(completed(3))
    assert started(story) == [["refund", "p"]]
    story.give(completed(4))
    assert story.decision.error.startswith("ActivityError: activity 'old', attempt 3: ValueError: no")
    story.check()


@pytest.mark.parametrize("outcome", [failed, timed_out, canceled])
def test_a_step_that_failed_has_no_undo(told, outcome):
    story = told(buys)
    story.start(completed(0, "p"))
    story.give(outcome(1))
    assert started(story) == [["refund", "p"]]
    story.give(completed(2))
    assert story.decision.status is Status.FAILED
    story.check()


def test_an_error_that_is_caught_inside_undoes_nothing(told):
    def fn(ctx):
        with ctx.saga() as saga:
            saga.run("charge", 5, undo="refund")
            with pytest.raises(ActivityError):
                saga.run("ship", 7, undo="call_back")
        return "went on"

    story = told(fn)
    story.start(completed(0, "p"), failed(1))
    assert story.result == "went on"
    story.check()


def test_an_undo_may_be_a_function_or_an_activity_with_other_options(told, registry):
    def fn(ctx):
        def give_back(payment):
            ctx.run_activity("send", payment, subject=ctx.run_activity("old"))

        patient = registry.activities["call_back"].using(retry_policy=RetryPolicy(maximum_attempts=9), queue="slow")
        with ctx.saga() as saga:
            saga.run(registry.activities["charge"].fn, 5, undo=give_back)
            saga.run("ship", 7, undo=patient)
            raise ValueError("no")

    story = told(fn)
    story.start(completed(0, "p"), completed(1, "s"))
    [command] = story.decision.activities[-1:]
    assert (command.activity_name, command.options.queue) == ("call_back", "slow")
    story.give(completed(2))
    story.give(completed(3, "mail"))
    assert started(story) == [["send", "p"]]
    story.give(completed(4))
    assert story.decision.error == "ValueError: no"
    story.check()


def test_failures_of_undos_do_not_stop_the_others_and_are_told_together_with_the_cause(told):
    def fn(ctx):
        def breaks(*_):
            raise KeyError("broken")

        try:
            with ctx.saga() as saga:
                saga.run("charge", 5, undo="refund")
                saga.run("ship", 7, undo="call_back")
                saga.add(breaks, 1, 2)
                raise ValueError("the cause")
        except SagaError as error:
            return [str(error), [type(failure).__name__ for failure in error.failures], repr(error.__cause__)]

    story = told(fn)
    story.start(completed(0, "p"), completed(1, "s"))
    story.give(failed(2, OSError("gone")))
    assert started(story) == [["refund", "p"]]
    story.give(completed(3))
    message, failures, cause = story.result
    assert message.startswith("2 of 3 undos failed: breaks: KeyError: 'broken'; call_back: ActivityError: ")
    assert (failures, cause) == (["KeyError", "ActivityError"], "ValueError('the cause')")
    story.check()


def test_a_run_whose_undo_failed_says_so_and_keeps_the_cause(told):
    story = told(buys)
    story.start(completed(0, "p"), failed(1, ValueError("out of stock")))
    story.give(failed(2, OSError("gone")))
    assert story.decision.error.startswith("SagaError: 1 of 1 undos failed: refund: ActivityError")
    failure = loads(story.history[-1].details)["failure"]
    assert "out of stock" in failure["cause"]["message"]
    story.check()


# Cancels


def test_a_cancel_undoes_too_and_another_does_not_reach_the_undos(told):
    story = told(buys)
    story.start(completed(0, "p"), completed(1, "s"))
    story.give(cancel("stop"))
    assert started(story) == [["call_back", "s"]]
    story.give(cancel("again"))
    story.give(completed(3))
    assert started(story) == [["refund", "p"]]
    story.give(completed(4))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_cancel_does_not_reach_undos_that_run_already(told):
    story = told(buys)
    story.start(completed(0, "p"), completed(1, "s"))
    story.give(failed(2))
    story.give(cancel("stop"))
    assert story.decision.status is Status.RUNNING
    story.give(completed(3))
    assert started(story) == [["refund", "p"]]
    story.give(completed(4))
    assert story.decision.error.startswith("ActivityError")
    story.check()


@pytest.mark.parametrize(
    ("outcome", "undone"),
    [(completed(1, "s"), [["call_back", "s"]]), (failed(1), []), (canceled(1), []), (timed_out(1), [])],
)
def test_a_step_that_is_under_way_when_the_saga_is_canceled_is_undone_if_it_succeeds_all_the_same(
    told, outcome, undone
):
    story = told(buys)
    story.start(completed(0, "p"))
    story.give(cancel("stop"))
    assert asked_to_end(story) == ["1"]
    assert started(story) == []
    story.give(outcome)
    assert started(story) == (undone or [["refund", "p"]])
    for call_id in range(2, 4 if undone else 3):
        story.give(completed(call_id))
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_scope_that_is_canceled_undoes_what_it_holds(told):
    def fn(ctx):
        with ctx.cancel_scope(timeout=5) as scope, ctx.saga() as saga:
            saga.run("charge", 5, undo="refund")
            ctx.wait_signal("never")
        return [scope.was_canceled, ctx.run_activity("old")]

    story = told(fn)
    story.start(completed(1, "p"))
    story.wait(5)
    assert started(story) == [["refund", "p"]]
    story.give(completed(3))
    story.give(completed(4, "o"))
    assert story.result == [True, "o"]
    story.check()


def test_steps_of_other_branches_are_waited_for_and_undone_once(told):
    def fn(ctx):
        with ctx.saga() as saga:
            step = ctx.spawn(lambda: saga.run("charge", 5, undo="refund"))
            ctx.run_activity("old")
            ctx.wait(step)

    story = told(fn)
    story.start()
    story.give(failed(1))
    assert asked_to_end(story) == ["0.0"]
    story.give(completed("0.0", "p"))
    assert started(story) == [["refund", "p"]]
    story.give(completed(2))
    assert story.decision.error.startswith("ActivityError: activity 'old'")
    story.check()


# By hand


def test_undoing_by_hand_happens_once_and_the_saga_goes_on(told):
    def fn(ctx):
        with ctx.saga() as saga:
            saga.run("charge", 5, undo="refund")
            saga.add("call_back", "s")
            saga.compensate()
            saga.compensate()
            saga.run("ship", 7, undo="call_back")
            raise ValueError("no")

    story = told(fn)
    story.start(completed(0, "p"))
    assert started(story)[-1] == ["call_back", "s"]
    story.give(completed(1))
    assert started(story) == [["refund", "p"]]
    story.give(completed(2))
    story.give(completed(3, "t"))
    assert started(story) == [["call_back", "t"]]
    story.give(completed(4))
    assert story.decision.error == "ValueError: no"
    story.check()


def test_an_undo_that_was_added_before_a_step_is_for_whatever_became_of_it(told):
    def fn(ctx):
        with ctx.saga() as saga:
            saga.add("refund", "key-1")
            ctx.run_activity("charge", 5)

    story = told(fn)
    story.start(timed_out(0))
    assert started(story)[-1] == ["refund", "key-1"]
    story.give(completed(1))
    assert story.decision.status is Status.FAILED
    story.check()


# What is wrong with a call


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda saga: saga.run("charge", 5, undo="refnd"), UnknownActivityError, "Did you mean 'refund' or"),
        (lambda saga: saga.run("charge", 5, undo="old"), TypeError, "activity 'old': too many positional arguments"),
        (lambda saga: saga.run("charge", 5, undo=5), TypeError, "An undo was 5; expected an activity, or a function"),
        (lambda saga: saga.run("charge", undo="refund"), TypeError, "activity 'charge': missing a required argument"),
        (lambda saga: saga.add("refund"), TypeError, "activity 'refund': missing a required argument"),
        (lambda saga: saga.add("refund", object()), PayloadError, "the arguments of activity 'refund'"),
    ],
)
def test_an_undo_that_cannot_be_called_is_refused_before_its_step_begins(told, call, error, says):
    def fn(ctx):
        with ctx.saga() as saga:
            with pytest.raises(error) as caught:
                call(saga)
            return [str(caught.value), saga.run("charge", 5, undo="refund")]

    story = told(fn)
    story.start(completed(0, "p"))
    message, payment = story.result
    assert says in message
    assert payment == "p"
    story.check()


def test_a_workflow_is_no_undo(told, registry):
    def fn(ctx):
        with ctx.saga() as saga:
            saga.add(registry.workflows["child"])

    story = told(fn)
    story.start()
    assert (
        story.decision.error
        == "TypeError: An undo is an activity or a function; let a function call ctx.run_workflow()."
    )


def test_a_saga_is_for_its_block_alone(told):
    def fn(ctx):
        with ctx.saga() as saga:
            pass
        for call in (lambda: saga.run("charge", 5, undo="refund"), lambda: saga.add("refund", 1), saga.compensate):
            with pytest.raises(DurableError, match="The saga is over"):
                call()
        return "over"

    story = told(fn)
    story.start()
    assert story.result == "over"


def test_a_run_that_goes_on_as_new_has_not_failed(told):
    def fn(ctx):
        with ctx.saga() as saga:
            saga.run("charge", 5, undo="refund")
            ctx.continue_as_new()

    story = told(fn)
    story.start(completed(0, "p"))
    assert isinstance(story.decision.end, e.WorkflowContinuedAsNew)
    assert "refund" not in str(story.history)
    story.check()


def test_a_run_that_leaves_memory_undoes_nothing(told):
    story = told(buys)
    story.start(completed(0, "p"))
    story.evict()
    assert story.types.count("activity_scheduled") == 2
    story.give(signal("nothing"))
    assert story.decision.activities == []
    story.check()


def test_a_worker_that_does_not_know_an_undo_leaves_the_run_alone(told, registry):
    story = told(buys)
    story.start(completed(0, "p"))
    del registry.activities["refund"]
    with pytest.raises(NondeterminismError, match="workflow_failed with UnknownActivityError"):
        story.replayed()


def test_a_cancel_that_undoes_nothing_is_a_cancel(told):
    def fn(ctx):
        with ctx.saga():
            ctx.wait_signal("never")

    story = told(fn)
    story.start(cancel("stop"))
    assert isinstance(story.decision.end, e.WorkflowCanceled)
    assert not issubclass(SagaError, WorkflowCanceled | ActivityCanceled)
    story.check()
