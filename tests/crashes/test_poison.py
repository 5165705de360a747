"""Work that kills its worker, or never lets go of it, is given up; the others go on."""

from __future__ import annotations

import pytest

from tests.crashes.proof import assert_sound, until_up
from tests.scenarios import ledger
from tests.sites import FEW_PAIRS
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("quiet_site_on", FEW_PAIRS, indirect=True)

# Only the parent's word about a dead child counts here, and that comes at once.
PATIENT = {"HEARTBEAT_INTERVAL": 20, "WORKER_TIMEOUT": 60, "MAX_CRASHES": 3}


def test_activity_that_kills_its_worker_fails_for_good(quiet_site, queue, key):
    site = quiet_site
    neighbours = [site.start(site.on_queue("hurries", queue), seconds=0.5 + 0.1 * n) for n in range(3)]
    poisoned = site.start(site.on_queue("poisoned", queue), key=key)
    with site.project.worker("--queue-name", queue, "--procs", "2", durable=PATIENT) as parent:
        assert poisoned.result(timeout=30) == "WorkerDied"  # its workflow was woken, and could deal with it
        assert "killed by SIGKILL" in parent.said
        for neighbour in neighbours:  # the first death is blamed on all that were there, the last only on the culprit
            assert 0.5 <= neighbour.result(timeout=30) < 1
            assert_sound(site, neighbour)
        assert_sound(site, poisoned)
    assert len(ledger.effects(key)) == PATIENT["MAX_CRASHES"]
    [task] = site.tasks(poisoned)
    assert (task.status, task.crashes) == ("FAILED", PATIENT["MAX_CRASHES"])
    assert "MAX_CRASHES is 3" in task.error


def test_code_that_kills_its_worker_blocks_the_run_until_it_is_mended(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue, "--procs", "2", durable=PATIENT) as parent:
        poisoned = site.start(site.on_queue("kills_in_code", queue), key=key)
        neighbour = site.start(site.on_queue("holds_one", queue), key=f"{key}-neighbour")
        site.until_waiting(poisoned, "signal")
        poisoned.signal("word")
        blocked = site.until(poisoned, "BLOCKED")
        deaths = len(ledger.effects(key))
        # A wake-up beside a claimed one is kept, so that both processes may have had it at the last.
        assert deaths in (3, 4)
        assert blocked.error.startswith(f"WorkerDied: {deaths} workers died while they ran this workflow's code")
        assert "durable_retry" in blocked.error
        assert (blocked.failures, blocked.due_at) == (1, None)  # it is not tried again by itself
        assert site.run_on(queue, "marks", key=f"{key}-new") == 1
        ledger.open_gate(f"{key}-neighbour")
        assert neighbour.result(timeout=30) >= 1
        assert parent.process.poll() is None
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="3"):
        retried = site.project.manage("durable_retry", str(poisoned))
        assert retried.returncode == 0, retried.stderr
        assert poisoned.result(timeout=30) == "mended"
        assert_sound(site, poisoned, replay="none")  # this process has the code that kills
    assert len(ledger.effects(f"{key}-before")) == 1


def test_code_that_never_yields_blocks_its_run_and_not_its_worker(quiet_site, queue, key):
    site = quiet_site
    settings = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5, "WORKFLOW_CODE_TIMEOUT": 0.5}
    with site.project.worker("--queue-name", queue, durable=settings) as worker:
        until_up(site, worker)
        stuck = site.start(site.on_queue("never_yields", queue), key=key)
        blocked = site.until(stuck, "BLOCKED")
        assert "ran for too long without a ctx call" in blocked.error
        assert "crash_workflows.py" in blocked.error
        length = blocked.history_length
        assert site.run_on(queue, "marks", key=f"{key}-new") == 1
        wait_until(lambda: site.execution(stuck).failures >= 2, "it to be tried again by itself")
        assert site.execution(stuck).history_length == length  # nothing is written
        assert site.execution(stuck).status == "BLOCKED"
        assert worker.process.poll() is None
        assert worker.stop() == 0
    assert site.project.manage("durable_retry", str(stuck)).returncode == 0
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="3"):
        assert stuck.result(timeout=30) == "mended"
        assert_sound(site, stuck, replay="none")  # this process has the code that never yields
    assert len(ledger.effects(f"{key}-before")) == 1
