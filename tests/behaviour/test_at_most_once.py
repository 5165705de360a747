"""Activities that are never begun again: when they fail, when their worker dies, and when it has to stop."""

from __future__ import annotations

import signal

import pytest

from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.waiting import wait_until

ONCE = {"at_most_once": True}
IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}


def test_what_runs_at_most_once_is_not_retried(site, key):
    error = site.run("tries", name="fails_before", args=[key, 2], options=ONCE)
    assert (error["type_name"], error["attempt"]) == ("ConnectionError", 1)
    error = site.run("tries", name="spins", args=[f"{key}-late"], options={**ONCE, "start_to_close": 0.1})
    assert (error["class"], error["kind"], error["attempt"]) == ("ActivityTimeout", "start_to_close", 1)
    assert len(ledger.effects(key)) == len(ledger.effects(f"{key}-late")) == 1


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    ("point", "times"), [("decision-committed", 0), ("activity-returned", 1), ("decision-inside:2", 1)]
)
def test_a_death_over_what_runs_at_most_once_is_an_error_for_the_run(point, times, quiet_site, queue, key):
    """Before it began, in it, and when its outcome was about to be committed."""
    site = quiet_site
    handle = site.start(site.on_queue("tries", queue), name="effect", args=[key], options=ONCE)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        error = handle.result(timeout=30)
        assert_sound(site, handle)
    assert (error["class"], error["type_name"], error["attempt"]) == ("ActivityError", "WorkerDied", 1)
    assert "may have had its effect or not" in error["message"]
    assert len(ledger.effects(key)) == times


def test_a_worker_that_has_to_stop_does_not_give_back_what_runs_at_most_once(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("tries", queue), name="gated", args=[key], options=ONCE)
    with site.project.worker("--queue-name", queue, "--drain-timeout", "0.1") as first:
        wait_until(lambda: ledger.effects(key), "the activity to begin")
        first.process.send_signal(signal.SIGTERM)
        assert first.wait() == 0
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30)["type_name"] == "WorkerDied"
    assert len(ledger.effects(key)) == 1
