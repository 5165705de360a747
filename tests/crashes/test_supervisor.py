"""``--procs 2``: a dead child is buried and replaced at once, a dead parent is noticed, SIGTERM drains all."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from django_durable.models import Worker
from tests.crashes.proof import assert_sound, until_begun
from tests.scenarios import ledger
from tests.sites import FEW_PAIRS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import WorkerProcess
    from tests.sites import Site

pytestmark = pytest.mark.parametrize("quiet_site_on", FEW_PAIRS, indirect=True)

# A dead worker would be found by its silence only after a minute: what is quicker was told by the parent.
PATIENT = {"HEARTBEAT_INTERVAL": 20, "WORKER_TIMEOUT": 60}


def children_of(pid: int) -> set[int]:
    """Living children of a process, by what the kernel says."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def up(site: Site, pids: set[int]) -> bool:
    return Worker.objects.using(site.alias).filter(pid__in=pids).count() == len(pids)


def until_two_up(site: Site, parent: WorkerProcess) -> set[int]:
    def two() -> set[int] | None:
        pids = children_of(parent.pid)
        return pids if len(pids) == 2 and up(site, pids) else None

    return wait_until(two, f"two workers; they said:\n{parent.said}")


@pytest.fixture
def family(quiet_site: Site, queue: str) -> Iterator[tuple[WorkerProcess, set[int]]]:
    """The parent, and its two children."""
    options = ["--queue-name", queue, "--procs", "2", "--drain-timeout", "20"]
    with quiet_site.project.worker(*options, durable=PATIENT) as parent:
        try:
            yield parent, until_two_up(quiet_site, parent)
        finally:
            for pid in children_of(parent.pid):
                os.kill(pid, signal.SIGCONT)


def test_dead_child_is_replaced_and_its_activity_retried_at_once(family, quiet_site, queue, key):
    parent, children = family
    site = quiet_site
    handle = site.start(site.on_queue("holds", queue), key=key)
    [begun] = until_begun(key)
    doomed = int(begun.split()[0])
    assert doomed in children
    ledger.open_gate(f"{key}-after")
    died = time.monotonic()
    os.kill(doomed, signal.SIGKILL)
    until_begun(key, 2)
    assert time.monotonic() - died < 10  # of 60
    replaced = until_two_up(site, parent)
    assert doomed not in replaced
    assert len(replaced & children) == 1
    ledger.open_gate(key)
    assert handle.result(timeout=30) == 2
    assert "was killed by SIGKILL" in parent.said
    assert_sound(site, handle)
    assert parent.stop() == 0


def test_run_in_memory_of_a_dead_child_goes_on_elsewhere(family, quiet_site, queue, key):
    parent, _ = family
    site = quiet_site
    handle = site.start(site.on_queue("word_then_mark", queue), key=key)
    row = site.until_waiting(handle, "signal")
    os.kill(Worker.objects.using(site.alias).get(pk=row.worker_id).pid, signal.SIGKILL)
    until_two_up(site, parent)
    handle.signal("word", 7)
    assert handle.result(timeout=30) == 7
    assert_sound(site, handle)


def test_children_of_a_dead_parent_drain(family, quiet_site, queue, key):
    parent, children = family
    site = quiet_site
    handle = site.start(site.on_queue("holds", queue), key=key)
    until_begun(key)
    parent.kill()
    wait_until(lambda: parent.said.count("draining: its parent died") == 2, "both children to notice")
    too_late = site.start(site.on_queue("marks", queue), key=f"{key}-late")
    ledger.open_gate(key)
    wait_until(lambda: not any(map(is_alive, children)), f"both to exit; they said:\n{parent.said}")
    assert site.tasks(handle)[0].status == "COMPLETED"  # they drained
    assert site.execution(too_late).status == "PENDING"
    assert not Worker.objects.using(site.alias).filter(pid__in=children).exists()
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == 1
        assert too_late.result(timeout=30) == 1
        assert_sound(site, handle)


def test_sigterm_to_the_parent_drains_all(family, quiet_site, queue, key):
    parent, children = family
    site = quiet_site
    handles = [site.start(site.on_queue("holds_one", queue), key=f"{key}-{n}") for n in range(4)]
    for number in range(4):
        until_begun(f"{key}-{number}")
    parent.send(signal.SIGTERM)
    wait_until(lambda: parent.said.count("draining: SIGTERM") == 2, "both children to drain")
    too_late = site.start(site.on_queue("marks", queue), key=f"{key}-late")
    for number in range(4):
        ledger.open_gate(f"{key}-{number}")
    assert parent.wait() == 0
    assert not any(map(is_alive, children))
    assert site.execution(too_late).status == "PENDING"
    for number, handle in enumerate(handles):
        [task] = site.tasks(handle)
        assert (task.status, task.attempt) == ("COMPLETED", 1)
        assert len(ledger.effects(f"{key}-{number}")) == 1
    with site.project.worker("--queue-name", queue):
        assert [handle.result(timeout=30) for handle in handles] == [1] * 4
        assert too_late.result(timeout=30) == 1


def test_second_sigterm_to_the_parent_forces(family, quiet_site, queue, key):
    parent, children = family
    site = quiet_site
    handle = site.start(site.on_queue("holds_one", queue), key=key)
    until_begun(key)
    parent.send(signal.SIGTERM)
    wait_until(lambda: parent.said.count("draining: SIGTERM") == 2, "both children to drain")
    told = time.monotonic()
    parent.send(signal.SIGTERM)
    assert parent.wait() == 0
    assert time.monotonic() - told < 5
    assert not any(map(is_alive, children))
    [task] = site.tasks(handle)
    assert (task.status, task.attempt) == ("QUEUED", 0)
