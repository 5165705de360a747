"""What people do to runs, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal

import pytest

from django_durable import (
    NotReopenable,
    WorkflowFailed,
    WorkflowTimeout,
    retry_workflow,
    start_workflow,
)
from tests.scenarios import ledger

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
