"""Rules 20 to 22 of semantics.md: cancellation, and children."""

from __future__ import annotations

import pytest
from django.db import transaction

from django_durable import WorkflowCanceled, cancel_workflow, send_signal
from tests.scenarios import ledger
from tests.waiting import wait_until


def busy_run(site, key, elsewhere):
    handle = site.start("busy", key=key, elsewhere=elsewhere)
    site.until_waiting(handle, "signal")
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    wait_until(lambda: [task for task in site.tasks(handle) if task.retry_at], "the backoff")
    return handle


def child_of(site, handle):
    return wait_until(site.execution(handle).children.first, "the child")


def statuses(site, handle):
    return {task.activity_name: task.status for task in site.tasks(handle)}


# 20: at once


def test_rule_20_a_canceled_run_is_canceled_when_the_call_returns(site, key, queue):
    handle = busy_run(site, key, queue)
    assert cancel_workflow(handle, reason="enough") is True
    execution = site.execution(handle)
    assert (execution.status, execution.error) == ("CANCELED", "WorkflowCanceled: enough")
    assert site.history(handle)[-1] == "workflow_canceled"
    with pytest.raises(WorkflowCanceled) as canceled:
        handle.result(timeout=0)
    assert canceled.value.reason == "enough"
    assert cancel_workflow(handle) is False


def test_rule_20_cancel_needs_no_worker(quiet_site, queue):
    handle = quiet_site.start(quiet_site.on_queue("returns", queue))
    assert cancel_workflow(handle) is True
    assert quiet_site.execution(handle).status == "CANCELED"
    assert quiet_site.history(handle) == ["workflow_started", "workflow_canceled"]


def test_rule_20_queued_activities_fail_and_running_ones_are_told(site, key, queue):
    handle = busy_run(site, key, queue)
    cancel_workflow(handle)
    found = statuses(site, handle)
    assert found["effect"] == "FAILED"
    assert found["fails"] == "FAILED"  # in backoff
    wait_until(lambda: len(ledger.effects(key)) == 2, "the running activity to hear of it")
    assert ledger.effects(f"{key}-queued") == []


def test_rule_20_keep_queued_lets_queued_activities_run(site, key, queue):
    handle = busy_run(site, key, queue)
    cancel_workflow(handle, keep_queued=True)
    assert statuses(site, handle)["effect"] == "QUEUED"
    with site.project.worker("--queue-name", queue):
        wait_until(lambda: ledger.effects(f"{key}-queued"), "the kept activity to run")
        wait_until(lambda: statuses(site, handle)["effect"] == "COMPLETED", "its outcome")
    assert site.history(handle)[-1] == "workflow_canceled"


def test_rule_20_a_blocked_run_can_be_canceled(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("swapped", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        site.until_waiting(handle, "signal")
    send_signal(handle, "go")
    with site.project.worker("--queue-name", queue):
        site.until(handle, "BLOCKED")
        assert cancel_workflow(handle) is True
    assert site.execution(handle).status == "CANCELED"


# 20: gracefully


def test_rule_20_graceful_raises_once_in_the_code_which_may_clean_up(site, key):
    handle = site.start("cleans_up", key=key)
    site.until_waiting(handle, "signal")
    assert cancel_workflow(handle, reason="please", graceful=True) is True
    with pytest.raises(WorkflowCanceled) as canceled:
        handle.result(timeout=30)
    assert canceled.value.reason == "please"
    assert [line.split()[-1] for line in ledger.effects(f"{key}-cleanup")] == ["please"]
    assert site.history(handle)[-5:] == [
        "activity_scheduled",
        "activity_completed",
        "timer_started",
        "timer_fired",
        "workflow_canceled",
    ]


def test_rule_20_code_that_catches_a_graceful_cancel_and_returns_is_canceled_too(site, key):
    handle = site.start("cleans_up", key=key, then="return")
    site.until_waiting(handle, "signal")
    cancel_workflow(handle, graceful=True)
    assert site.until(handle, "CANCELED").result is None


def test_rule_20_code_that_fails_while_it_cleans_up_has_failed(site, key):
    handle = site.start("cleans_up", key=key, then="fail")
    site.until_waiting(handle, "signal")
    cancel_workflow(handle, graceful=True)
    assert site.until(handle, "FAILED").error == "ValueError: while cleaning up"


def test_rule_20_a_cancel_inside_a_shield_is_raised_at_its_end(site, key):
    handle = site.start("shielded", key=key)
    wait_until(lambda: ledger.effects(key), "the shielded activity to begin")
    cancel_workflow(handle, graceful=True)
    wait_until(lambda: "workflow_cancel_requested" in site.history(handle), "the request to be seen")
    assert ledger.effects(f"{key}-inside") == []
    ledger.open_gate(key)
    site.until(handle, "CANCELED")
    assert len(ledger.effects(f"{key}-inside")) == 1
    assert ledger.effects(f"{key}-outside") == []


def test_rule_20_a_graceful_cancel_may_be_overtaken_by_one_at_once(site, key):
    handle = site.start("shielded", key=key)
    wait_until(lambda: ledger.effects(key), "the shielded activity to begin")
    cancel_workflow(handle, graceful=True)
    assert cancel_workflow(handle, reason="now") is True
    assert site.execution(handle).status == "CANCELED"
    ledger.open_gate(key)


# 20: children


@pytest.mark.parametrize("graceful", [False, True])
def test_rule_20_children_are_canceled_with_their_parent(site, graceful):
    handle = site.start("parent", child="parent", given={"child": "waits_for_answer"})
    grandchild = wait_until(lambda: _grandchild(site, handle), "the grandchild")
    site.until_waiting(grandchild, "signal")
    assert cancel_workflow(handle, graceful=graceful)
    for execution in (handle.id, grandchild.parent_id, grandchild.id):
        site.until(execution, "CANCELED")


def test_rule_20_children_are_canceled_when_their_parent_times_out(site):
    handle = site.start("parent", child="waits_for_answer", timeout=0.3)
    child = child_of(site, handle)
    site.until(handle, "TIMED_OUT")
    assert "parent" in site.until(child.id, "CANCELED").error


def test_rule_20_a_child_may_be_told_to_outlive_its_parent(site):
    handle = site.start("parent", child="waits_for_answer", options={"cancel_with_parent": False})
    child = child_of(site, handle)
    site.until_waiting(child.id, "signal")
    cancel_workflow(handle)
    send_signal(child.id, "answer", 1)
    assert site.until(child.id, "COMPLETED").result == ["answer", 1]


def _grandchild(site, handle):
    child = site.execution(handle).children.first()
    return child and child.children.first()


# 21: cancel and readiness in one step


@pytest.mark.parametrize("first", ["signal", "cancel"])
def test_rule_21_a_cancel_is_never_lost_and_once_caught_not_raised_again(site, key, first):
    """Both arrive in one transaction, so the run sees them in one step."""
    handle = site.start("cleans_up", key=key)
    site.until_waiting(handle, "signal")
    send = [lambda: send_signal(handle, "go"), lambda: cancel_workflow(handle, graceful=True)]
    with transaction.atomic(using=site.alias):
        for act in send if first == "signal" else reversed(send):
            act()
    site.until(handle, "CANCELED")
    assert len(ledger.effects(f"{key}-cleanup")) == 1
    assert {"signal_received", "workflow_cancel_requested"} <= set(site.history(handle))


def test_rule_21_a_second_request_is_read_and_leads_to_nothing(site, key):
    handle = site.start("shielded", key=key)
    wait_until(lambda: ledger.effects(key), "the shielded activity to begin")
    for _ in range(2):
        cancel_workflow(handle, graceful=True)
        # Unread, it would wake the run again and again.
        wait_until(lambda: not site.execution(handle).mailbox.exists(), "the request to be read")
    assert site.history(handle).count("workflow_cancel_requested") == 1
    ledger.open_gate(key)
    site.until(handle, "CANCELED")


def test_rule_21_a_cancel_before_the_run_began_is_raised_at_its_first_wait(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("cleans_up", queue), key=key)
    cancel_workflow(handle, graceful=True)
    with site.project.worker("--queue-name", queue):
        site.until(handle, "CANCELED")
    assert len(ledger.effects(f"{key}-cleanup")) == 1


# 22: children that are quicker than their parent


def test_rule_22_a_child_that_closed_before_its_parent_waits_delivers_all_the_same(site):
    handle = site.start("late_parent")
    child = child_of(site, handle)
    site.until(child.id, "COMPLETED")
    wait_until(lambda: "child_workflow_completed" in site.history(handle), "its result")
    send_signal(handle, "go")
    assert handle.result(timeout=30) == [7, 7]


@pytest.mark.parametrize(
    ("child", "given", "options", "raised"),
    [
        ("raises", {}, {}, "WorkflowFailed"),
        ("sleeps", {"seconds": 60}, {"timeout": 0.05}, "WorkflowTimeout"),
    ],
)
def test_rule_22_how_a_child_ended_is_raised_in_its_parent(site, child, given, options, raised):
    handle = site.start("parent", child=child, given=given, options=options)
    told = handle.result(timeout=30)
    assert told["class"] == raised
    assert told["id"] == str(site.execution(handle).children.get().id)
    assert ("ValueError: boom" in told["message"]) == (child == "raises")


def test_rule_22_a_canceled_child_does_not_cancel_its_parent(site):
    handle = site.start("parent", child="waits_for_answer")
    child = child_of(site, handle)
    cancel_workflow(child)
    assert handle.result(timeout=30)["class"] == "ChildCanceled"
