"""The example queue is what the how-to says: small, held to the whole contract, and enough for real workers."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.test import override_settings

from django_durable import send_signal
from tests.scenarios import ledger
from tests.sites import Site, entered, site_on
from tests.waiting import wait_until

TOY = Path(__file__).resolve().parent.parent / "examples" / "toy_queue"
sys.path.append(str(TOY))  # as PYTHONPATH does it for a worker

ToyQueue = import_module("toy_queue").ToyQueue
TestToyQueue = import_module("test_toy_queue").TestToyQueue  # the suite, as the example runs it

KEY = "toy"  # of effects and gates
QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5, "REDELIVERY": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the queue."""
    return tmp_path / "queue"


@pytest.fixture
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose processes all use the toy."""
    queue = {"BACKEND": "toy_queue.ToyQueue", "OPTIONS": {"path": str(folder)}}
    with (
        site_on("sqlite", tmp_path_factory, QUEUE=queue, **QUICK) as site,
        entered(site),
        override_settings(DURABLE={"DATABASE": site.alias, "QUEUE": queue, **QUICK}),
    ):
        yield site


def installed(packages: Path) -> str:
    """PYTHONPATH of a process where the toy's package is installed."""
    [(group, points)] = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]["entry-points"].items()
    about = packages / "toy_queue-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-queue\nVersion: 0.1.0\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return os.pathsep.join([str(TOY), str(packages)])


def test_toy_is_small() -> None:
    assert len((TOY / "toy_queue.py").read_text().splitlines()) < 150


def test_run_on_the_toy_outlives_a_killed_worker(site: Site, folder: Path, tmp_path: Path) -> None:
    handle = site.start("onboarding", key=KEY)
    assert [(stats.queue, stats.ready) for stats in ToyQueue(str(folder)).stats()] == [("default", 1)]
    with site.project.worker(PYTHONPATH=str(TOY)) as first:  # by its dotted path
        site.until_waiting(handle, "signal")
        send_signal(handle, "clicked", True)
        wait_until(lambda: [task.status for task in site.tasks(handle)] == ["COMPLETED", "RUNNING"], "the activity")
        first.kill()
    by_name = {"BACKEND": "toy", "OPTIONS": {"path": str(folder)}}
    with site.project.worker(durable={"QUEUE": by_name}, PYTHONPATH=installed(tmp_path / "packages")):
        wait_until(lambda: [task.attempt for task in site.tasks(handle)] == [1, 2], "the second attempt")
        ledger.open_gate(f"{KEY}-gated")
        assert handle.result(timeout=30) == ["hello", True]
        wait_until(lambda: not ToyQueue(str(folder)).stats(), "an empty folder")
    assert len(ledger.effects(f"{KEY}-welcome")) == 1


@pytest.mark.promise("P9")
def test_run_outlives_the_folder_of_its_queue(site: Site, folder: Path) -> None:
    handle = site.start("onboarding", key=KEY)
    shutil.rmtree(folder)
    ledger.open_gate(f"{KEY}-gated")
    with site.project.worker(PYTHONPATH=str(TOY)):
        site.until_waiting(handle, "signal")
        send_signal(handle, "clicked", True)
        assert handle.result(timeout=30) == ["hello", True]
