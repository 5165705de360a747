"""What people do to runs, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connections, transaction

from django_durable import (
    DurableError,
    NotReopenable,
    UnknownExecutionError,
    WorkflowAlreadyStarted,
    WorkflowFailed,
    WorkflowTimeout,
    pause_workflow,
    resume_workflow,
    retry_workflow,
    send_signal,
    start_workflow,
    start_workflows,
)
from django_durable.models import WorkflowExecution
from durable_core.testing.contracts.base import Interrupted
from tests.scenarios import ledger
from tests.waiting import wait_until

# Retry


@pytest.mark.promise("P1")
def test_rule_9_a_failed_run_can_be_reopened_after_a_fix(site, key):
    handle = site.start("works_once_mended", key=key)
    with pytest.raises(WorkflowFailed, match="mend me"):
        handle.result(timeout=30)
    ledger.open_gate(key)
    retry_workflow(handle, reason="mended")
    assert handle.result(timeout=30) == key
    types = site.history(handle)
    end = types.index("workflow_failed")
    assert types[end + 1] == "workflow_reopened"
    assert types.count("activity_completed") == 3
    assert [len(ledger.effects(k)) for k in (f"{key}-before", key, f"{key}-after")] == [1, 2, 1]
    with pytest.raises(NotReopenable, match="COMPLETED"):
        retry_workflow(handle)


def test_rule_9_so_can_one_whose_code_was_mended(site, key):
    handle = site.start("raises_once", key=key)
    site.until(handle, "FAILED")
    ledger.open_gate(key)
    retry_workflow(handle)
    assert handle.result(timeout=30) == ["noted", "more"]
    assert len(ledger.effects(f"{key}-before")) == 1


def test_rule_9_and_one_that_timed_out_with_its_time_anew(site):
    handle = start_workflow(site.on_queue("waits_for_answer", "default"), timeout=0.2)
    with pytest.raises(WorkflowTimeout):
        handle.result(timeout=30)
    first = site.execution(handle)
    retry_workflow(handle)
    reopened = site.execution(handle)
    assert reopened.deadline > first.deadline
    assert reopened.status in ("RUNNING", "TIMED_OUT")
    assert site.until(handle, "TIMED_OUT")
    assert site.history(handle).count("workflow_timed_out") == 2


def test_rule_9_a_child_that_failed_is_reopened_with_its_parent(site, key):
    handle = site.start("waits_for_a_mended_child", key=key)
    site.until(handle, "FAILED")
    ledger.open_gate(key)
    retry_workflow(handle)
    assert handle.result(timeout=30) == key
    assert len(ledger.effects(f"{key}-before")) == 1


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["start-inside", "start-committed"])
def test_a_reopening_is_whole_or_has_not_happened(point, quiet_site, queue, key):
    site = quiet_site
    handle = start_workflow(site.on_queue("works_once_mended", queue), key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, durable=impatient):
        site.until(handle, "FAILED")
    ledger.open_gate(key)
    assert site.project.manage("durable_retry", str(handle), DURABLE_CRASH_AT=point).returncode == -signal.SIGKILL
    if point == "start-inside":
        assert site.execution(handle).status == "FAILED"
        retry_workflow(handle)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT="activity-returned", durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == key
    assert site.history(handle).count("workflow_reopened") == 1
    assert len(ledger.effects(f"{key}-before")) == 1


# Pause and resume


@pytest.mark.promise("P6")
def test_a_paused_run_decides_nothing_and_loses_nothing(site, key):
    handle = site.start("works_on_signals", key=key)
    site.until_waiting(handle, "signal")
    assert pause_workflow(handle, reason="look at it")
    send_signal(handle, "item", "a")
    other = site.run("echoes", value=1)  # the worker has gone round meanwhile
    assert other == 1
    paused = site.execution(handle)
    assert (paused.status, paused.pause_reason) == ("RUNNING", "look at it")
    assert paused.mailbox.count() == 1
    assert ledger.effects(f"{key}-a") == []
    assert resume_workflow(handle)
    send_signal(handle, "item", "b")
    assert handle.result(timeout=30) == ["a", "b"]
    assert [len(ledger.effects(f"{key}-{item}")) for item in "ab"] == [1, 1]


def test_an_activity_of_a_paused_run_ends_and_is_heard_of_later(site, key):
    handle = site.start("gates", key=key)
    site.until_waiting(handle, "activity")
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    pause_workflow(handle)
    ledger.open_gate(key)
    wait_until(lambda: site.tasks(handle)[0].status == "COMPLETED", "the activity to end")
    assert site.execution(handle).status == "RUNNING"
    resume_workflow(handle)
    assert handle.result(timeout=30) == "through"
    assert len(ledger.effects(key)) == 1


def test_a_paused_run_times_out(quiet_site, queue):
    site = quiet_site
    handle = start_workflow(site.on_queue("waits_for_answer", queue, timeout=0.5))
    pause_workflow(handle)
    with site.project.worker("--queue-name", queue), pytest.raises(WorkflowTimeout):
        handle.result(timeout=30)
    assert site.history(handle) == ["workflow_started", "workflow_timed_out"]


@pytest.mark.promise("P1", "P6")
def test_a_pause_survives_a_death_and_so_does_what_came_in(quiet_site, queue, key):
    site = quiet_site
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    handle = start_workflow(site.on_queue("works_on_signals", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT="decision-inside:2", durable=impatient) as doomed:
        site.until_waiting(handle, "signal")
        pause_workflow(handle)
        send_signal(handle, "item", "a")
        resume_workflow(handle)
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    assert pause_workflow(handle)
    send_signal(handle, "item", "b")
    with site.project.worker("--queue-name", queue, durable=impatient):
        site.run_on(queue, "echoes", value=1)
        assert ledger.effects(f"{key}-b") == []
        resume_workflow(handle)
        assert handle.result(timeout=30) == ["a", "b"]


# Start


@pytest.mark.promise("P1")
def test_many_runs_are_started_at_once_or_not_at_all(site):
    with transaction.atomic(site.alias):
        handles = start_workflows([("echoes", {"value": n}) for n in range(20)])
        with pytest.raises(DurableError, match="still open"):
            handles[7].result(timeout=1)
    assert [handle.result(timeout=30) for handle in handles] == list(range(20))
    with suppress(Interrupted), transaction.atomic(site.alias):
        lost = start_workflows([("echoes", {"value": n}) for n in range(3)])
        raise Interrupted
    for handle in lost:
        with pytest.raises(UnknownExecutionError):
            handle.result(timeout=0)


@pytest.mark.promise("P2", "P7")
@pytest.mark.parametrize(("policy", "winners"), [("fail", 1), ("use_existing", 6), ("terminate_existing", 6)])
def test_rule_p2_starts_with_one_workflow_id_that_race_leave_one_open(quiet_site, queue, key, policy, winners):
    site = quiet_site
    workflow = site.on_queue("waits_for_answer", queue, workflow_id=key, id_conflict_policy=policy)

    def start(_):
        try:
            return start_workflow(workflow).id
        except WorkflowAlreadyStarted:
            return None
        finally:
            connections[site.alias].close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(start, range(6)))
    assert sum(answer is not None for answer in answers) == winners
    rows = WorkflowExecution.objects.using(site.alias).filter(workflow_id=key)
    statuses = sorted(rows.values_list("status", flat=True))
    assert statuses.count("PENDING") == 1
    assert len(statuses) == (6 if policy == "terminate_existing" else 1)


def test_rule_23_a_workflow_id_is_used_once_where_duplicates_are_rejected(site, key):
    workflow = site.on_queue("echoes", "default", workflow_id=key, id_reuse_policy="reject_duplicate")
    assert start_workflow(workflow, value=1).result(timeout=30) == 1
    with pytest.raises(WorkflowAlreadyStarted, match="has been used"):
        start_workflow(workflow, value=1)
