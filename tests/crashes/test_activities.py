"""Activities that end in every bad way there is: each is a failed attempt like any other."""

from __future__ import annotations

import pytest

from tests.crashes.proof import assert_sound, until_begun, until_up
from tests.scenarios import ledger
from tests.sites import FEW_PAIRS

PATIENT = {"HEARTBEAT_INTERVAL": 20, "WORKER_TIMEOUT": 60}


@pytest.mark.parametrize(
    ("how", "named"), [("sys.exit", "SystemExit"), ("KeyboardInterrupt",) * 2, ("BaseException",) * 2]
)
def test_exception_of_any_kind_is_a_failed_attempt(how, named, busy_site, key):
    site = busy_site
    handle = site.start("outlives", key=key, how=how)
    assert handle.result(timeout=30) == [named, 2]
    assert len(ledger.effects(key)) == 2
    assert len({line.split()[0] for line in ledger.effects(key)}) == 1  # the process lived on
    assert_sound(site, handle)


@pytest.mark.promise("P4")
@pytest.mark.parametrize("quiet_site_on", FEW_PAIRS, indirect=True)
def test_death_of_the_process_is_a_failed_attempt(quiet_site, queue, key):
    """Without Python being asked (os._exit), and by a fault in native code."""
    site = quiet_site
    options = ["--queue-name", queue, "--procs", "2"]
    with site.project.worker(*options, durable=PATIENT) as parent:
        for how in ("os._exit", "segfault"):
            handle = site.start(site.on_queue("outlives", queue), key=f"{key}-{how}", how=how)
            assert handle.result(timeout=30) == ["WorkerDied", 2]
            assert len({line.split()[0] for line in ledger.effects(f"{key}-{how}")}) == 2  # in two processes
            assert_sound(site, handle)
        assert "exited with 3" in parent.said
        assert "was killed by SIGSEGV" in parent.said
        assert site.run_on(queue, "marks", key=key) == 1


def test_overrun_is_interrupted_and_retried(busy_site, key):
    site = busy_site
    handle = site.start("limited", name="overruns", args=[key])
    assert handle.result(timeout=30) == ["ActivityTimeout", "start_to_close"]
    assert len(ledger.effects(key)) == 2
    assert len(until_begun(f"{key}-interrupted", 2)) == 2  # its code was left, by an exception
    assert_sound(site, handle)


def test_silence_is_a_failed_attempt_and_its_last_words_are_kept(busy_site, key):
    site = busy_site
    handle = site.start("limited", name="falls_silent", args=[key])
    assert handle.result(timeout=30) == {"at": 7}
    assert len(ledger.effects(key)) == 2
    ledger.open_gate(key)
    assert_sound(site, handle)


@pytest.mark.promise("P3")
@pytest.mark.parametrize("quiet_site_on", FEW_PAIRS, indirect=True)
def test_busy_worker_is_not_taken_for_dead(quiet_site, queue, key):
    """Three threads that never let go of Python for 3 s; a worker is dead after 1.5 s of silence."""
    site = quiet_site
    with site.project.worker("--queue-name", queue) as busy, site.project.worker("--queue-name", f"{queue}-o") as other:
        until_up(site, busy)
        row = until_up(site, other)
        handle = site.start(site.on_queue("busy_threads", queue), key=key, threads=3, seconds=3)
        assert handle.result(timeout=60) == [1, 1, 1]
        assert len(ledger.effects(key)) == 3
        assert "buried" not in other.said
        assert "declared dead" not in busy.said
        assert until_up(site, other).id == row.id
        assert_sound(site, handle)
