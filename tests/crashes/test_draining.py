"""SIGTERM: nothing more is claimed, what runs may end, the rest is given back without being charged."""

from __future__ import annotations

import signal
import time

from tests.crashes.proof import assert_sound, until_begun, until_up
from tests.scenarios import ledger
from tests.waiting import wait_until


def test_idle_worker_exits_at_once(quiet_site, queue):
    with quiet_site.project.worker("--queue-name", queue, "--tick", "60") as worker:
        row = until_up(quiet_site, worker)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0  # long before it would have looked around again
    assert not type(row).objects.using(quiet_site.alias).filter(pk=row.pk).exists()


def test_busy_worker_lets_its_activity_end(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("holds", queue), key=key)
    with site.project.worker("--queue-name", queue) as worker:
        until_begun(key)
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        too_late = site.start(site.on_queue("marks", queue), key=f"{key}-late")
        ledger.open_gate(key)
        assert worker.wait() == 0
    assert site.execution(too_late).status == "PENDING"  # not claimed
    held, after = site.tasks(handle)
    assert (held.status, held.attempt) == ("COMPLETED", 1)
    assert "activity_completed" in site.history(handle)  # its run went on, to what is left for others
    assert (after.status, after.attempt) == ("QUEUED", 0)
    assert not ledger.effects(f"{key}-after")
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == 1
        assert too_late.result(timeout=30) == 1
        assert_sound(site, handle)
    assert len(ledger.effects(key)) == 1


def test_what_does_not_end_in_time_is_given_back_uncharged(quiet_site, queue, key):
    site = quiet_site
    crowd = ["--queue-name", queue, "--threads", "1"]
    handle = site.start(site.on_queue("holds", queue), key=key)
    with site.project.worker(*crowd, "--drain-timeout", "0.5") as worker:
        until_begun(key)
        waiting = site.start(site.on_queue("holds", queue), key=f"{key}-waiting")  # there is no slot for this one
        site.until_waiting(waiting, "activity")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    [task], [never_begun] = site.tasks(handle), site.tasks(waiting)
    assert (task.status, task.attempt) == ("QUEUED", 0)
    assert (never_begun.status, never_begun.attempt) == ("QUEUED", 0)
    ledger.open_gate(key)
    ledger.open_gate(f"{key}-waiting")
    with site.project.worker(*crowd):
        assert handle.result(timeout=30) == 1
        assert waiting.result(timeout=30) == 1
        assert_sound(site, handle)
        assert_sound(site, waiting)
    assert [line.partition(" ")[2] for line in ledger.effects(key)] == ["attempt 1", "attempt 1"]
    assert len(ledger.effects(f"{key}-waiting")) == 1


def test_second_sigterm_forces(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("holds", queue), key=key)
    with site.project.worker("--queue-name", queue, "--drain-timeout", "60") as worker:
        until_begun(key)
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0  # long before it would have given up by itself
    [task] = site.tasks(handle)
    assert (task.status, task.attempt) == ("QUEUED", 0)
    ledger.open_gate(key)
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == 1


def test_draining_worker_gives_back_its_claims_at_once(quiet_site, queue, key):
    """Runs that it has in memory go on elsewhere as soon as it has left, not when a lease is over."""
    site = quiet_site
    handle = site.start(site.on_queue("everything", queue), key=key)
    with site.project.worker("--queue-name", queue) as first:
        site.until_waiting(handle, "signal")
        assert first.stop() == 0
    with site.project.worker("--queue-name", queue):
        handle.signal("word", "signaled")
        began = time.monotonic()
        assert handle.result(timeout=30)[3] == "signaled"
        assert time.monotonic() - began < 10
