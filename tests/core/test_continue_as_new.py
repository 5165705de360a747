"""A run that goes on as a new one: what it leaves behind, and what it takes along."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.codec import Payload
from durable_core.errors import (
    NondeterminismError,
    PayloadError,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
)
from durable_core.execution import Status
from durable_core.ports import Letter
from tests.core.stories import RUN_ID, Story, cancel, completed, loads, signal
from tests.core.test_worker import Bench

# The code


def counts(ctx, n=0):
    ctx.run_activity("old")
    ctx.continue_as_new(n=n + 1)


def test_the_last_fact_names_the_next_run_and_its_input():
    story = Story(counts)
    story.start()
    decision = story.give(completed(0))
    end = decision.end
    assert isinstance(end, e.WorkflowContinuedAsNew)
    assert story.types[-1] == "workflow_continued_as_new"
    assert (decision.status, decision.error, decision.result) == (Status.CONTINUED_AS_NEW, "", None)
    assert loads(end.input) == {"n": 1}
    assert end.next_id not in (RUN_ID, UUID(int=0))
    story.check()


def test_the_code_goes_no_further():
    seen = []

    def fn(ctx):
        try:
            ctx.continue_as_new()
        except Exception:  # noqa: BLE001 - as users do
            seen.append("raised")
        finally:
            seen.append("unwound")
        seen.append("went on")

    story = Story(fn)
    assert story.start().status is Status.CONTINUED_AS_NEW
    assert seen == ["unwound"]


def test_a_branch_may_end_the_run():
    def fn(ctx, n=0):
        ctx.spawn(lambda: ctx.continue_as_new(n=n + 1))
        ctx.sleep(60)

    story = Story(fn)
    end = story.start().continued
    assert end is not None
    assert loads(end.input) == {"n": 1}
    story.check()


@pytest.mark.parametrize(("given", "error"), [({"m": 1}, TypeError), ({"n": {1}}, PayloadError)])
def test_input_that_does_not_fit_raises_at_the_call(given, error):
    def fn(ctx, n=0):
        try:
            ctx.continue_as_new(**given)
        except error as raised:
            return type(raised).__name__

    story = Story(fn)
    story.start()
    assert story.result == error.__name__


def test_code_that_ends_otherwise_now_is_a_mismatch():
    story = Story(counts)
    story.start()
    story.give(completed(0))
    with pytest.raises(NondeterminismError, match=r"workflow_continued_as_new at seq 4.*ended with"):
        story.replayed(lambda ctx, n=0: ctx.run_activity("old"))
    with pytest.raises(NondeterminismError, match="no such call behind seq 3"):
        story.replayed(lambda ctx, n=0: (ctx.run_activity("old"), ctx.sleep(1)))


def test_an_open_activity_ends_with_the_run_and_a_child_is_canceled():
    def fn(ctx):
        ctx.start_activity("old")
        ctx.start_workflow("child", n=1)
        ctx.continue_as_new()

    decision = Story(fn).start()
    assert len(decision.abandoned) == 1


# Signals


def test_unread_signals_are_carried_in_their_order():
    def fn(ctx):
        ctx.wait_signal("go")
        ctx.continue_as_new()

    story = Story(fn)
    story.start(signal("a", 1), signal("b", 2), signal("a", 3))
    decision = story.give(signal("go"), signal("go", 4), signal("c", 5))
    carried = [(fact.name, loads(fact.payload)) for fact in decision.carried if isinstance(fact, e.SignalReceived)]
    assert carried == [("a", 1), ("b", 2), ("a", 3), ("go", 4), ("c", 5)]
    story.check()


def test_a_signal_of_the_same_step_is_not_lost_to_a_branch_that_waits_for_it():
    def fn(ctx):
        ctx.spawn(lambda: ctx.wait_signal("a"))
        ctx.wait_signal("go")
        ctx.continue_as_new()

    story = Story(fn)
    story.start()
    decision = story.give(signal("go"), signal("a", 1))
    assert decision.carried == [signal("a", 1)]
    story.check()


def test_a_branch_that_waits_for_a_signal_is_unwound_without_an_error():
    caught = []

    def waits(ctx):
        try:
            ctx.wait_signal("a")
        except Exception as error:  # noqa: BLE001 - as users do
            caught.append(error)

    def fn(ctx):
        ctx.spawn(waits, ctx)
        ctx.wait_signal("go")
        ctx.continue_as_new()

    story = Story(fn)
    story.start()
    story.give(signal("go"))
    assert caught == []
    story.check()


# Cancels


@pytest.mark.parametrize("graceful", [True, False])
def test_a_cancel_behind_the_end_is_carried(graceful):
    def fn(ctx):
        ctx.wait_signal("go")
        ctx.continue_as_new()

    story = Story(fn)
    story.start()
    request = e.WorkflowCancelRequested(reason="enough", graceful=graceful)
    decision = story.give(signal("go"), request)
    assert (decision.status, decision.carried) == (Status.CONTINUED_AS_NEW, [request])


def test_a_cancel_that_was_not_raised_yet_is_raised_instead():
    def fn(ctx):
        with ctx.shield():
            ctx.wait_signal("go")
            try:
                ctx.continue_as_new()
            except WorkflowCanceled as error:
                return error.reason

    story = Story(fn)
    story.start()
    story.give(cancel("enough"))
    assert story.give(signal("go")).status is Status.CANCELED
    story.check()


def test_code_that_has_caught_a_cancel_ends_canceled():
    def fn(ctx):
        try:
            ctx.wait_signal("go")
        except WorkflowCanceled:
            ctx.continue_as_new()

    story = Story(fn)
    story.start()
    assert story.give(cancel("enough")).error == "WorkflowCanceled: enough"
    story.check()


# Through the worker


def looping(bench, until=3):
    @bench.registry.workflow
    def loops(ctx, n=0, seen=()):
        seen = [*seen, ctx.wait_signal("item")]
        if n + 1 < until:
            ctx.continue_as_new(n=n + 1, seen=seen)
        return seen

    return loops


@pytest.mark.parametrize("cache_size", [0, 10])
def test_the_first_id_answers_for_the_whole_chain(cache_size):
    bench = Bench(cache_size=cache_size)
    looping(bench)
    run_id = bench.start("loops")
    for item in ("a", "b", "c"):
        bench.client.signal(run_id, "item", item)
        bench.worker().run(until_idle=True)
    assert bench.result(run_id) == ["a", "b", "c"]
    assert bench.client.find(run_id).status is Status.CONTINUED_AS_NEW
    newest = bench.client.find_newest(run_id)
    assert (newest.status, newest.chain_id) == (Status.COMPLETED, run_id)
    with pytest.raises(WorkflowClosed, match=str(newest.id)):
        bench.client.signal(run_id, "item")


def test_signals_sent_beforehand_are_read_one_a_run():
    bench = Bench()
    looping(bench)
    run_id = bench.start("loops")
    for item in ("a", "b", "c"):
        bench.client.signal(run_id, "item", item)
    bench.drive(bench.start("loops"), to=lambda status: status is Status.RUNNING)
    bench.worker().run(until_idle=True)
    assert bench.result(run_id) == ["a", "b", "c"]


def test_the_next_run_keeps_what_the_first_was_given():
    bench = Bench()
    loops = looping(bench, until=2)
    options = loops.using(workflow_id="w", queue="slow", priority=7, timeout=60, run_after=timedelta(seconds=20))
    run_id = bench.client.start(options, {}).run_id
    bench.clock.advance(timedelta(seconds=30))
    bench.client.signal(run_id, "item")
    bench.worker().run(until_idle=True)
    first, record = bench.client.find(run_id), bench.client.find_newest(run_id)
    assert record.id != first.id
    assert (record.workflow_id, record.queue, record.priority) == ("w", "slow", 7)
    assert (record.start_at, record.deadline) == (None, bench.clock.now() + timedelta(seconds=60))
    assert bench.client.start(loops.using(workflow_id="other"), {}).created
    for same in ({}, {"n": 1, "seen": [None]}):
        assert bench.client.start(loops.using(workflow_id="w"), same).run_id == record.id
    with pytest.raises(WorkflowAlreadyStarted):
        bench.client.start(loops.using(workflow_id="w"), {"n": 1})


@pytest.mark.parametrize("graceful", [True, False])
def test_a_cancel_by_the_first_id_reaches_the_newest(graceful):
    bench = Bench()
    looping(bench)
    run_id = bench.start("loops")
    bench.client.signal(run_id, "item")
    bench.worker().run(until_idle=True)
    assert bench.client.cancel(run_id, reason="enough", graceful=graceful)
    bench.worker().run(until_idle=True)
    assert bench.client.find_newest(run_id).error == "WorkflowCanceled: enough"
    assert not bench.client.cancel(run_id, graceful=graceful)


def test_a_parent_hears_the_end_of_the_chain_and_cancels_it():
    bench = Bench()
    looping(bench, until=2)

    @bench.registry.workflow
    def parent(ctx):
        child = ctx.start_workflow("loops")
        ctx.run_activity(tell, str(child.id))
        return ctx.wait_workflow(child)

    @bench.registry.workflow
    def impatient(ctx):
        child = ctx.start_workflow("loops")
        ctx.run_activity(tell, str(child.id))
        ctx.sleep(1)
        return str(child.id)

    @bench.registry.activity
    def tell(child_id):
        bench.client.signal(UUID(child_id), "item", "first")

    heard, gone = bench.start("parent"), bench.start("impatient")
    bench.drive(gone)
    bench.worker().run(until_idle=True)
    child_id = UUID(bench.result(gone))
    assert bench.client.find(child_id).status is Status.CONTINUED_AS_NEW
    assert bench.client.find_newest(child_id).error == "WorkflowCanceled: its parent closed"
    [open_child] = bench.store.children(heard)
    bench.client.signal(open_child, "item", "second")
    bench.drive(heard)
    assert bench.result(heard) == ["first", "second"]


def test_outcomes_for_a_run_that_was_continued_are_for_nobody():
    bench = Bench(exclude=("theirs",))

    @bench.registry.activity
    def act():
        return "late"

    @bench.registry.workflow
    def leaves(ctx, n=0):
        if not n:
            ctx.start_activity(act.using(queue="theirs"))
            ctx.continue_as_new(n=1)
        ctx.wait_signal("end")
        return ctx.run_activity(act)

    run_id = bench.start("leaves")
    bench.worker().run(until_idle=True)
    newest = bench.client.find_newest(run_id)
    late = e.ActivityCompleted(call_id="0", attempt=1, result=Payload('"late"'))
    assert bench.store.deliver([Letter.of(run_id, late)]) == []
    bench.client.signal(run_id, "end")
    bench.drive(newest.id)
    assert bench.result(run_id) == "late"
