"""Activities that are `async def`, through the real worker: side by side on one event loop."""

from __future__ import annotations

import signal

import pytest
from django.db import transaction

from django_durable import cancel_workflow, run_workflow
from tests.scenarios import ledger
from tests.waiting import wait_until

IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}


def test_more_async_activities_run_at_once_than_there_are_threads(site, key):
    handle = site.start("many_async", key=key, n=30)
    wait_until(lambda: len(ledger.effects(key)) == 30, "all of them to begin")
    ledger.open_gate(key)
    assert handle.result(timeout=30) == list(range(30))
    assert {task.attempt for task in site.tasks(handle)} == {1}


def test_async_activities_begin_while_all_threads_are_taken(site, key):
    """And the other way round: those that wait for a thread get it."""
    handle = site.start("mixes_kinds", key=key, n=15)
    wait_until(lambda: len(ledger.effects(f"{key}-async")) == 15, "the async ones")
    assert 1 <= len(ledger.effects(f"{key}-plain")) <= 10
    ledger.open_gate(f"{key}-async")
    ledger.open_gate(f"{key}-plain")
    assert handle.result(timeout=30) == list(range(15))
    assert len(ledger.effects(f"{key}-plain")) == 15


def test_rule_25_async_activities_use_the_orm_and_find_no_broken_connection(site):
    before, thread, after = site.run("uses_the_orm")
    row = ["RUNNING", 1, "own_row_async"]
    assert (before, thread, after) == (row, "durable-async", row)


def test_rule_16_sys_exit_in_an_async_activity_is_a_failed_attempt(site, key):
    assert site.run("tries", name="exits_async", args=[key]) == {"result": 3}


def test_rule_18_a_timed_out_async_activity_is_canceled_where_it_waits(site, key):
    policy = {"initial_interval": 0.01, "maximum_attempts": 2}
    error = site.run("tries", name="waits_async", args=[key], policy=policy, options={"start_to_close": 0.1})
    assert (error["class"], error["kind"], error["attempt"]) == ("ActivityTimeout", "start_to_close", 2)
    wait_until(lambda: len(ledger.effects(key)) == 4, "both to be left")
    assert sorted(line.partition(" ")[2] for line in ledger.effects(key)) == [
        "",
        "",
        "CancelledError",
        "CancelledError",
    ]


@pytest.mark.parametrize("heartbeats", [True, False])
def test_rule_19_cancellation_reaches_an_async_activity_where_it_waits(site, key, heartbeats):
    """It needs no heartbeat for that."""
    handle = site.start("waits_for_async", key=key, heartbeats=heartbeats)
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    assert cancel_workflow(handle)
    wait_until(lambda: len(ledger.effects(key)) == 2, "the activity to hear of it")
    assert ledger.effects(key)[1].partition(" ")[2] in ("CancelledError", "ActivityCanceled")
    wait_until(lambda: site.tasks(handle)[0].status == "CANCELED", "CANCELED")


def test_rule_30_sigterm_lets_async_activities_end(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("many_async", queue), key=key, n=5)
    with site.project.worker("--queue-name", queue) as worker:
        wait_until(lambda: len(ledger.effects(key)) == 5, "all of them to begin")
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        ledger.open_gate(key)
        assert worker.wait() == 0, worker.said
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == list(range(5))
    assert {task.attempt for task in site.tasks(handle)} == {1}


def test_rule_30_what_does_not_end_in_time_is_given_back_without_a_charge(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("many_async", queue), key=key, n=2)
    with site.project.worker("--queue-name", queue, "--drain-timeout", "0.1") as worker:
        wait_until(lambda: len(ledger.effects(key)) == 2, "both to begin")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.said
    ledger.open_gate(key)
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == [0, 1]
    assert {task.attempt for task in site.tasks(handle)} == {1}


@pytest.mark.parametrize("quiet_site_on", ["sqlite"], indirect=True)
def test_rule_30_a_thread_that_nothing_can_interrupt_does_not_keep_a_drained_worker(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("tries", queue), name="blocks_a_thread", args=[key])
    with site.project.worker("--queue-name", queue, "--drain-timeout", "0.2") as worker:
        wait_until(lambda: ledger.effects(key), "the thread to block")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert "exiting although threads have not ended that nothing can stop" in worker.said
    [task] = site.tasks(handle)
    assert (task.status, task.attempt) == ("QUEUED", 0)


def test_async_activities_are_run_again_when_their_worker_is_killed(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("dies_among_async", queue), key=key)
    with site.project.worker("--queue-name", queue, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    ledger.open_gate(key)
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        assert handle.result(timeout=30) == [0, 1, 2]
    assert len(ledger.effects(f"{key}-beside")) == 4


def test_run_workflow_runs_async_activities_here_too(quiet_site, key):
    ledger.open_gate(key)
    assert run_workflow("many_async", key=key, n=3) == [0, 1, 2]


def test_async_activities_see_the_transaction_that_run_workflow_is_called_in(quiet_site):
    site = quiet_site
    with transaction.atomic(using=site.alias):
        assert run_workflow("one_after_another", names=["own_row_async"]) == [["RUNNING", 1, "own_row_async"]]
