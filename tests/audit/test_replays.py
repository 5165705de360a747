"""Code that does not come to the same again is found: by this process, by prefixes, and by another process."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from django_durable.auditing import code_of_project, writes_refused
from django_durable.models import WorkflowExecution
from django_durable.store import DjangoHistoryStore
from durable_core.audit import Code, Invariant, PeerProcess, audit, examine, watch
from durable_core.decision import RunSettings
from durable_core.definitions import Registry
from durable_core.errors import DurableError
from durable_core.execution import Status
from durable_core.worker.loading import info_of
from tests.core.test_worker import Bench
from tests.sites import entered

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.audit.conftest import World


Said = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def said(world_of: World) -> Said:
    """What the command finds of runs of code that a replay catches out, by the name of their workflow."""
    names = ("in_the_order_of_a_set", "with_the_process_in_it", "writes_in_its_code")
    site = world_of.site
    with entered(site), site.project.worker("--queue-name", "default"):
        handles = {name: site.start(name) for name in names}
        for handle in handles.values():
            assert site.until_closed(handle).status == "COMPLETED"
    done = site.project.manage("durable_audit", "--json")
    with entered(site):
        WorkflowExecution.objects.using(site.alias).filter(pk__in=[handle.id for handle in handles.values()]).delete()
    assert done.returncode == 1, done.stderr
    examples = [{**v, **e} for v in json.loads(done.stdout)["violations"] for e in v["examples"]]
    return {name: [e for e in examples if e["run_id"] == str(handle.id)] for name, handle in handles.items()}


class TestInTheProject:
    def test_other_process_catches_code_that_depends_on_hashes(self, said: Said):
        [violation] = said["in_the_order_of_a_set"]
        assert violation["invariant"] == Invariant.REPLAY
        assert "in another process" in violation["found"]

    def test_result_that_depends_on_its_process_is_caught(self, said: Said):
        [violation] = said["with_the_process_in_it"]
        assert violation["invariant"] == Invariant.REPLAY

    def test_code_that_writes_is_refused_and_told_of(self, said: Said):
        [violation] = said["writes_in_its_code"]
        assert violation["invariant"] == Invariant.SILENCE
        assert "UPDATE" in violation["found"]
        assert "django_durable_worker" in violation["found"]


def test_refused_write_changes_nothing(world: World):
    alias = world.site.alias
    with writes_refused() as acts, pytest.raises(Exception, match="cannot write"):
        world.sql("DELETE FROM mail WHERE id = 0")
    assert len(acts) == 1
    assert connections[alias].execute_wrappers == []


# In memory


def bench_with(code: Callable[..., Any]) -> tuple[Bench, Any]:
    bench = Bench()

    @bench.registry.activity
    def echo(value):
        return value

    @bench.registry.activity
    def echo_too(value):
        return value

    bench.registry.workflow_from(code, name="flow")
    return bench, bench.start("flow")


def other_code(bench: Bench, code: Callable[..., Any]) -> Registry:
    registry = Registry()
    for activity in bench.registry.activities.values():
        registry.activity(name=activity.name)(activity.fn)
    registry.workflow_from(code, name="flow")
    return registry


def replays(bench: Bench, registry: Registry, **choices: Any):
    return audit(bench.store, bench.queue, code=Code(registry=registry, **choices))


def two_steps(ctx):
    return [ctx.run_activity("echo", 1), ctx.run_activity("echo", 2)]


def test_same_code_comes_to_the_same():
    bench, run_id = bench_with(two_steps)
    bench.drive(run_id)
    assert replays(bench, bench.registry) == []


def few_at_a_time(ctx):
    return ctx.map("echo", [1, 2, 3], max_concurrency=1).results


def children_at_a_time(ctx, n=None):
    return n if n is not None else ctx.map("flow", [1, 2, 3], max_concurrency=1).results


@pytest.mark.parametrize("code", [few_at_a_time, children_at_a_time])
def test_digest_of_a_map_is_made_once_and_not_by_a_replay(code):
    bench, run_id = bench_with(code)
    bench.drive(run_id)
    assert bench.result(run_id) == [1, 2, 3]
    assert replays(bench, bench.registry) == []
    assert replays(bench, bench.registry, settings=RunSettings(strict_inputs=True)) == []


def renamed(ctx):
    return [ctx.run_activity("echo", 1), ctx.run_activity("echo_too", 2)]


def other_arguments(ctx):
    return [ctx.run_activity("echo", 1), ctx.run_activity("echo", 3)]


def other_result(ctx):
    return [ctx.run_activity("echo", 1), ctx.run_activity("echo", 2), "more"]


def other_end(ctx):
    ctx.run_activity("echo", 1)
    ctx.run_activity("echo", 2)
    raise ValueError


@pytest.mark.parametrize("code", [renamed, other_arguments, other_result, other_end])
def test_other_code_is_found_where_it_should_be_the_same(code):
    bench, run_id = bench_with(two_steps)
    bench.drive(run_id)
    [violation] = replays(bench, other_code(bench, code))
    assert (violation.invariant, violation.run_id) == (Invariant.REPLAY, run_id)


@pytest.mark.parametrize("code", [renamed, other_arguments, other_result, other_end])
def test_closed_runs_of_older_code_are_no_violation_in_production(code):
    bench, run_id = bench_with(two_steps)
    bench.drive(run_id)
    assert replays(bench, other_code(bench, code), is_same=False) == []


def waits(ctx):
    return ctx.wait_signal("go")


def waits_for_other(ctx):
    return ctx.wait_signal("stop")


def test_open_run_that_does_not_match_its_code_is_always_found():
    bench, run_id = bench_with(waits)
    bench.drive(run_id, to=lambda status: status.name == "RUNNING")
    [violation] = replays(bench, other_code(bench, waits_for_other), is_same=False)
    assert "signal 'go'" in violation.found


def test_prefix_that_cannot_be_replayed_is_found():
    """The code looks ahead: at how much there is of its history."""
    lengths: list[int] = []

    def looks_ahead(ctx):
        first = ctx.run_activity("echo", 1)
        if ctx._engine.past is not None and len(ctx._engine.past._records) < max(lengths, default=0):
            return first
        lengths.append(0 if ctx._engine.past is None else len(ctx._engine.past._records))
        ctx.run_activity("echo", 2)
        return ctx.run_activity("echo", 3)

    bench, run_id = bench_with(looks_ahead)
    bench.drive(run_id)
    found = replays(bench, bench.registry)
    assert found
    assert all(v.invariant is Invariant.REPLAY and "cannot be replayed, although all can" in v.found for v in found)


def test_what_was_canceled_before_its_code_was_asked_can_be_replayed():
    """Neither the start nor the signals that a cancel from outside writes were ever given to the code."""
    bench, never_ran = bench_with(lambda ctx: ctx.run_activity("echo", ctx.wait_signal("go")))
    bench.client.cancel(never_ran)
    waited = bench.start("flow")
    bench.drive(waited, to=lambda status: status.name == "RUNNING")
    bench.client.signal(waited, "go", 1)
    bench.client.cancel(waited)
    types = [event.type for event in bench.store.load([waited])[waited].events]
    assert types == ["workflow_started", "signal_wait_started", "signal_received", "workflow_canceled"]
    assert replays(bench, bench.registry) == []


def test_peer_that_dies_is_told_of(capfd):
    broken = [sys.executable, "-c", "import sys; print('loading'); sys.exit('no such project')"]
    with PeerProcess(broken) as peer, pytest.raises(DurableError, match="ended with code 1"):
        peer.digests([])
    assert "no such project" in capfd.readouterr().err


def test_many_histories_go_through_the_pipe(world: World):
    """More than pipes hold, both ways."""
    code = code_of_project()
    [run] = DjangoHistoryStore(world.site.alias).audited([world.done])
    history = info_of(run.record), run.events
    here = code.digest(*history)
    environment = {**world.site.project.environment(), "DJANGO_SETTINGS_MODULE": "tests.project.settings"}
    with PeerProcess(
        [sys.executable, "-m", "tests.project.manage", "durable_audit", "--second-process"], environment
    ) as peer:
        assert set(peer.digests([history] * 100)) == {here}


def test_code_that_never_comes_back_does_not_keep_the_audit():
    bench = Bench()
    forever: list[bool] = []

    @bench.registry.workflow
    def loops(ctx):
        while forever:
            pass
        ctx.wait_signal("go")

    @bench.registry.workflow
    def waits(ctx):
        ctx.wait_signal("go")

    bench.drive(bench.start("loops"), bench.start("waits"), to=lambda status: status is Status.RUNNING)
    forever.append(True)
    with watch(0.3) as watched:
        report = examine(bench.store, bench.queue, code=Code(registry=bench.registry, watch=watched))
    assert report.runs == 2
    assert report.counts[Invariant.REPLAY] == 1
    assert "without a ctx call" in report.violations[0].found
