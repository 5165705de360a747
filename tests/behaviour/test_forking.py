"""Runs that begin with the history of others, through the real worker: cached and replayed, and behind a SIGKILL."""

from __future__ import annotations

import asyncio
import signal

import pytest

from django_durable import (
    NotForkable,
    WorkflowFailed,
    afork_workflow,
    fork_workflow,
    get_event,
    read_stream,
    register,
    send_signal,
    start_workflow,
    update_workflow,
)
from django_durable.engine import engine
from django_durable.models import WorkflowExecution
from durable_core.audit import Code, Scope, audit
from durable_core.ports import AuditableStore
from tests.scenarios import ledger


def seq_of(site, handle, type_, number=0):
    rows = site.execution(handle).history.filter(type=type_).order_by("seq")
    return rows[number].seq


def rows_of(site, handle, before):
    fields = ("seq", "type", "call_id", "details", "created_at")
    return list(site.execution(handle).history.filter(seq__lt=before).order_by("seq").values_list(*fields))


def failed_run(site, key, queue=None):
    """One that did many things and then failed for a bug in its code, and the seq of what that failed on."""
    workflow = "does_many_things" if queue is None else site.on_queue("does_many_things", queue)
    origin = start_workflow(workflow, key=key)
    site.until_waiting(origin, "signal")
    assert update_workflow(origin, "see", {"value": 7}, timeout=30, update_id=f"{key}-7") == 1
    send_signal(origin, "go")
    with pytest.raises(WorkflowFailed, match="mend me"):
        origin.result(timeout=30)
    return origin, seq_of(site, origin, "signal_received")


def violations_of(*runs):
    """What an audit finds; the code has been mended since the first of them ran."""
    made = engine()
    assert isinstance(made.store, AuditableStore)
    scope = Scope(only=[run.id for run in runs])
    return audit(made.store, made.queue, code=Code(registry=register, is_same=False), scope=scope)


@pytest.mark.promise("P1")
def test_a_fork_goes_on_from_where_the_other_run_was_right(site, key):
    origin, at = failed_run(site, key)
    before = rows_of(site, origin, 10_000)
    ledger.open_gate(key)
    fork = fork_workflow(origin, at)
    assert get_event(fork, "stage") == "begun"
    assert update_workflow(fork, "see", {"value": 7}, timeout=30, update_id=f"{key}-7") == 1
    send_signal(fork, "go")
    [branch, child], seen, started, behind, after = fork.result(timeout=30)
    assert (branch, child, seen, after) == ("branch", 42, [7], "after")
    assert started != behind
    assert rows_of(site, fork, at) == [row for row in before if row[0] < at]
    assert site.history(fork)[at - 1] == "workflow_forked"
    assert site.execution(fork).forked_from_id == origin.id
    assert rows_of(site, origin, 10_000) == before
    assert site.execution(origin).status == "FAILED"
    effects = [len(ledger.effects(f"{key}-{what}")) for what in ("before", "branch", "child-1", "after")]
    assert effects == [1, 1, 1, 1]
    assert (get_event(origin, "stage"), get_event(fork, "stage")) == ("begun", "done")
    assert [item.item for item in read_stream(fork)] == ["begun", "done"]
    assert [item.item for item in read_stream(origin)] == ["begun"]
    assert violations_of(origin, fork) == []
    with pytest.raises(NotForkable, match="the nearest is"):
        fork_workflow(origin, 10_000)


def test_what_was_under_way_where_a_run_is_forked_is_done_anew(site, key):
    origin, _ = failed_run(site, key)
    ledger.open_gate(key)
    started = seq_of(site, origin, "external_signal_sent") + 1
    fork = asyncio.run(afork_workflow(origin, started, keep_signals=True))
    [branch, child], *_ = fork.result(timeout=30)
    assert (branch, child) == ("branch", 42)
    effects = [len(ledger.effects(f"{key}-{what}")) for what in ("before", "branch", "child-1", "step", "after")]
    assert effects[0] == 1
    assert effects[2:] == [2, 2, 1]
    children = WorkflowExecution.objects.using(site.alias).filter(parent=fork.id)
    assert [child.status for child in children] == ["COMPLETED"]
    assert violations_of(origin, fork, *children) == []


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["start-inside", "start-committed"])
def test_a_fork_is_whole_or_has_not_happened(point, quiet_site, queue, key):
    site = quiet_site
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, durable=impatient):
        origin, _ = failed_run(site, key, queue)
    ledger.open_gate(key)
    from_seq = str(seq_of(site, origin, "external_signal_sent") + 1)
    command = ("durable_fork", str(origin), "--from-seq", from_seq, "--keep-signals")
    assert site.project.manage(*command, DURABLE_CRASH_AT=point).returncode == -signal.SIGKILL
    forks = WorkflowExecution.objects.using(site.alias).filter(forked_from=origin.id)
    if point == "start-inside":
        assert not forks.exists()
        assert site.project.manage(*command).returncode == 0
    [fork] = forks
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT="decision-inside", durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        site.until(fork, "COMPLETED")
    assert site.history(fork).count("workflow_forked") == 1
    assert len(ledger.effects(f"{key}-before")) == 1
    assert [child.status for child in fork.children.all()] == ["COMPLETED"]
