"""Closed runs that are opened again after a fix: what is put aside, what is tried again, and that replays agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from durable_core import events as e
from durable_core.audit import Code, audit
from durable_core.audit.effects import Effects
from durable_core.codec import encode
from durable_core.ending import end_from_outside
from durable_core.errors import ActivityCanceled, ActivityError, NotReopenable, UnknownExecutionError, WorkflowFailed
from durable_core.execution import Status, TaskStatus
from durable_core.failures import describe
from durable_core.ports import Mail, TaskOutcome
from durable_core.retry import RetryPolicy
from durable_core.rewinding import lived, rewind
from tests.core.stories import Story, cancel, completed, failed, loads, signal
from tests.core.test_worker import Bench

ONCE = RetryPolicy(maximum_attempts=1)


class Broken(Exception):
    pass


class World:
    """A bench whose activities and workflows are mended by `fix`."""

    def __init__(self, **settings):
        self.bench = Bench(**settings)
        self.fixed = False
        self.calls: list[str] = []
        registry = self.bench.registry

        @registry.activity(retry_policy=ONCE)
        def shaky(name="shaky"):
            self.calls.append(name)
            if not self.fixed:
                raise Broken(name)
            return name

        @registry.activity
        def steady(name="steady"):
            self.calls.append(name)
            return name

        self.shaky, self.steady = shaky, steady

    def workflow(self, fn):
        return self.bench.registry.workflow(fn)

    def run(self, name="flow", *, to=lambda status: status.is_closed, **kwargs):
        run_id = self.bench.start(name, **kwargs)
        self.bench.drive(run_id, to=to)
        return run_id

    def reopen(self, run_id, *, fix=True):
        self.fixed = fix
        self.bench.client.reopen(run_id, reason="mended")
        self.bench.drive(run_id)

    def history(self, run_id):
        return self.bench.store.load([run_id])[run_id].events

    def lived(self, run_id):
        return [event.type for event in lived(self.history(run_id))]

    def status(self, run_id):
        return self.bench.client.find(run_id).status

    def check(self):
        code = Code(registry=self.bench.registry)
        assert audit(self.bench.store, self.bench.queue, Effects(), code=code) == []


both = pytest.mark.parametrize("world", [{"cache_size": 0}, {"cache_size": 10}], indirect=True, ids=["cold", "cached"])


@pytest.fixture
def world(request):
    made = World(**getattr(request, "param", {}))
    yield made
    made.check()


@both
def test_the_failed_activity_is_tried_again_and_others_are_not(world):
    @world.workflow
    def flow(ctx):
        return [ctx.run_activity(world.steady), ctx.run_activity(world.shaky), ctx.run_activity(world.steady, "last")]

    run_id = world.run()
    assert world.status(run_id) is Status.FAILED
    world.reopen(run_id)
    assert world.bench.result(run_id) == ["steady", "shaky", "last"]
    assert world.calls == ["steady", "shaky", "shaky", "last"]
    types = [event.type for event in world.history(run_id)]
    assert types[4:8] == ["activity_failed", "workflow_failed", "workflow_reopened", "activity_completed"]
    assert not {"activity_failed", "workflow_failed"} & set(world.lived(run_id))
    assert types.count("activity_scheduled") == 3


@both
def test_a_run_can_fail_and_be_reopened_again_and_again(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.shaky)
        return "done"

    run_id = world.run()
    for _ in range(3):
        world.reopen(run_id, fix=False)
        assert world.status(run_id) is Status.FAILED
    world.reopen(run_id)
    assert world.bench.result(run_id) == "done"
    assert world.calls == ["shaky"] * 5


@both
def test_all_that_failed_side_by_side_is_tried_again(world):
    @world.workflow
    def flow(ctx):
        handles = [ctx.start_activity(act, str(n)) for n, act in enumerate((world.shaky, world.steady, world.shaky))]
        return ctx.gather(*handles)

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == ["0", "1", "2"]
    assert sorted(world.calls) == ["0", "0", "1", "2", "2"]


@both
def test_code_that_was_mended_makes_its_last_step_once_more(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_activity(world.steady)
        ctx.side_effect(lambda: "noted")
        if not world.fixed:
            raise Broken
        return [first, ctx.run_activity(world.steady, "more")]

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == ["steady", "more"]
    assert world.calls == ["steady", "more"]  # its outcome was given again, not its attempt


@both
def test_code_that_fails_at_once_begins_anew(world):
    @world.workflow
    def flow(ctx, n):
        if not world.fixed:
            raise Broken
        return ctx.run_activity(world.steady, str(n))

    run_id = world.run(n=7)
    world.reopen(run_id)
    assert world.bench.result(run_id) == "7"
    assert world.lived(run_id)[:2] == ["workflow_reopened", "workflow_started"]


def test_code_that_was_not_mended_fails_again(world):
    @world.workflow
    def flow(ctx):
        raise Broken

    run_id = world.run()
    world.reopen(run_id)
    assert world.status(run_id) is Status.FAILED


def test_a_failure_that_the_code_has_dealt_with_stays(world):
    """Its compensation has run: trying the failed call again would leave half of it undone."""

    @world.workflow
    def flow(ctx):
        try:
            ctx.run_activity(world.shaky)
        except ActivityError:
            ctx.run_activity(world.steady, "refund")
            if not world.fixed:
                raise
        return "handled"

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == "handled"
    assert world.calls == ["shaky", "refund"]


def test_signals_that_came_with_the_failure_are_not_lost(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.shaky)
        return [ctx.wait_signal("a"), ctx.wait_signal("a")]

    run_id = world.bench.start("flow")
    world.bench.client.signal(run_id, "a", 1)
    world.bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    world.bench.client.signal(run_id, "a", 2)
    world.bench.drive(run_id)
    world.reopen(run_id)
    assert world.bench.result(run_id) == [1, 2]


def test_a_sleep_that_has_ended_is_not_slept_again(world):
    @world.workflow
    def flow(ctx):
        ctx.sleep(3600)
        if not world.fixed:
            raise Broken
        return ctx.now().isoformat()

    run_id = world.bench.start("flow")
    world.bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    world.bench.clock.advance(timedelta(hours=2))
    world.bench.drive(run_id)
    world.reopen(run_id)
    assert world.bench.result(run_id) == world.bench.clock.now().isoformat()


def test_a_run_that_timed_out_gets_as_much_time_again(world):
    @world.workflow
    def flow(ctx):
        before = ctx.info.deadline
        slept = ctx.wait_signal("go")
        return [before.isoformat(), slept, ctx.info.deadline.isoformat()]

    clock = world.bench.clock
    first = clock.now() + timedelta(seconds=60)
    run_id = world.bench.client.start("flow", {}, timeout=60).run_id
    world.bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    clock.advance(timedelta(seconds=100))
    world.bench.drive(run_id)
    assert world.status(run_id) is Status.TIMED_OUT
    world.bench.client.reopen(run_id)
    second = clock.now() + timedelta(seconds=60)
    assert world.bench.client.find(run_id).deadline == second
    world.bench.client.signal(run_id, "go", "went")
    world.bench.drive(run_id)
    assert world.bench.result(run_id) == [first.isoformat(), "went", second.isoformat()]


def test_it_times_out_again(world):
    @world.workflow
    def flow(ctx):
        ctx.wait_signal("never")

    run_id = world.bench.client.start("flow", {}, timeout=60).run_id
    world.bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    for _ in range(2):
        world.bench.clock.advance(timedelta(seconds=61))
        world.bench.drive(run_id)
        assert world.status(run_id) is Status.TIMED_OUT
        world.bench.client.reopen(run_id)


def test_activities_that_ended_with_the_run_begin_anew(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.steady.using(queue="elsewhere", timeout=50))
        ctx.run_activity(world.shaky)
        return ctx.wait_activity(slow)

    world.bench.settings = replace(world.bench.settings, exclude=("elsewhere",))
    run_id = world.run()
    [task] = [past.record for past in world.bench.store.tasks_of(run_id) if past.record.activity_name == "steady"]
    assert task.status.is_closed
    world.bench.settings = replace(world.bench.settings, exclude=())
    world.bench.clock.advance(timedelta(seconds=100))
    world.reopen(run_id)
    assert world.bench.result(run_id) == "steady"


def test_an_activity_that_was_completed_too_late_is_heard_of(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.steady.using(queue="elsewhere"))
        ctx.run_activity(world.shaky)
        return ctx.wait_activity(slow)

    bench, worker_id = world.bench, uuid4()
    bench.settings = replace(bench.settings, exclude=("elsewhere",))
    run_id = bench.start("flow")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    [task_id] = [past.record.id for past in bench.store.tasks_of(run_id) if past.record.activity_name == "steady"]
    [task] = bench.store.claim_tasks([task_id], worker_id).begun
    bench.drive(run_id)
    done = TaskOutcome(
        task_id=task.id, run_id=run_id, token=task.token, status=TaskStatus.COMPLETED, result=encode("late")
    )
    assert not bench.store.record_outcomes([done]).rejected
    world.reopen(run_id)
    assert bench.result(run_id) == "late"


def test_an_attempt_that_is_still_under_way_is_nobodys(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.steady.using(queue="elsewhere"))
        ctx.run_activity(world.shaky)
        return ctx.wait_activity(slow)

    bench = world.bench
    bench.settings = replace(bench.settings, exclude=("elsewhere",))
    run_id = bench.start("flow")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    [task_id] = [past.record.id for past in bench.store.tasks_of(run_id) if past.record.activity_name == "steady"]
    [task] = bench.store.claim_tasks([task_id], uuid4()).begun
    bench.drive(run_id)
    bench.settings = replace(bench.settings, exclude=())
    world.reopen(run_id)
    late = TaskOutcome(task_id=task.id, run_id=run_id, token=task.token, status=TaskStatus.FAILED)
    assert bench.store.record_outcomes([late]).rejected == {task.id}
    assert bench.result(run_id) == "steady"


# Children


@both
def test_a_child_that_failed_is_reopened_with_its_parent(world):
    @world.workflow
    def child(ctx, n):
        ctx.run_activity(world.steady, f"before {n}")
        return ctx.run_activity(world.shaky, f"child {n}")

    @world.workflow
    def flow(ctx):
        return [ctx.run_workflow("child", n=n) for n in range(2)]

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == ["child 0", "child 1"]
    assert world.calls == ["before 0", "child 0", "child 0", "before 1", "child 1"]


def test_a_child_that_was_canceled_with_its_parent_is_reopened_too(world):
    @world.workflow
    def child(ctx):
        return ctx.wait_signal("go")

    @world.workflow
    def flow(ctx):
        started = ctx.start_workflow("child")
        ctx.run_activity(world.shaky)
        return ctx.wait_workflow(started)

    run_id = world.run()
    [child_id] = rewind(world.history(run_id)).children
    world.bench.drive(child_id)
    assert world.status(child_id) is Status.CANCELED
    world.fixed = True
    world.bench.client.reopen(run_id)
    world.bench.client.signal(child_id, "go", "went")
    world.bench.drive(run_id)
    assert world.bench.result(run_id) == "went"


def test_a_child_alone_cannot_be_reopened_once_its_parent_has_heard(world):
    @world.workflow
    def child(ctx):
        ctx.run_activity(world.shaky)

    @world.workflow
    def flow(ctx):
        started = ctx.start_workflow("child")
        try:
            ctx.wait_workflow(started)
        except WorkflowFailed:
            return str(started.id)

    child_id = UUID(world.bench.result(world.run()))
    with pytest.raises(NotReopenable, match=r"its parent, run .* has heard"):
        world.bench.client.reopen(child_id)
    assert world.status(child_id) is Status.FAILED


def test_a_step_that_has_started_a_child_cannot_be_made_again(world):
    @world.workflow
    def child(ctx): ...

    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.steady)
        ctx.start_workflow("child")
        raise Broken

    run_id = world.run()
    with pytest.raises(NotReopenable, match="asked for child_workflow_scheduled in the very step"):
        world.bench.client.reopen(run_id)
    world.bench.worker().run(until_idle=True)


# Who cannot be reopened


def test_only_runs_that_failed_or_timed_out_can_be_reopened(world):
    @world.workflow
    def flow(ctx, wait=False):
        if wait:
            ctx.wait_signal("go")

    done = world.run()
    stopped = world.run(wait=True, to=lambda status: status is Status.RUNNING)
    for run_id in (done, stopped):
        with pytest.raises(NotReopenable, match="only runs that are FAILED or TIMED_OUT"):
            world.bench.client.reopen(run_id)
    world.bench.client.cancel(stopped)
    with pytest.raises(NotReopenable, match="is CANCELED and stays closed"):
        world.bench.client.reopen(stopped)
    with pytest.raises(UnknownExecutionError):
        world.bench.client.reopen(uuid4())


def test_a_workflow_id_that_another_run_has_by_now_is_not_taken_from_it(world):
    @world.workflow
    def flow(ctx, wait=False):
        if wait:
            ctx.wait_signal("go")
        ctx.run_activity(world.shaky)

    options = world.bench.registry.workflows["flow"].using(workflow_id="w")
    failed_one = world.bench.client.start(options, {}).run_id
    world.bench.drive(failed_one)
    other = world.bench.client.start(options, {"wait": True}).run_id
    with pytest.raises(NotReopenable, match=f"run {other} has its workflow_id, 'w'"):
        world.bench.client.reopen(failed_one)
    world.bench.client.cancel(other)
    world.bench.client.reopen(failed_one)
    assert world.status(failed_one) is Status.RUNNING
    again = world.bench.client.start(options, {})
    assert (again.run_id, again.created) == (failed_one, False)


def test_the_first_id_of_a_chain_reopens_its_newest_run(world):
    @world.workflow
    def flow(ctx, n=0):
        if not n:
            ctx.continue_as_new(n=1)
        return ctx.run_activity(world.shaky)

    run_id = world.run()
    world.bench.worker().run(until_idle=True)
    assert world.bench.client.find_newest(run_id).status is Status.FAILED
    world.fixed = True
    world.bench.client.reopen(run_id)
    world.bench.worker().run(until_idle=True)
    assert world.bench.result(run_id) == "shaky"


# The plan alone


def rewinding_of(story):
    return rewind(story.history)


def test_a_signal_behind_the_step_that_failed_is_given_again():
    def fn(ctx):
        ctx.run_activity("old")
        raise Broken

    story = Story(fn)
    story.start()
    story.give(completed(0), signal("late"))
    assert loads(story.history[-1].details)["step"] == 3
    plan = rewinding_of(story)
    assert [type(fact) for fact in plan.again] == [e.ActivityCompleted, e.SignalReceived]
    assert plan.after == 2


def test_a_signal_that_the_code_failed_on_is_its_last_step():
    def fn(ctx):
        ctx.start_activity("old")
        ctx.wait_signal("go")
        raise Broken

    story = Story(fn)
    story.start()
    story.give(signal("go"))
    assert "step" not in loads(story.history[-1].details)
    plan = rewinding_of(story)
    assert (plan.after, plan.again, plan.activities) == (3, [signal("go")], ["0"])


def test_code_between_two_failures_decides_which_is_tried_again():
    def fn(ctx):
        for _ in range(2):
            try:
                ctx.run_activity("old")
            except ActivityError:
                ctx.sleep(1)
        ctx.run_activity("new")

    story = Story(fn)
    story.start()
    story.give(failed(0))
    story.wait(1)
    story.give(failed(2))
    story.wait(1)
    story.give(failed(4))
    plan = rewinding_of(story)
    assert (plan.activities, plan.again) == (["4"], [])


def test_a_history_without_reopenings_is_itself():
    story = Story(lambda ctx: None)
    story.start()
    assert lived(story.history) is story.history


def test_an_activity_that_the_code_has_canceled_is_not_begun_anew(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.steady.using(queue="elsewhere"))
        ctx.wait_signal("stop")
        ctx.cancel(slow, "enough")
        ctx.run_activity(world.shaky)
        try:
            return ctx.wait_activity(slow)
        except ActivityError as error:
            return type(error).__name__

    bench = world.bench
    bench.settings = replace(bench.settings, exclude=("elsewhere",))
    run_id = world.run(to=lambda status: status is Status.RUNNING)
    [past] = bench.store.tasks_of(run_id)
    assert bench.store.claim_tasks([past.record.id], uuid4()).begun
    bench.client.signal(run_id, "stop")
    bench.drive(run_id)
    world.reopen(run_id)
    assert bench.result(run_id) == "ActivityCanceled"
    late = TaskOutcome(task_id=past.record.id, run_id=run_id, token=1, status=TaskStatus.CANCELED)
    assert bench.store.record_outcomes([late]).rejected  # its run has heard of another end
    assert bench.store.tasks_of(run_id)[0].record.status is TaskStatus.CANCELED


def test_an_activity_that_was_canceled_and_ran_out_of_time_is_canceled_in_its_row_too(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.steady.using(queue="elsewhere", timeout=60))
        ctx.wait_signal("stop")
        ctx.cancel(slow, "enough")
        try:
            return ctx.wait_activity(slow)
        except ActivityCanceled:
            return "canceled"

    bench = world.bench
    bench.settings = replace(bench.settings, exclude=("elsewhere",))
    run_id = world.run(to=lambda status: status is Status.RUNNING)
    [past] = bench.store.tasks_of(run_id)
    assert bench.store.claim_tasks([past.record.id], uuid4()).begun
    bench.client.signal(run_id, "stop")

    def asked(status):
        return "activity_cancel_requested" in [event.type for event in bench.store.load([run_id])[run_id].events]

    bench.drive(run_id, to=asked)
    failure = describe(TimeoutError("late"))
    fact = e.ActivityTimedOut(call_id=past.record.call_id, kind="schedule_to_close", failure=failure)
    late = TaskOutcome(task_id=past.record.id, run_id=run_id, token=1, status=TaskStatus.TIMED_OUT, fact=fact)
    assert not bench.store.record_outcomes([late]).rejected
    bench.drive(run_id)
    assert bench.store.get(run_id).status is Status.FAILED
    world.reopen(run_id)
    assert bench.result(run_id) == "canceled"
    assert [past.record.status for past in bench.store.tasks_of(run_id)] == [TaskStatus.CANCELED]


def test_an_update_that_nobody_has_answered_is_judged_again():
    def fn(ctx):
        ctx.on_update("add", lambda: ctx.wait_signal("go"))
        ctx.gather(ctx.start_activity("old"), ctx.start_activity("new"))

    story = Story(fn)
    story.start()
    story.give(failed(0))
    asked = e.WorkflowUpdateAccepted(name="add", update_id="u", input=encode({}))
    story.give(asked)
    assert "workflow_update_accepted" in story.types
    story.give(completed(1))
    plan = rewinding_of(story)
    assert plan.again == [asked, completed(1)]
    assert plan.activities == ["0"]


@both
def test_a_local_activity_that_failed_is_tried_again_and_one_that_was_completed_is_not(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_local_activity(world.steady)
        try:
            second = ctx.run_local_activity(world.shaky)
        except ActivityError:
            ctx.set_event("state", "failed")
            raise
        return [first, second]

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == ["steady", "shaky"]
    assert world.calls == ["steady", "shaky", "shaky"]


@both
def test_the_outcome_of_a_local_activity_is_given_again_to_code_that_was_mended(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_local_activity(world.steady)
        if not world.fixed:
            raise Broken
        return first

    run_id = world.run()
    world.reopen(run_id)
    assert world.bench.result(run_id) == "steady"
    assert world.calls == ["steady"]


# What an audit finds


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda history: history.insert(3, history.pop()), "a reopening behind activity_completed"),
        (lambda history: _point(history, after=99), "a reopening behind event 99"),
    ],
)
def test_an_audit_finds_a_reopening_that_cannot_be(spoil, says):
    world = World()

    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.steady)
        ctx.run_activity(world.shaky)

    run_id = world.run()
    world.bench.client.reopen(run_id)
    spoil(world.bench.store._events[run_id])
    found = audit(world.bench.store, world.bench.queue, Effects())
    assert any(says in violation.found for violation in found), found


def _point(history, *, after):
    event = e.event_of(history[-1])
    assert isinstance(event, e.WorkflowReopened)
    history[-1] = history[-1]._replace(details=e.details_of(replace(event, after=after)))


def test_an_audit_finds_a_reopened_run_that_nobody_will_look_at():
    world = World()

    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.shaky)

    run_id = world.run()
    world.bench.client.reopen(run_id)
    for item in list(world.bench.queue._items):
        world.bench.queue._items.remove(item.id)
    found = audit(world.bench.store, world.bench.queue, Effects())
    assert any("a reopened run" in violation.found for violation in found), found


# Messages whose sender has closed before it heard what became of them


def sends_and_closes(world):
    @world.workflow
    def flow(ctx):
        def branch():
            ctx.wait_signal("s")
            try:
                ctx.signal_workflow("hello", "there", workflow_id="somebody")
            except UnknownExecutionError:
                return "nobody"
            return "delivered"

        sent = ctx.spawn(branch)
        ctx.wait_signal("die")
        if not world.fixed:
            raise Broken
        return ctx.wait(sent)

    run_id = world.bench.start("flow")
    for name in ("s", "die"):
        world.bench.client.signal(run_id, name)
    world.bench.drive(run_id)
    assert world.status(run_id) is Status.FAILED
    assert "external_signal_sent" in world.lived(run_id)
    return run_id


@both
def test_a_message_that_nobody_took_is_told_of_when_its_sender_is_reopened(world):
    run_id = sends_and_closes(world)
    world.reopen(run_id)
    assert world.bench.result(run_id) == "nobody"


@both
def test_a_message_that_was_delivered_is_not_sent_again_when_its_sender_is_reopened(world):
    world.workflow(takes_two)
    definition = world.bench.registry.workflows["takes_two"].using(workflow_id="somebody")
    receiver = world.bench.client.start(definition, {}).run_id
    world.bench.drive(receiver, to=lambda status: status is Status.RUNNING)
    run_id = sends_and_closes(world)
    world.reopen(run_id)
    assert world.bench.result(run_id) == "delivered"
    world.bench.client.signal(receiver, "hello", "end")
    world.bench.drive(receiver)
    assert world.bench.result(receiver) == ["there", "end"]


def takes_two(ctx):
    return [ctx.wait_signal("hello"), ctx.wait_signal("hello")]


@both
def test_a_run_that_times_out_as_it_sends_is_told_what_came_of_it_when_it_is_reopened(world):
    @world.workflow
    def flow(ctx):
        def branch():
            ctx.wait_signal("s")
            try:
                ctx.signal_workflow("hello", workflow_id="nobody")
            except UnknownExecutionError:
                return "nobody"

        return ctx.wait(ctx.spawn(branch))

    bench = world.bench
    run_id = bench.client.start("flow", {}, timeout=100).run_id
    bench.client.signal(run_id, "s")
    bench.clock.advance(timedelta(seconds=100))
    bench.drive(run_id)
    assert world.status(run_id) is Status.TIMED_OUT
    assert "external_signal_sent" in world.lived(run_id)
    world.reopen(run_id)
    assert bench.result(run_id) == "nobody"


@pytest.mark.parametrize("first", [signal("die"), cancel("enough", graceful=False)], ids=["a failure", "a cancel"])
def test_a_word_behind_what_ends_the_run_is_kept(first):
    def fn(ctx):
        def branch():
            ctx.signal_workflow("hello", workflow_id="nobody")

        ctx.spawn(branch)
        ctx.wait_signal("die")
        raise Broken

    story = Story(fn)
    story.start()
    word = e.ExternalMessageFailed(call_id="0.0", reason="unknown")
    decision = story.give(first, word)
    assert decision.end is not None
    assert decision.unheard == [word]


def test_a_word_that_waits_when_a_run_ends_without_its_code_is_kept(world):
    @world.workflow
    def flow(ctx): ...

    run_id = world.bench.start("flow")
    record = world.bench.client.find(run_id)
    word = Mail(1, "external_message_failed", "0", '{"reason":"closed"}')
    letters = [word, Mail(2, "external_message_delivered", "1", "{}"), Mail(3, "activity_completed", "2", "{}")]
    now = world.bench.clock.now()
    commit = end_from_outside(record, letters, e.WorkflowTimedOut(deadline=now), now)
    world.bench.store.commit([commit])
    assert world.bench.client.find(run_id).unheard == '{"0":"closed","1":null}'


def test_a_message_of_which_an_older_release_kept_no_word_keeps_its_sender_closed(world):
    run_id = sends_and_closes(world)
    store = world.bench.store
    with store.transaction():
        row = store._runs.get(run_id)
        store._runs.put(run_id, replace(row, record=replace(row.record, unheard=None)))
    with pytest.raises(NotReopenable, match="nobody knows what has become of its message by call "):
        world.bench.client.reopen(run_id)
