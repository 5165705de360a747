"""The table "Probe results" of the research: what the reference and others got wrong, one test for each row.

Rows that are rules too are tested under the rule's name as well; here is the scenario of the probe itself.
"""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from django_durable import WorkflowClosed, send_signal, start_workflow
from tests.scenarios import ledger
from tests.waiting import wait_until


def test_probe_workflow_returns_none(site):
    handle = site.start("returns")
    assert handle.result(timeout=30) is None
    assert handle.status == "COMPLETED"


def test_probe_terminal_activity_failure_wakes_workflow(site):
    assert site.run("tries", name="fails")["type_name"] == "ValueError"


def test_probe_unserialisable_activity_result(site, key):
    assert site.run("tries", name="unserialisable", args=[key])["type_name"] == "PayloadError"
    assert len(ledger.effects(key)) == 1


def test_probe_unserialisable_workflow_result(site):
    assert site.until(site.start("returns_bad", what="set"), "FAILED").error.startswith("PayloadError")
    assert site.run("echoes", value="the worker lives") == "the worker lives"


def test_probe_except_exception_swallows_no_suspend(site, key):
    """Nor does a bare except; and finally does not run before its time."""
    handle = site.start("careless", key=key)
    site.until_waiting(handle, "signal")
    send_signal(handle, "go", 1)
    assert handle.result(timeout=30) == [7, 1, ["finally"]]
    assert len(ledger.effects(key)) == 1
    assert site.history(handle).count("workflow_completed") == 1


def test_probe_patched_on_an_in_flight_run_repeats_nothing(quiet_site, queue, key):
    site = quiet_site
    handle = start_workflow(site.on_queue("patched_once", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        site.until_waiting(handle, "signal")
    send_signal(handle, "go")
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="2"):
        assert handle.result(timeout=30) == ["old"]
    assert len(ledger.effects(f"{key}-old")) == 1
    assert ledger.effects(f"{key}-new") == []


def test_probe_reordered_commands_are_detected_and_a_bad_deploy_fails_no_run(quiet_site, queue, key):
    """The reference ran the activity again, and completed."""
    site = quiet_site
    handle = start_workflow(site.on_queue("signal_swapped", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        site.until_waiting(handle, "signal")
    send_signal(handle, "first")
    with site.project.worker("--queue-name", queue):
        assert "NondeterminismError" in site.until(handle, "BLOCKED").error
    send_signal(handle, "go")
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        assert handle.result(timeout=30) == "code 1"
    assert len(ledger.effects(key)) == 1


@pytest.mark.promise("P3")
def test_probe_a_zombies_second_completion_is_refused(site, key):
    options = {"heartbeat_timeout": 0.2}
    handle = site.start(
        "tries", name="outlives_its_limit", args=[key], policy={"initial_interval": 0.01}, options=options
    )
    wait_until(lambda: any(" 2 begun" in line for line in ledger.effects(key)), "the second attempt")
    ledger.open_gate(f"{key}-2")
    assert handle.result(timeout=30) == {"result": "current"}
    ledger.open_gate(f"{key}-1")
    [task] = site.tasks(handle)
    wait_until(lambda: f"{task.id} came too late" in site.up.said, "its refusal")
    assert site.history(handle).count("activity_completed") == 1
    [task] = site.tasks(handle)
    assert (task.status, task.attempt, task.result) == ("COMPLETED", 2, "current")


@pytest.mark.promise("P6")
def test_probe_late_signal_to_a_closed_run(site):
    handle = site.start("returns")
    handle.result(timeout=30)
    stale = handle.execution
    with pytest.raises(WorkflowClosed):
        send_signal(stale, "late")
    assert handle.status == "COMPLETED"


def test_probe_timeout_is_not_decided_by_the_wall_clock(site, key):
    handle = site.start("late_activity", key=key, patience=0.05)
    site.until_waiting(handle, "signal")
    ledger.open_gate(key)
    wait_until(lambda: "activity_completed" in site.history(handle), "the late outcome")
    send_signal(handle, "go")
    assert handle.result(timeout=30)[0] == "timeout"


def test_probe_expired_and_retryable_activity_times_out(site):
    policy = {"initial_interval": 0.02, "backoff_coefficient": 1}
    handle = site.start("tries", name="fails", policy=policy, options={"timeout": 0.15})
    assert handle.result(timeout=30)["kind"] == "schedule_to_close"
    assert site.tasks(handle)[0].status == "TIMED_OUT"


def test_probe_running_task_of_a_dead_worker_is_run_again(quiet_site, queue, key):
    site = quiet_site
    handle = start_workflow(site.on_queue("echo_gated", queue), key=key)
    with site.project.worker("--queue-name", queue) as first, site.project.worker("--queue-name", queue) as second:
        wait_until(lambda: ledger.effects(key), "the activity to begin")
        pid = int(ledger.effects(key)[0].split()[0])
        (first if first.pid == pid else second).kill()
        wait_until(lambda: len(ledger.effects(key)) == 2, "the second attempt")
        ledger.open_gate(key)
        assert handle.result(timeout=30) == 1
    assert [line.split()[-1] for line in ledger.effects(key)] == ["1", "2"]


def test_probe_two_failures_side_by_side_are_no_mismatch(site):
    assert site.run("two_failures") == ["one", "two"]


def test_probe_side_effect_value_is_stable(site, key):
    handle = site.start("same_values", key=key)
    send_signal(handle, "go")
    assert handle.result(timeout=30)[0] == [1, {"2": "x", "null": []}]
    assert len({line.partition(" ")[2] for line in ledger.effects(key)}) == 1


def test_probe_sql_for_30_activities(quiet_site, queue):
    """The reference took 1,328 statements."""
    site = quiet_site
    handle = start_workflow(site.on_queue("sequence", queue), n=30)
    with CaptureQueriesContext(connections[site.alias]) as queries:
        call_command("durable_worker", "--queue-name", queue, "--until-idle", verbosity=0)
    assert handle.result(timeout=0) == sum(range(30))
    assert len(queries) < 350
