"""Several things at once, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from django_durable import WorkflowCanceled, cancel_workflow, send_signal
from tests.scenarios import ledger
from tests.waiting import wait_until


def test_gather_waits_for_all_and_keeps_the_order_of_its_arguments(site, key):
    handle = site.start("gathers", key=key)
    wait_until(lambda: site.history(handle).count("activity_completed") == 3, "the quick ones")
    assert site.until_waiting(handle, "several").waiting_for["what"].startswith("all of activity gated, child echoes")
    ledger.open_gate(f"{key}-slow")
    assert handle.result(timeout=30) == ["slow", "child", 0, 1, 2]


def test_gather_raises_the_first_failure_when_all_are_done(site):
    assert site.run("gathers_failures") == ["first", "ActivityError", "int", "ActivityError"]


def test_select_takes_a_signal_before_an_activity(site, key):
    handle = site.start("selects", key=key, patience=60)
    send_signal(handle, "answer", {"yes": True})
    assert handle.result(timeout=30) == ["answer", {"yes": True}]
    ledger.open_gate(key)


def test_select_takes_an_activity_before_a_signal(site, key):
    ledger.open_gate(key)
    assert site.run("selects", key=key, patience=60) == ["done", "done"]


def test_select_may_time_out(site, key):
    assert site.run("selects", key=key, patience=0.01) == ["timeout"]
    ledger.open_gate(key)


def test_select_takes_signals_in_the_order_in_which_they_were_sent(site):
    handle = site.start("selects_in_turn", n=6)
    sent: list[list[Any]] = [["a", 0], ["b", 1], ["b", 2], ["a", 3], ["b", 4], ["a", 5]]
    for name, number in sent:
        send_signal(handle, name, number)
    assert handle.result(timeout=30) == sent


def test_branches_have_steps_of_their_own(site, key):
    handle = site.start("branches", key=key)
    assert handle.result(timeout=30) == [[0, 0], "one", [2, -2]]
    scheduled = site.execution(handle).history.filter(type="activity_scheduled").values_list("call_id", flat=True)
    assert set(scheduled) == {"0.0", "1.0", "2.0", "0.2", "2.2"}


def mapped(n):
    return [list(range(n)), ["a", "b"], [[number, -number] for number in range(n)]]


def test_map_calls_activities_children_and_functions_for_each_item(site, key):
    handle = site.start("maps", key=key)
    assert handle.result(timeout=30) == mapped(6)
    scheduled = site.execution(handle).history.filter(type="activity_scheduled").values_list("call_id", flat=True)
    assert set(scheduled) == {*[f"0.{n}" for n in range(6)], *[f"2.{n}.0" for n in range(6)]}


def test_map_is_done_when_enough_have_succeeded(site, key):
    handle = site.start("asks_for_a_quorum", key=key)
    for number in (3, 1):
        ledger.note(f"{key}-{number}", "yes")
    assert handle.result(timeout=30) == [
        [f"{key}-1", f"{key}-3"],
        ["CANCELED", "SUCCEEDED", "CANCELED", "SUCCEEDED", "CANCELED"],
    ]


def test_map_is_done_when_too_many_have_failed(site, key):
    handle = site.start("asks_for_a_quorum", key=key)
    for number in (2, 0):
        ledger.note(f"{key}-{number}", "no")
    assert handle.result(timeout=30) == [[], ["FAILED", "CANCELED", "FAILED", "CANCELED", "CANCELED"]]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["decision-inside:3", "activity-returned:3"])
def test_a_map_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("maps", queue), key=key, n=3)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == mapped(3)


def test_wait_until_looks_at_what_branches_have_done(site):
    handle = site.start("counts_votes", needed=3)
    for number in range(3):
        send_signal(handle, "vote", number)
    assert handle.result(timeout=30) == [0, 1, 2]


def test_wait_until_may_time_out(site):
    handle = site.start("counts_votes", needed=3, patience=0.05)
    message, votes = handle.result(timeout=30)
    assert (message, votes) == ("the condition of ctx.wait_until() did not hold within 0.05 s", 0)


def test_a_canceled_timer_never_fires(site, key):
    handle = site.start("reminds", key=key)
    send_signal(handle, "answer", 42)
    assert handle.result(timeout=30) == ["answer", 42, True, False]
    history = site.history(handle)
    assert (history.count("timer_canceled"), history.count("timer_fired")) == (1, 0)
    assert site.execution(handle).due_at is None


def test_a_graceful_cancel_lets_all_branches_clear_up(site, key):
    handle = site.start("clears_up_in_branches", key=key)
    site.until_waiting(handle, "several")
    cancel_workflow(handle, reason="enough", graceful=True)
    with pytest.raises(WorkflowCanceled):
        handle.result(timeout=30)
    assert [ledger.effects(f"{key}-{number}")[0].partition(" ")[2] for number in range(3)] == ["enough"] * 3


@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2", "activity-returned", "timer-committed"])
def test_branches_survive_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("branches", queue), key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == [[0, 0], "one", [2, -2]]
    for name in ("0-a", "1-a", "2-a", "0-b", "2-b"):
        assert len(ledger.effects(f"{key}-{name}")) in (1, 2), name
