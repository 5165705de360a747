"""Local activities through the real worker: their history, a death over them, and one that kills every worker."""

from __future__ import annotations

import signal

import pytest

from tests.crashes.proof import assert_sound
from tests.scenarios import ledger

IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
RESULT = ["a", 3, ["ValueError", "for good", 1], "c"]


def test_local_activities_leave_one_event_each_and_no_task(site, key):
    handle = site.start("adds_up_here", key=key)
    assert handle.result(timeout=30) == RESULT
    assert [len(ledger.effects(f"{key}-{n}")) for n in (1, 2, 3)] == [1, 3, 1]
    assert [task.activity_name for task in site.tasks(handle)] == ["effect"]
    assert site.history(handle) == [
        "workflow_started",
        "local_activity_completed",
        "local_activity_completed",
        "local_activity_failed",
        "activity_scheduled",
        "activity_completed",
        "workflow_completed",
    ]
    assert_sound(site, handle)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["activity-returned", "decision-inside:2", "decision-committed:2"])
def test_a_local_activity_is_done_again_when_its_worker_died_before_its_outcome_was_committed(
    point, quiet_site, queue, key
):
    site = quiet_site
    handle = site.start(site.on_queue("adds_up_here", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        assert handle.result(timeout=30) == RESULT
        assert_sound(site, handle)
    assert len(ledger.effects(f"{key}-1")) == (1 if point == "decision-committed:2" else 2)
    assert site.history(handle).count("local_activity_completed") == 2


@pytest.mark.parametrize("quiet_site_on", ["sqlite"], indirect=True)
def test_a_local_activity_that_kills_its_workers_blocks_its_run(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue, "--procs", "2"):
        once = site.start(site.on_queue("dies_here", queue), key=f"{key}-once")
        assert once.result(timeout=30) == 1
        assert len(ledger.effects(f"{key}-once")) == 2
        handle = site.start(site.on_queue("dies_here", queue), key=key, always=True)
        blocked = site.until(handle, "BLOCKED")
    assert blocked.error.startswith("WorkerDied: 3 workers died")
    assert len(ledger.effects(key)) == 3
