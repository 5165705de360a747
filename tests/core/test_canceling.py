"""ctx.cancel(): what it writes, what it answers, and who hears of it; every prefix of a history replays."""

from __future__ import annotations

from uuid import UUID

import pytest

from durable_core import commands as c
from durable_core import events as e
from durable_core.activity import activity_heartbeat
from durable_core.errors import ActivityCanceled, ActivityError, ChildCanceled, NondeterminismError, PayloadError
from durable_core.execution import Status, TaskStatus
from durable_core.retry import RetryPolicy
from tests.core.stories import Story, completed, failed, signal
from tests.core.test_worker import Bench


def canceled(call_id, reason=""):
    return e.ActivityCanceled(call_id=str(call_id), reason=reason)


def cancels_when_told(ctx):
    handle = ctx.start_activity("old")
    ctx.wait_signal("stop")
    answer = ctx.cancel(handle, "enough")
    try:
        return [answer, ctx.wait(handle)]
    except ActivityCanceled as error:
        return [answer, error.message]


# Activities


def test_a_canceled_activity_is_asked_to_end_and_who_waits_hears_why():
    story = Story(cancels_when_told)
    story.start()
    story.give(signal("stop"))
    assert story.decision.cancels == [c.CancelActivity(call_id="0", reason="enough")]
    assert story.types[-1] == "activity_cancel_requested"
    story.give(canceled(0, "its workflow wants it no more"))
    assert story.result == [True, "enough"]
    story.check()


@pytest.mark.parametrize(
    ("facts", "result"),
    [
        ([signal("stop"), completed(0, 5)], [True, 5]),
        ([completed(0, 5), signal("stop")], [False, 5]),
        ([signal("stop"), canceled(0, "x"), completed(0, 5)], [True, "enough"]),
        ([completed(0, 5), canceled(0), signal("stop")], [False, 5]),
    ],
)
def test_whatever_was_committed_first_wins(facts, result):
    """A cancel against an outcome, in both orders; what is told later leaves no trace."""
    for in_one_step in (True, False):
        story = Story(cancels_when_told)
        story.start()
        for fact in [facts] if in_one_step else [[fact] for fact in facts]:
            if not story.run.is_closed:
                story.give(*fact)
        assert story.result == result
        assert len([kind for kind in story.types if kind in ("activity_completed", "activity_canceled")]) == 1
        story.check()


def test_a_canceled_activity_may_fail_as_it_likes():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.cancel(handle)
        with pytest.raises(ActivityError, match="no") as caught:
            ctx.wait(handle)
        return isinstance(caught.value, ActivityCanceled)

    story = Story(fn)
    story.start()
    story.give(failed(0))
    assert story.result is False
    story.check()


def test_what_was_asked_to_end_is_not_asked_twice():
    def fn(ctx):
        handle, child = ctx.start_activity("old"), ctx.start_workflow("child")
        answers = [ctx.cancel(handle), ctx.cancel(handle), ctx.cancel(child), ctx.cancel(child)]
        ctx.gather(handle, child, return_exceptions=True)
        return [*answers, ctx.cancel(handle), ctx.cancel(child)]

    story = Story(fn)
    story.start()
    assert len(story.decision.cancels) == 2
    story.give(canceled(0), e.ChildWorkflowCanceled(call_id="1", reason=""))
    assert story.result == [True, True, True, True, False, False]
    story.check()


def test_a_canceled_activity_is_one_of_several():
    def fn(ctx):
        left, right = ctx.start_activity("old"), ctx.start_activity("new")
        ctx.cancel(left, "not this one")
        name, value = ctx.select(right=right, timeout=9)
        results = ctx.gather(left, right, return_exceptions=True)
        return [name, value, [getattr(result, "message", result) for result in results]]

    story = Story(fn)
    story.start()
    story.give(completed(1, 7), canceled(0))
    assert story.result == ["right", 7, ["not this one", 7]]
    story.check()


def test_a_reason_is_a_text_that_fits():
    def fn(ctx):
        handle = ctx.start_activity("old")
        with pytest.raises(TypeError, match=r"cancel\(reason=\) got 5"):
            ctx.cancel(handle, 5)
        with pytest.raises(PayloadError, match="the reason of a cancel"):
            ctx.cancel(handle, "x" * 2_000_000)
        return "refused"

    story = Story(fn)
    story.start()
    assert story.result == "refused"
    assert story.decision.cancels == []


# Children


def test_a_canceled_child_is_sent_a_graceful_cancel():
    def fn(ctx):
        child = ctx.start_workflow("child")
        ctx.cancel(child, "enough")
        try:
            return ctx.wait(child)
        except ChildCanceled as error:
            return error.reason

    story = Story(fn)
    story.start()
    [command] = story.decision.cancels
    assert isinstance(command, c.CancelChild)
    assert (command.call_id, command.reason) == ("0", "enough")
    assert story.types[-2:] == ["child_workflow_scheduled", "child_workflow_cancel_requested"]
    story.give(e.ChildWorkflowCanceled(call_id="0", reason="enough"))
    assert story.result == "enough"
    story.check()


def test_a_cancel_that_was_taken_out_of_the_code_blocks_the_run():
    def without(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_signal("stop")
        return ctx.wait(handle)

    story = Story(cancels_when_told)
    story.start()
    story.give(signal("stop"))
    with pytest.raises(NondeterminismError, match="a cancel of the activity of call 0 at seq 5, but the code never"):
        story.replayed(without)


# Through a worker


@pytest.fixture
def bench():
    bench = Bench(queues=("here",))

    @bench.registry.activity(queue="elsewhere")
    def elsewhere(): ...

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=60))
    def fails():
        raise ValueError("no")

    @bench.registry.activity
    def beats():
        while True:
            activity_heartbeat()

    @bench.registry.workflow
    def asks(ctx, activity, first=True):
        handle = ctx.start_activity(activity)
        if not first:
            ctx.wait_signal("stop")
        answer = ctx.cancel(handle, "enough")
        try:
            return ctx.wait(handle)
        except ActivityCanceled as error:
            return [answer, error.message]

    return bench


def tasks_of(bench, run_id):
    return [row.record for row in bench.store._tasks.group("run", run_id)]


def start(bench, **given):
    return bench.client.start(bench.registry.workflows["asks"].using(queue="here"), given).run_id


@pytest.mark.parametrize("activity", ["elsewhere", "beats", "fails"])
def test_an_activity_that_is_canceled_where_it_was_started_never_begins(bench, activity):
    run_id = start(bench, activity=activity)
    bench.drive(run_id)
    assert bench.result(run_id) == [True, "enough"]
    [task] = tasks_of(bench, run_id)
    assert (task.status, task.attempt) == (TaskStatus.CANCELED, 0)


def test_an_activity_in_backoff_ends_at_once(bench):
    run_id = start(bench, activity="fails", first=False)
    bench.drive(run_id, to=lambda status: any(task.retry_at for task in tasks_of(bench, run_id)))
    bench.client.signal(run_id, "stop")
    bench.drive(run_id)
    assert bench.result(run_id) == [True, "enough"]
    [task] = tasks_of(bench, run_id)
    assert (task.status, task.attempt) == (TaskStatus.CANCELED, 1)


def test_a_child_is_canceled_where_it_was_started():
    bench = Bench()

    @bench.registry.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @bench.registry.workflow
    def parent(ctx):
        handle = ctx.start_workflow(child)
        ctx.cancel(handle, "enough")
        with pytest.raises(ChildCanceled) as caught:
            ctx.wait(handle)
        return [caught.value.reason, str(handle)]

    run_id = bench.start("parent")
    bench.drive(run_id)
    reason, child_id = bench.result(run_id)
    assert reason == "enough"
    assert bench.client.find(UUID(child_id)).status is Status.CANCELED


def test_a_cancel_follows_the_chain_of_a_child():
    bench = Bench()

    @bench.registry.workflow
    def child(ctx, n=0):
        if n < 2:
            ctx.continue_as_new(n=n + 1)
        ctx.wait_signal("never")

    @bench.registry.workflow
    def parent(ctx):
        handle = ctx.start_workflow(child)
        ctx.wait_signal("go")
        ctx.cancel(handle)
        with pytest.raises(ChildCanceled):
            ctx.wait(handle)

    run_id = bench.start("parent")
    bench.drive(run_id, to=lambda status: sum(1 for _ in bench.store._runs) == 4)
    bench.client.signal(run_id, "go")
    bench.drive(run_id)
    assert bench.client.find(run_id).status is Status.COMPLETED
