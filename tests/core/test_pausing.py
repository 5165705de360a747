"""Paused runs: nothing is decided for them, nothing is lost, and their own time limit goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_core.audit import Code, audit
from durable_core.audit.effects import Effects
from durable_core.errors import WorkflowCanceled, WorkflowClosed, WorkflowTimeout
from durable_core.execution import Status
from durable_core.ports import Entry, EntryKind
from durable_core.retry import RetryPolicy
from tests.core.test_worker import Bench

cold_and_cached = pytest.mark.parametrize("bench", [0, 10], indirect=True, ids=["cold", "cached"])


@pytest.fixture
def bench(request):
    made = Bench(cache_size=getattr(request, "param", 10))
    calls = []

    @made.registry.activity
    def act(name="act"):
        calls.append(name)
        return name

    @made.registry.workflow
    def waits(ctx):
        return [ctx.wait_signal("go"), ctx.run_activity(act)]

    @made.registry.workflow
    def sleeps(ctx):
        ctx.sleep(60)
        return ctx.now().isoformat()

    @made.registry.workflow
    def parent(ctx):
        return ctx.run_workflow("waits")

    yield made
    assert audit(made.store, made.queue, Effects(), code=Code(registry=made.registry)) == []


def running(bench, name, **options):
    run_id = bench.client.start(name, {}, **options).run_id
    bench.worker().run(until_idle=True)
    return run_id


def settle(bench, seconds=0):
    bench.clock.advance(timedelta(seconds=seconds))
    bench.worker().run(until_idle=True)


def status(bench, run_id):
    return bench.client.find(run_id).status


@cold_and_cached
def test_a_signal_to_a_paused_run_waits_as_mail(bench):
    run_id = running(bench, "waits")
    assert bench.client.pause(run_id, reason="look at it")
    bench.client.signal(run_id, "go", 1)
    settle(bench, seconds=300)
    loaded = bench.store.load([run_id])[run_id]
    assert (loaded.record.status, len(loaded.mail)) == (Status.RUNNING, 1)
    assert [event.type for event in loaded.events] == ["workflow_started", "signal_wait_started"]
    assert bench.client.resume(run_id)
    settle(bench)
    assert bench.result(run_id) == [1, "act"]


@cold_and_cached
def test_a_worker_that_has_it_in_memory_decides_nothing_for_it(bench):
    """The same worker, before and behind the pause: what it knows of the run is old."""
    run_id = bench.start("waits")
    worker, rounds = bench.worker(), []

    def until():
        rounds.append(status(bench, run_id))
        if len(rounds) == 5:
            bench.client.pause(run_id)
            bench.client.signal(run_id, "go", 1)
        if len(rounds) == 20:
            assert status(bench, run_id) is Status.RUNNING
            bench.client.resume(run_id)
        assert len(rounds) < 2000
        return status(bench, run_id).is_closed

    worker.run(until=until)
    assert len(rounds) > 20
    assert bench.result(run_id) == [1, "act"]


def test_timers_of_a_paused_run_fire_when_it_is_resumed(bench):
    run_id = running(bench, "sleeps")
    bench.client.pause(run_id)
    settle(bench, seconds=3600)
    assert status(bench, run_id) is Status.RUNNING
    bench.client.resume(run_id)
    settle(bench)
    assert bench.result(run_id) == bench.clock.now().isoformat()


def test_timers_that_are_not_due_when_it_is_resumed_fire_in_time(bench):
    run_id = running(bench, "sleeps")
    bench.client.pause(run_id)
    settle(bench, seconds=30)
    bench.client.resume(run_id)
    settle(bench)
    assert status(bench, run_id) is Status.RUNNING
    settle(bench, seconds=31)
    assert status(bench, run_id) is Status.COMPLETED


def test_a_run_can_be_paused_before_it_begins(bench):
    run_id = bench.start("waits")
    bench.client.pause(run_id)
    settle(bench, seconds=3600)
    assert status(bench, run_id) is Status.PENDING
    bench.client.resume(run_id)
    settle(bench)
    assert status(bench, run_id) is Status.RUNNING


def test_a_run_that_begins_later_does_so_after_a_pause(bench):
    waits = bench.registry.workflows["waits"].using(run_after=100)
    run_id = bench.client.start(waits, {}).run_id
    for _ in range(2):
        bench.client.pause(run_id)
        settle(bench, seconds=20)
        bench.client.resume(run_id)
        settle(bench)
        assert status(bench, run_id) is Status.PENDING
    settle(bench, seconds=61)
    assert status(bench, run_id) is Status.RUNNING


def test_the_time_limit_of_a_paused_run_goes_on(bench):
    run_id = running(bench, "sleeps", timeout=100)
    bench.client.pause(run_id)
    bench.client.signal(run_id, "unread")
    settle(bench, seconds=101)
    with pytest.raises(WorkflowTimeout):
        bench.result(run_id)
    types = [event.type for event in bench.store.load([run_id])[run_id].events]
    assert types[-2:] == ["signal_received", "workflow_timed_out"]
    assert "timer_fired" not in types


def test_a_paused_run_can_be_canceled(bench):
    run_id = running(bench, "waits")
    bench.client.pause(run_id)
    assert bench.client.cancel(run_id, reason="enough")
    with pytest.raises(WorkflowCanceled, match="enough"):
        bench.result(run_id)


def test_a_graceful_cancel_waits_with_the_rest(bench):
    run_id = running(bench, "waits")
    bench.client.pause(run_id)
    bench.client.cancel(run_id, graceful=True)
    settle(bench)
    assert status(bench, run_id) is Status.RUNNING
    bench.client.resume(run_id)
    settle(bench)
    assert status(bench, run_id) is Status.CANCELED


def test_a_paused_child_ends_with_its_parent(bench):
    run_id = bench.client.start("parent", {}, timeout=50).run_id
    settle(bench)
    [child_id] = bench.store.children(run_id)
    bench.client.pause(child_id)
    settle(bench, seconds=51)
    assert (status(bench, run_id), status(bench, child_id)) == (Status.TIMED_OUT, Status.CANCELED)


def test_children_of_a_paused_run_go_on_and_end_with_it(bench):
    run_id = bench.client.start("parent", {}, timeout=50).run_id
    settle(bench)
    [child_id] = bench.store.children(run_id)
    bench.client.pause(run_id)
    bench.client.signal(child_id, "go")
    settle(bench)
    assert status(bench, child_id) is Status.COMPLETED
    assert status(bench, run_id) is Status.RUNNING
    bench.client.resume(run_id)
    settle(bench)
    assert bench.result(run_id) == [None, "act"]


def test_a_paused_parent_that_times_out_cancels_its_children(bench):
    run_id = bench.client.start("parent", {}, timeout=50).run_id
    settle(bench)
    [child_id] = bench.store.children(run_id)
    bench.client.pause(run_id)
    settle(bench, seconds=51)
    assert (status(bench, run_id), status(bench, child_id)) == (Status.TIMED_OUT, Status.CANCELED)


def test_a_paused_run_is_looked_at_once_and_not_again_and_again(bench):
    run_id = running(bench, "waits")
    bench.client.pause(run_id)
    bench.client.signal(run_id, "go")
    settle(bench, seconds=100)
    assert [one.entry.ref for one in bench.queue.audited() if one.entry.kind is EntryKind.RUN] == []
    assert bench.store.next_due() is None


def test_pausing_and_resuming_twice_changes_nothing(bench):
    run_id = running(bench, "waits")
    assert not bench.client.resume(run_id)
    assert bench.client.pause(run_id)
    assert not bench.client.pause(run_id)
    assert bench.client.resume(run_id)
    assert not bench.client.resume(run_id)


def test_a_closed_run_can_be_neither(bench):
    run_id = running(bench, "sleeps")
    bench.client.cancel(run_id)
    for act in (bench.client.pause, bench.client.resume):
        with pytest.raises(WorkflowClosed, match=r"CANCELED; it cannot be (paused|resumed)"):
            act(run_id)


def test_a_run_that_timed_out_while_paused_is_not_paused_when_it_is_reopened(bench):
    run_id = running(bench, "waits", timeout=50)
    bench.client.pause(run_id)
    settle(bench, seconds=51)
    bench.client.reopen(run_id)
    bench.client.signal(run_id, "go", 1)
    settle(bench)
    assert bench.result(run_id) == [1, "act"]


# Runs that cannot go on


@pytest.fixture
def blocked():
    """A run whose code does not fit its history any more, and its child."""
    bench = Bench()
    broken: list[bool] = []

    @bench.registry.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @bench.registry.workflow
    def flow(ctx):
        if broken:
            ctx.sleep(1)
        ctx.run_workflow("child")

    run_id = bench.client.start("flow", {}, timeout=1000).run_id
    settle(bench)
    broken.append(True)
    bench.settings = Bench(cache_size=0).settings
    bench.client.signal(run_id, "look")
    bench.drive(run_id, to=lambda found: found is Status.BLOCKED)
    return bench, run_id


def test_a_blocked_run_times_out(blocked):
    bench, run_id = blocked
    [child_id] = bench.store.children(run_id)
    bench.clock.advance(timedelta(seconds=1001))
    bench.drive(run_id, child_id)
    assert (status(bench, run_id), status(bench, child_id)) == (Status.TIMED_OUT, Status.CANCELED)


def test_a_blocked_child_ends_with_its_parent(blocked):
    bench, child_id = blocked

    @bench.registry.workflow
    def parent(ctx):
        ctx.start_workflow("flow")
        ctx.wait_signal("end")

    from durable_core import events as e
    from durable_core.ports import Letter

    with bench.store.transaction():
        cancel = e.WorkflowCancelRequested(reason="its parent closed", graceful=False)
        wakes = bench.store.deliver([Letter.of(child_id, cancel)])
        bench.queue.enqueue([wake.entry for wake in wakes])
    bench.drive(child_id)
    assert bench.client.find(child_id).error == "WorkflowCanceled: its parent closed"


def test_a_blocked_run_that_waits_for_a_person_times_out_too():
    bench = Bench()

    @bench.registry.workflow
    def flow(ctx):
        ctx.wait_signal("never")

    run_id = bench.client.start("flow", {}, timeout=1000).run_id
    bench.store.charge([run_id] * 3)
    settle(bench)
    assert status(bench, run_id) is Status.BLOCKED
    bench.clock.advance(timedelta(seconds=1001))
    bench.drive(run_id)
    assert status(bench, run_id) is Status.TIMED_OUT


@pytest.mark.parametrize("fails", [True, False])
def test_an_activity_that_ends_just_before_its_paused_run_does_is_not_left_under_way(bench, fails):
    @bench.registry.activity(retry_policy=RetryPolicy(maximum_attempts=1))
    def is_overtaken():
        bench.client.pause(run_id)
        bench.queue.enqueue([Entry(EntryKind.RUN, run_id, "default")])  # to be claimed in the round that hears of this
        bench.clock.advance(timedelta(seconds=101))
        if fails:
            raise ValueError

    @bench.registry.workflow
    def performs(ctx):
        ctx.wait_signal("go")
        ctx.run_activity(is_overtaken)

    run_id = running(bench, "performs", timeout=100)
    bench.client.signal(run_id, "go")
    settle(bench)
    assert status(bench, run_id).is_closed
    [task] = bench.store.audited([run_id])[0].tasks
    assert task.record.status.is_closed
