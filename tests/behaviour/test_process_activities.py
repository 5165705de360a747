"""Activities in processes of their own, through the real worker: killed at their limits, and gone with their worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from django_durable import cancel_workflow, complete_activity, read_stream
from tests.scenarios import ledger
from tests.waiting import wait_until

on_sqlite = pytest.mark.parametrize("site_with_worker", ["sqlite-cached"], indirect=True)
on_both = pytest.mark.parametrize("site_with_worker", ["sqlite-cached", "postgres-replayed"], indirect=True)
quiet_on_sqlite = pytest.mark.parametrize("quiet_site_on", ["sqlite"], indirect=True)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def pids(key: str, place: int = 0) -> list[int]:
    return [int(line.split()[place]) for line in ledger.effects(key)]


@on_both
def test_an_activity_in_a_process_has_a_connection_of_its_own(site):
    ((status, attempt, parent, leads_group),) = site.run("runs_in_processes", name="own_row_in_a_process")
    assert (status, attempt, leads_group) == ("RUNNING", 1, True)
    assert parent == site.up.pid


@on_sqlite
def test_rule_18_a_process_is_killed_at_the_deadline_and_its_neighbours_go_on(site, key):
    """Code that no exception could reach, for it never comes back from C, nor lets others run meanwhile."""
    handle = site.start("spins_beside", key=key)
    wait_until(lambda: ledger.effects(f"{key}-beside"), "the neighbours to be done")
    assert len(ledger.effects(key)) <= 1, "they had to wait for it"
    assert handle.result(timeout=30) == [[0, 1, 2, 3, 4], 2]
    assert not any(map(lives, pids(key)[:1] + pids(key, 2))), "a process, or what it has started, lives on"


@on_sqlite
def test_a_process_that_takes_too_much_memory_is_a_failed_attempt(site, key):
    assert site.run("runs_in_processes", name="takes_too_much_memory", args=[key]) == [2]


@on_sqlite
def test_a_process_that_crashes_again_and_again_fails_for_good_and_the_worker_lives(site, key):
    error = site.run("tries", name="always_crashes", args=[key], policy={"initial_interval": 0.01})
    assert (error["type_name"], error["attempt"]) == ("ProcessDied", 3)
    assert "was killed by SIGSEGV; 3 in a row, and MAX_CRASHES is 3" in error["message"]
    assert len(ledger.effects(key)) == 3


@pytest.mark.parametrize("site_with_worker", ["postgres-replayed"], indirect=True)
def test_heartbeats_and_items_of_a_process_outlive_it(site, key):
    handle = site.start("runs_in_processes", name="dies_with_details", args=[key])
    wait_until(lambda: site.tasks(handle) and site.tasks(handle)[0].heartbeat_details, "the heartbeat to be written")
    ledger.open_gate(key)
    assert handle.result(timeout=30) == [[2, {"row": 7}]]
    assert [each.item for each in read_stream(handle)] == [0, 1, 2]
    assert len({line.split()[1] for line in ledger.effects(key)}) == 1, "two keys for one call"


@on_sqlite
def test_a_process_that_falls_silent_is_killed(site, key):
    # On a machine that is slow enough, others fall silent before they have begun, or while they end.
    [attempt] = site.run("runs_in_processes", name="silent_in_a_process", args=[key])
    assert attempt >= len(ledger.effects(key)) >= 2
    wait_until(lambda: not lives(pids(key)[0]), "the first to be killed")


@on_sqlite
def test_a_cancel_reaches_a_process_at_its_next_heartbeat(site, key):
    handle = site.start("runs_in_processes", name="beats_in_a_process", args=[key])
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    assert cancel_workflow(handle)
    wait_until(lambda: site.tasks(handle)[0].status == "CANCELED", "CANCELED")
    assert [line.partition(" ")[2] for line in ledger.effects(key)] == ["", "ActivityCanceled"]


@on_sqlite
def test_an_activity_in_a_process_is_completed_from_outside(site, key):
    handle = site.start("runs_in_processes", name="left_to_others", args=[key])
    wait_until(lambda: ledger.effects(key), "it to have a token")
    complete_activity(ledger.effects(key)[0].split()[1], "done")
    assert handle.result(timeout=30) == ["done"]


@on_sqlite
def test_payloads_of_a_process_are_what_annotations_say(site):
    assert site.run("halves") == ["1.75", "Decimal"]
    wait_until(lambda: "half of it, said" in site.up.said, "what it has printed")


@quiet_on_sqlite
def test_no_process_outlives_a_worker_that_is_killed(quiet_site, queue, key):
    """Not even one that holds the interpreter, nor what it has started. Another worker runs it again."""
    site = quiet_site
    handle = site.start(site.on_queue("runs_in_processes", queue), name="spins_in_a_process", args=[key])
    with site.project.worker("--queue-name", queue) as doomed:
        wait_until(lambda: ledger.effects(key), "it to begin")
        doomed.kill()
        first = [*pids(key), *pids(key, 2)]
        wait_until(lambda: not any(map(lives, first)), "all of it to be gone")
    ledger.note(key, "0 0")  # the next attempt returns
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == [2]


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
def test_rule_30_processes_may_end_when_their_worker_is_asked_to_stop(quiet_site, queue, key):
    """Whom a service manager, or a terminal, asks to stop as well."""
    site = quiet_site
    handle = site.start(site.on_queue("runs_in_processes", queue), name="gated_in_a_process", args=[key, key, 7])
    with site.project.worker("--queue-name", queue, "--procs", "2") as worker:
        wait_until(lambda: ledger.effects(key), "it to begin")
        (pid,) = pids(key)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        assert lives(pid)
        ledger.open_gate(key)
        assert worker.wait() == 0, worker.said
        assert not lives(pid)
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == [7]
    assert {task.attempt for task in site.tasks(handle)} == {1}


@quiet_on_sqlite
def test_rule_30_a_process_that_does_not_end_in_time_is_killed_and_given_back_without_a_charge(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("runs_in_processes", queue), name="gated_in_a_process", args=[key, key])
    with site.project.worker("--queue-name", queue, "--drain-timeout", "0.1") as worker:
        wait_until(lambda: ledger.effects(key), "it to begin")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0, worker.said
        assert not any(map(lives, pids(key)))
    ledger.open_gate(key)
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == [None]
    assert {task.attempt for task in site.tasks(handle)} == {1}
