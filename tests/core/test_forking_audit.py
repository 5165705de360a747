"""What an audit finds in runs that were forked, and in those that were opened again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from durable_core import events as e
from durable_core.audit import audit
from durable_core.audit.effects import Effects
from durable_core.execution import Status
from tests.core.test_forking import World, steps


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()


def _forked_run():
    """A fork that waits in its first step, of a run that has started a child, an activity and published."""
    world = World()

    @world.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @world.workflow
    def flow(ctx):
        ctx.set_event("stage", 1)
        ctx.publish("a")
        ctx.run_activity(world.note, "first")
        ctx.start_workflow("child")
        slow = ctx.start_activity(world.note, "second")
        ctx.wait_signal("go")
        return ctx.wait_activity(slow)

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.until_waiting(origin, "go")
    fork = world.fork(origin, world.seq(origin, "signal_wait_started") + 1)
    world.check()
    return world, fork


def _details(fork, seq, old, new):
    def spoil(store, _):
        events = store._events[fork]
        assert old in events[seq - 1].details
        events[seq - 1] = events[seq - 1]._replace(details=events[seq - 1].details.replace(old, new))

    return spoil


def _without_rows(table, what):
    def spoil(store, fork):
        rows = getattr(store, table)
        for row in rows.group(what, fork):
            key = row.record.id if hasattr(row, "record") else next(k for k, r in rows._rows.items() if r is row)
            rows.remove(key)

    return spoil


def _forget(store, fork):
    events = store._events[fork]
    place = next(n for n, event in enumerate(events) if event.type == "workflow_forked")
    events[place] = events[place]._replace(type="version_marker", details='{"change_id":"x","version":1}')


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda store, fork: _details(fork, 4, "first", "thirst")(store, fork), "an event that is not that of run"),
        (lambda store, fork: _details(fork, 5, "first", "thirst")(store, fork), "an event that is not that of run"),
        (lambda store, fork: _point(store, fork, from_seq=3), "a fork from seq 3 at seq 9"),
        (lambda store, fork: _point(store, fork, origin=uuid4()), "a fork from"),
        (_forget, "whose history does not say so"),
        (_without_rows("_tasks", "run"), "no task"),
        (_without_rows("_runs", "parent"), "that is its child"),
        (_without_rows("_items", "run"), "no item of stream"),
        (_without_rows("_values", "run"), "without a value"),
    ],
)
def test_an_audit_finds_a_damaged_fork(spoil, says):
    world, fork = _forked_run()
    with world.bench.store.transaction():
        spoil(world.bench.store, fork)
    found = audit(world.bench.store, world.bench.queue, Effects())
    assert any(says in violation.found and violation.run_id == fork for violation in found), found


def _point(store, fork, **changes):
    place = next(n for n, event in enumerate(store._events[fork]) if event.type == "workflow_forked")
    event = store._events[fork][place]
    fact = e.event_of(event)
    assert isinstance(fact, e.WorkflowForked)
    store._events[fork][place] = event._replace(details=e.details_of(replace(fact, **changes)))


def test_an_audit_finds_a_task_of_what_ended_in_the_other_run():
    world, fork = _forked_run()
    store = world.bench.store
    [task] = store._tasks.group("run", fork)
    extra = replace(task, record=replace(task.record, id=uuid4(), call_id="2"))
    with store.transaction():
        store._tasks.put(extra.record.id, extra)
    found = audit(store, world.bench.queue, Effects())
    assert any("a task beyond those" in violation.found for violation in found), found


def test_an_audit_finds_a_fork_that_nobody_will_look_at():
    world = World()
    fork = world.bench.client.fork_run(steps(world), 4)
    world.check()
    for item in list(world.bench.queue._items):
        world.bench.queue._items.remove(item.id)
    found = audit(world.bench.store, world.bench.queue, Effects())
    assert any("a forked run" in violation.found and violation.run_id == fork for violation in found), found


def test_a_fork_whose_origin_was_deleted_is_sound():
    world = World()
    origin = steps(world)
    fork = world.fork(origin, 4)
    store = world.bench.store
    with store.transaction():
        row = store._runs.get(fork)
        store._runs.put(fork, replace(row, record=replace(row.record, forked_from=None)))
        for past in store.tasks_of(origin):
            store._tasks.remove(past.record.id)
        store._runs.remove(origin)
    world.check()


def test_an_audit_lets_a_run_wait_that_was_reopened_and_looked_at(world):
    """Its end may be far away, and nothing needs an entry until then."""

    @world.workflow
    def flow(ctx):
        return ctx.wait_signal("go")

    bench = world.bench
    run_id = bench.client.start("flow", {}, timeout=timedelta(days=9)).run_id
    bench.worker().run(until_idle=True)
    bench.clock.advance(timedelta(days=9))
    bench.drive(run_id)
    bench.client.reopen(run_id)
    bench.worker().run(until_idle=True)
    assert world.waits(run_id)["what"] == "go"
    world.check()


def test_a_child_that_was_reopened_says_what_it_waits_for(world):
    @world.workflow
    def child(ctx):
        return ctx.wait_signal("go")

    @world.workflow
    def flow(ctx):
        handle = ctx.start_workflow("child")
        ctx.run_activity(world.shaky)
        return ctx.wait_workflow(handle)

    origin = world.run()
    world.bench.worker().run(until_idle=True)
    [own] = world.bench.store.audited([origin])[0].children
    assert own.status is Status.CANCELED
    world.fixed = True
    world.bench.client.reopen(origin)
    world.until_waiting(own.id, "go")
