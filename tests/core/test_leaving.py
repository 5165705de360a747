"""What this worker has no code for is left to another, as it was."""

from __future__ import annotations

import json

from durable_core.definitions import Registry
from durable_core.execution import Status
from tests.core.test_worker import Bench


def left_by(bench, run_id):
    """What the run waits for, once a worker has looked at it; its history must be as it was."""
    before = bench.store.load([run_id])[run_id]
    bench.worker().run(until=lambda: waiting_for(bench, run_id)["kind"] == "worker", iterations=100)
    after = bench.store.load([run_id])[run_id]
    assert after.record.status is before.record.status
    assert (after.events, after.mail) == (before.events, before.mail)
    return waiting_for(bench, run_id)["what"]


def waiting_for(bench, run_id):
    return json.loads(bench.store.waiting_for(run_id) or '{"kind": ""}')


def test_a_run_that_newer_code_has_marked_is_left_to_that():
    bench = Bench()

    @bench.registry.workflow(name="changes")
    def newer(ctx):
        ctx.patched("a-change")
        return ctx.wait_signal("go")

    run_id = bench.start("changes")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    bench.client.signal(run_id, "go")
    newer_registry, bench.registry = bench.registry, Registry()

    @bench.registry.workflow(name="changes")
    def older(ctx):
        return ctx.wait_signal("go")

    assert left_by(bench, run_id) == "a worker that has workflow version 'changes'"
    bench.registry = newer_registry
    bench.drive(run_id)
    assert bench.client.find(run_id).status is Status.COMPLETED


def test_a_run_of_an_unknown_workflow_is_left_to_whoever_knows_it():
    bench = Bench()

    @bench.registry.workflow
    def known(ctx):
        return 7

    run_id = bench.start("known")
    newer_registry, bench.registry = bench.registry, Registry()
    assert left_by(bench, run_id) == "a worker that has workflow 'known'"
    bench.registry = newer_registry
    bench.drive(run_id)
    assert bench.result(run_id) == 7
