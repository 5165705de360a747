"""Runs that are started: many at once, and under workflow_ids that others have or had."""

from __future__ import annotations

import pytest

from durable_core.audit import Code, audit
from durable_core.audit.effects import Effects
from durable_core.errors import ConfigurationError, PayloadError, WorkflowAlreadyStarted
from durable_core.execution import Status
from durable_core.testing import InMemoryHistoryStore
from tests.core.test_worker import Bench


@pytest.fixture
def bench():
    made = Bench()

    @made.registry.workflow
    def flow(ctx, n=0, fail=False, wait=False):
        if fail:
            raise ValueError("no")
        if wait:
            ctx.wait_signal("go")
        return n

    @made.registry.workflow
    def chain(ctx, n=0):
        if n < 2:
            ctx.continue_as_new(n=n + 1)

    @made.registry.workflow
    def parent(ctx):
        ctx.run_workflow("flow", wait=True)

    yield made
    assert audit(made.store, made.queue, Effects(), code=Code(registry=made.registry)) == []


def named(bench, name="flow", **policies):
    return bench.registry.workflows[name].using(workflow_id="w", **policies)


def start(bench, workflow, **kwargs):
    return bench.client.start(workflow, kwargs).run_id


def settle(bench):
    bench.worker().run(until_idle=True)


# Many


def test_many_runs_are_started_in_their_order(bench):
    started = bench.client.start_many([("flow", {"n": n}) for n in range(2_500)])
    assert all(one.created for one in started)
    settle(bench)
    assert [bench.result(one.run_id) for one in started] == list(range(2_500))


def test_nothing_is_started_where_one_is_wrong(bench):
    for wrong, error in (
        (("flow", {"m": 1}), TypeError),
        (("flow", {"n": {1}}), PayloadError),
        ((named(bench), {"n": 2}), WorkflowAlreadyStarted),
    ):
        with pytest.raises(error):
            bench.client.start_many([("flow", {}), (named(bench), {"n": 1}), wrong])
        assert bench.store.outlines(after=None, since=None, limit=10) == []
        assert list(bench.queue.audited()) == []


def test_an_id_twice_among_many_is_one_run(bench):
    first, second = bench.client.start_many([(named(bench), {"n": 1}), (named(bench), {"n": 1})])
    assert (first.created, second.created) == (True, False)
    assert first.run_id == second.run_id


def test_none_are_many_too(bench):
    assert bench.client.start_many([]) == []


def test_many_are_begun_when_they_are_to_begin(bench):
    later = bench.registry.workflows["flow"].using(run_after=60)
    now, then = bench.client.start_many([("flow", {}), (later, {})], timeout=500)
    settle(bench)
    statuses = [bench.client.find(one.run_id).status for one in (now, then)]
    assert statuses == [Status.COMPLETED, Status.PENDING]
    assert bench.client.find(then.run_id).timeout.total_seconds() == 500


# An open run has the id


def test_the_same_start_finds_it(bench):
    run_id = start(bench, named(bench), n=1)
    assert start(bench, named(bench, id_conflict_policy="use_existing"), n=1) == run_id
    with pytest.raises(WorkflowAlreadyStarted, match="with other input"):
        start(bench, named(bench), n=2)


def test_fail_does_not_even_take_the_same(bench):
    run_id = start(bench, named(bench), n=1)
    with pytest.raises(WorkflowAlreadyStarted, match=str(run_id)) as raised:
        start(bench, named(bench, id_conflict_policy="fail"), n=1)
    assert raised.value.execution_id == run_id


def test_terminate_existing_takes_its_place(bench):
    first = start(bench, named(bench, name="parent"))
    settle(bench)
    [child] = bench.store.children(first)
    second = start(bench, named(bench, id_conflict_policy="terminate_existing"), n=2)
    assert bench.client.find(first).error == "WorkflowCanceled: its workflow_id was taken"
    assert bench.client.find(child).status is Status.CANCELED
    settle(bench)
    assert bench.result(second) == 2


def test_terminate_existing_starts_where_there_is_none(bench):
    assert bench.client.find(start(bench, named(bench, id_conflict_policy="terminate_existing")))


def test_a_start_that_fails_terminates_nothing(bench):
    first = start(bench, named(bench), wait=True)
    taking = named(bench, id_conflict_policy="terminate_existing")
    with pytest.raises(WorkflowAlreadyStarted):
        bench.client.start_many([(taking, {"n": 1}), (named(bench), {"n": 2})])
    assert not bench.client.find(first).status.is_closed


# A closed run had it


@pytest.mark.parametrize(
    ("policy", "after_success", "after_failure"),
    [("allow_duplicate", True, True), ("allow_duplicate_failed_only", False, True), ("reject_duplicate", False, False)],
)
def test_an_id_is_free_again_as_the_policy_says(bench, policy, after_success, after_failure):
    for fail, is_free in ((False, after_success), (True, after_failure)):
        workflow = bench.registry.workflows["flow"].using(workflow_id=f"w-{fail}", id_reuse_policy=policy)
        first = start(bench, workflow, fail=fail)
        settle(bench)
        if is_free:
            assert start(bench, workflow) != first
        else:
            with pytest.raises(WorkflowAlreadyStarted, match=f"has been used: run {first}") as raised:
                start(bench, workflow)
            assert raised.value.execution_id == first


def test_a_refused_start_leaves_nothing(bench):
    start(bench, named(bench))
    settle(bench)
    with pytest.raises(WorkflowAlreadyStarted):
        bench.client.start_many([("flow", {}), (named(bench, id_reuse_policy="reject_duplicate"), {})])
    assert len(bench.store.outlines(after=None, since=None, limit=10)) == 1


def test_the_last_run_of_a_chain_decides(bench):
    first = start(bench, named(bench, name="chain"))
    settle(bench)
    assert bench.client.find_newest(first).status is Status.COMPLETED
    with pytest.raises(WorkflowAlreadyStarted, match=str(bench.client.find_newest(first).id)):
        start(bench, named(bench, id_reuse_policy="allow_duplicate_failed_only"))


def test_an_open_run_is_no_duplicate(bench):
    run_id = start(bench, named(bench, id_reuse_policy="reject_duplicate"), n=1)
    assert start(bench, named(bench, id_reuse_policy="reject_duplicate"), n=1) == run_id


def test_signal_with_start_keeps_to_it(bench):
    start(bench, named(bench))
    settle(bench)
    with pytest.raises(WorkflowAlreadyStarted, match="has been used"):
        bench.client.signal_with_start(named(bench, id_reuse_policy="reject_duplicate"), {}, "go")
    with pytest.raises(ConfigurationError, match="Leave the policy out"):
        bench.client.signal_with_start(named(bench, id_conflict_policy="fail"), {}, "go")


# What makes no sense


def test_policies_that_are_none_are_refused_where_they_are_written(bench):
    with pytest.raises(ConfigurationError, match="expected one of use_existing, fail, terminate_existing"):
        named(bench, id_conflict_policy="replace")
    with pytest.raises(ConfigurationError, match="expected one of allow_duplicate"):
        named(bench, id_reuse_policy=7)


def test_policies_need_an_id_and_must_agree(bench):
    with pytest.raises(ConfigurationError, match="no workflow_id"):
        start(bench, bench.registry.workflows["flow"].using(id_reuse_policy="reject_duplicate"))
    with pytest.raises(ConfigurationError, match="Choose one"):
        start(bench, named(bench, id_reuse_policy="reject_duplicate", id_conflict_policy="terminate_existing"))


class Contested(InMemoryHistoryStore):
    """Somebody else takes every id that is freed."""

    def create(self, runs):
        return [made._replace(created=False) for made in super().create(runs)]


def test_an_id_that_keeps_changing_hands_is_given_up():
    from durable_core.errors import StoreUnavailable

    bench = Bench(store=Contested)

    @bench.registry.workflow
    def flow(ctx): ...

    with pytest.raises(StoreUnavailable, match="keeps changing hands"):
        start(bench, named(bench, id_conflict_policy="terminate_existing"))
