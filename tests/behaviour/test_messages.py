"""Questions and requests to runs that are under way, through the real worker: cached, and replayed at every step."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import NotSupportedError, connections, transaction

from django_durable import (
    DurableError,
    UnknownQueryError,
    UpdateFailed,
    UpdateRejected,
    WaitTimeout,
    WorkflowClosed,
    aquery_workflow,
    asignal_with_start,
    aupdate_workflow,
    cancel_workflow,
    query_workflow,
    send_signal,
    signal_with_start,
    update_workflow,
    wait_workflow,
)
from django_durable.models import Message, WorkflowExecution
from tests.scenarios import ledger
from tests.waiting import wait_until

# Queries


def test_a_live_query_is_answered_here_without_a_trace(site, key):
    handle = site.start("questioned", key=key)
    for item in ("a", "b"):
        send_signal(handle, "item", item)
    wait_until(lambda: site.history(handle).count("activity_completed") == 2, "two items")
    site.until_waiting(handle, "signal")
    before = site.history(handle)
    assert query_workflow(handle, "items") == handle.query("items") == ["a", "b"]
    assert query_workflow(handle, "has", item="a") is True
    with pytest.raises(DurableError, match="inside the handler of a query"):
        query_workflow(handle, "acts")
    with pytest.raises(NotSupportedError, match="cannot write"):
        query_workflow(handle, "writes")
    with pytest.raises(UnknownQueryError, match="Did you mean 'items'"):
        query_workflow(handle, "item")
    assert site.history(handle) == before
    assert [len(ledger.effects(f"{key}-{item}")) for item in "ab"] == [1, 1]
    send_signal(handle, "item", "c")
    assert handle.result(timeout=30) == ["a", "b", "c"]
    assert query_workflow(handle, "items") == ["a", "b", "c"]


def test_a_live_query_needs_no_worker(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("questioned", queue), key=key)
    send_signal(handle, "item", "a")
    with pytest.raises(UnknownQueryError, match="no worker has begun it"):
        query_workflow(handle, "items")
    with site.project.worker("--queue-name", queue):
        wait_until(lambda: "activity_completed" in site.history(handle), "an item")
        site.until_waiting(handle, "signal")
    assert asyncio.run(aquery_workflow(handle, "items")) == ["a"]
    assert cancel_workflow(handle)
    assert query_workflow(handle, "items") == ["a"]


# Updates


@pytest.mark.parametrize("name", ["takes_updates", "takes_updates_async"])
def test_an_update_is_answered_or_rejected_without_a_trace(name, site, key):
    handle = site.start(name, key=key)
    assert update_workflow(handle, "add", {"amount": 1}, timeout=30) == 1
    assert handle.update("add", {"amount": 2, "slowly": True}, timeout=30) == 3
    assert asyncio.run(aupdate_workflow(handle, "add", {"amount": 3}, timeout=30)) == 6
    before = site.history(handle)
    assert before.count("workflow_update_accepted") == before.count("workflow_update_completed") == 3
    with pytest.raises(UpdateRejected, match="ValueError: 0 is not positive"):
        update_workflow(handle, "add", {"amount": 0}, timeout=30)
    with pytest.raises(UpdateRejected, match=r"UnknownUpdateError: .*Did you mean 'add'"):
        update_workflow(handle, "ad", timeout=30)
    assert site.history(handle) == before
    with pytest.raises(UpdateFailed, match="ValueError: invalid literal"):
        update_workflow(handle, "fail", timeout=30)
    assert query_workflow(handle, "total") == 6
    assert update_workflow(handle, "add", {"amount": 94}, timeout=30) == 100
    assert handle.result(timeout=30) == 100
    with pytest.raises(WorkflowClosed):
        update_workflow(handle, "add", {"amount": 1}, timeout=30)


def test_giving_up_undoes_nothing_and_the_same_id_is_the_same_update(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("takes_updates", queue), key=key)
    with pytest.raises(WaitTimeout, match="ask again with update_id='once'"):
        update_workflow(handle, "add", {"amount": 7}, update_id="once", timeout=0)
    with pytest.raises(DurableError, match="inside of a transaction"), transaction.atomic(site.alias):
        update_workflow(handle, "add", {"amount": 7})
    with site.project.worker("--queue-name", queue):
        for _ in range(2):
            assert update_workflow(handle, "add", {"amount": 7}, update_id="once", timeout=30) == 7
        said = site.project.manage(
            "durable_update", str(handle), "add", "--input", '{"amount": 1}', "--timeout", "30", "--update-id", "two"
        )
        assert (said.returncode, json.loads(said.stdout)) == (0, 8)
    rejected = update_rejected_from_the_shell(site, handle, queue)
    assert rejected.returncode == 6
    assert "ValueError: 0 is not positive" in rejected.stderr
    assert cancel_workflow(handle)
    assert update_workflow(handle, "add", {"amount": 7}, update_id="once", timeout=0) == 7


def update_rejected_from_the_shell(site, handle, queue):
    with site.project.worker("--queue-name", queue):
        return site.project.manage("durable_update", str(handle), "add", "--input", '{"amount": 0}', "--timeout", "30")


def test_updates_reach_the_newest_run_of_a_chain(site, key):
    handle = site.start("takes_updates", key=key)
    assert update_workflow(handle, "add", {"amount": 1}, update_id="a", timeout=30) == 1
    with pytest.raises(WorkflowClosed, match="CONTINUED_AS_NEW"):
        update_workflow(handle, "go_on", timeout=30)
    assert update_workflow(handle, "add", {"amount": 2}, timeout=30) == 2
    assert update_workflow(handle, "add", {"amount": 1}, update_id="a", timeout=30) == 1
    assert cancel_workflow(handle)


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("decision-inside:2", "takes_updates"),
        ("decision-committed:2", "takes_updates"),
        ("activity-returned", "takes_updates"),
        ("decision-committed:2", "takes_updates_async"),
    ],
)
def test_an_update_survives_a_death_at(point, name, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue(name, queue), key=key)
    asked = {"amount": 5, "slowly": True}
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        site.until_waiting(handle, "condition")  # of asyncio, or a function
        with pytest.raises(WaitTimeout):
            update_workflow(handle, "add", asked, update_id="once", timeout=0)
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert update_workflow(handle, "add", asked, update_id="once", timeout=30) == 5
        assert query_workflow(handle, "total") == 5
    assert site.history(handle).count("workflow_update_accepted") == 1
    assert Message.objects.using(site.alias).filter(chain_id=handle.id).count() == 1
    assert len(ledger.effects(f"{key}-5")) in (1, 2)
    connections[site.alias].close()


# Signals


def test_a_signal_with_a_key_is_sent_once(site, key):
    handle = site.start("collects_for_ever", key=key, most=2)
    for _ in range(2):
        send_signal(handle, "item", "a", dedupe_key="first")
    wait_until(lambda: len(ledger.effects(f"{key}-a")) == 1, "the first item")
    handle.signal("item", "a", dedupe_key="first")
    said = site.project.manage("durable_signal", str(handle), "item", "--input", '"a"', "--dedupe-key", "first")
    assert said.returncode == 0
    handle.signal("item", "b", dedupe_key="second")
    assert handle.result(timeout=30) == ["a", "b"]


@pytest.mark.promise("P2", "P6")
def test_callers_who_signal_with_start_at_once_share_one_run(site, key):
    workflow = site.on_queue("collects_for_ever", "default", workflow_id=key)
    barrier = threading.Barrier(4)

    def call(item):
        try:
            barrier.wait(10)
            return signal_with_start(workflow, "item", item, key=key, most=4).id
        finally:
            connections[site.alias].close()

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(call, "abcd"))
    first = WorkflowExecution.objects.using(site.alias).get(workflow_id=key, chain_id=None)
    assert first.id in found
    handle = signal_with_start(site.on_queue("counts_down", "default", workflow_id=f"{key}-other"), "item", n=0)
    assert handle.result(timeout=30) == ["counted", 0]
    assert sorted(wait_workflow(first, timeout=30)) == ["a", "b", "c", "d"]


def test_a_signal_with_a_start_is_both_or_neither(quiet_site, queue, key):
    site = quiet_site
    workflow = site.on_queue("collects_for_ever", queue, workflow_id=key)
    with transaction.atomic(site.alias):
        signal_with_start(workflow, "item", "a", key=key)
        transaction.set_rollback(True, site.alias)
    rows = WorkflowExecution.objects.using(site.alias).filter(workflow_id=key)
    assert not rows.exists()
    options = ["--workflow-id", key, "--input", json.dumps({"key": key}), "--signal", "item", "--signal-input", '"a"']
    killed = site.project.manage("durable_start", "collects_for_ever", *options, DURABLE_CRASH_AT="start-inside")
    assert (killed.returncode, rows.exists()) == (-signal.SIGKILL, False)
    killed = site.project.manage("durable_start", "collects_for_ever", *options, DURABLE_CRASH_AT="start-committed")
    assert killed.returncode == -signal.SIGKILL
    assert rows.get().mailbox.count() == 1
    assert asyncio.run(asignal_with_start(workflow, "item", "b", key=key)).id == rows.get().id
    assert rows.get().mailbox.count() == 2
    assert cancel_workflow(rows.get())


# From run to run


def test_a_run_signals_and_cancels_others(site, key):
    target = site.start(site.on_queue("collects_for_ever", "default", workflow_id=key), key=key, most=2)
    assert site.run("writes_to", to=str(target)) == ["a"]
    assert site.run("writes_to", workflow_id=key, items=["b"]) == ["b"]
    assert target.result(timeout=30) == ["a", "b"]
    assert site.run("writes_to", to=str(target)) == ["WorkflowClosed"]
    assert site.run("writes_to", workflow_id=key) == ["UnknownExecutionError"]
    other = site.start("waits_for_answer")
    assert site.run("stops_another", to=str(other)) == "asked"
    assert site.until_closed(other).error == "WorkflowCanceled: enough"


@pytest.mark.promise("P6")
def test_runs_of_two_workers_that_write_to_each_other_lose_nothing(quiet_site, key):
    site = quiet_site
    queues, names = [f"{key}-0", f"{key}-1"], [f"{key}-one", f"{key}-two"]
    with (
        site.project.worker("--queue-name", queues[0]),
        site.project.worker("--queue-name", queues[1]),
    ):
        handles = [
            site.start(site.on_queue("writes_back", queues[n], workflow_id=names[n]), peer_id=names[1 - n], first=not n)
            for n in range(2)
        ]
        site.until_waiting(handles[0], "signal")
        send_signal(handles[0], "begin")
        assert [handle.result(timeout=30) for handle in handles] == ["played", "played"]
    assert [site.history(handle).count("external_message_delivered") for handle in handles] == [5, 5]


@pytest.mark.promise("P6")
@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2"])
def test_a_signal_to_another_run_survives_a_death_at(point, quiet_site, queue, key):
    """Sent once, whether the sender's worker dies inside of the commit or behind it."""
    site = quiet_site
    target = site.start(site.on_queue("collects_for_ever", f"{queue}-theirs"), key=key, most=3)
    sender = site.start(site.on_queue("writes_to", queue), to=str(target), items=["a", "b"])
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert sender.result(timeout=30) == ["a", "b"]
    send_signal(target, "item", "c")
    with site.project.worker("--queue-name", f"{queue}-theirs", durable=impatient):
        assert target.result(timeout=30) == ["a", "b", "c"]
