"""Workflows that are `async def`, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal

import pytest

from django_durable import WorkflowCanceled, WorkflowFailed, cancel_workflow, query_workflow, run_workflow, send_signal
from tests.scenarios import ledger
from tests.waiting import wait_until

COMPOSED = [[[0, 0], [1, -1], [2, -2]], "child", [0, 1, 2], "ActivityError"]


def test_coroutines_compose_steps_children_and_sleeps(site, key):
    handle = site.start("composes_async", key=key)
    assert handle.result(timeout=30) == COMPOSED
    history = site.execution(handle).history.filter(type="activity_scheduled")
    calls = set(history.values_list("call_id", flat=True))
    assert {"0.0", "0.1", "1.0", "1.2", "2.0", "2.2"} <= calls  # each task has ids of its own
    assert [len(ledger.effects(f"{key}-{n}-{part}")) for n in range(3) for part in "ab"] == [1] * 6


def test_time_limits_of_asyncio_are_durable_timers(site, key):
    assert site.run("races_async", key=key, patience=0.01) == ["timeout"]
    ledger.open_gate(key)


def test_select_takes_a_signal_before_an_activity_in_a_coroutine(site, key):
    handle = site.start("races_async", key=key, patience=60)
    site.until_waiting(handle, "several")
    send_signal(handle, "answer", 42)
    assert handle.result(timeout=30) == ["answer", 42]
    assert site.execution(handle).due_at is None
    ledger.open_gate(key)


def test_tasks_pass_messages_and_queries_see_them(site):
    handle = site.start("passes_messages", n=4)
    site.until_waiting(handle, "signal")
    for vote in range(3):
        send_signal(handle, "vote", vote)
    wait_until(lambda: query_workflow(handle, "seen") == [0, 1, 2], "three votes")
    send_signal(handle, "vote", 3)
    assert handle.result(timeout=30) == [0, 1, 2, 3]


def test_rule_20_a_graceful_cancel_lets_coroutines_clear_up(site, key):
    handle = site.start("clears_up_async", key=key)
    site.until_waiting(handle, "several")
    cancel_workflow(handle, reason="enough", graceful=True)
    with pytest.raises(WorkflowCanceled, match="enough"):
        handle.result(timeout=30)
    for who in ("0", "1", "sync", "main"):
        assert len(ledger.effects(f"{key}-{who}")) == 1, who


def test_what_a_coroutine_must_not_do_fails_the_run_with_a_word_about_it(site):
    with pytest.raises(WorkflowFailed, match=r"NotInWorkflow: .*the network.* in an activity"):
        site.run("asks_for_a_socket")


@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2", "activity-returned", "timer-committed"])
def test_coroutines_survive_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("composes_async", queue), key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        site.until_closed(handle)
        assert handle.result(timeout=30) == COMPOSED
    for name in ("0-a", "1-a", "2-a", "0-b", "1-b", "2-b"):
        assert len(ledger.effects(f"{key}-{name}")) in (1, 2), name


def test_run_workflow_drives_coroutines_too(quiet_site, key):
    assert run_workflow("composes_async", key=key) == COMPOSED
