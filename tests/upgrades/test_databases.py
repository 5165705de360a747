"""A database of an earlier release, from the middle of its life: today's code migrates it, and brings all to an end."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Project
from tests.servers import postgres, run_directory
from tests.sites import BACKENDS
from tests.upgrades import dumps
from tests.upgrades.programs import program
from tests.upgrades.releases import Release, releases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUEUES: dict[str, dict[str, Any]] = {"sqlite": {}, "postgres": {"QUEUE": {"BACKEND": "postgres"}}}
QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}
KEPT = [(release.name, backend) for release in releases() for backend in BACKENDS]


@contextmanager
def loaded(release: Release, backend: str, factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project on the recorded database, in a server that is younger than the one it was recorded in."""
    folder: Path = factory.mktemp("midlife")
    dump = (release.folder / f"{backend}.sql").read_text(encoding="ascii")
    with ExitStack() as stack:
        if backend == "sqlite":
            url = f"sqlite:{folder / 'durable.sqlite3'}"
            dumps.into_sqlite(dump, folder / "durable.sqlite3")
        else:
            server = stack.enter_context(postgres(shared=run_directory(factory)))
            database = stack.enter_context(server.database())
            url = database.url
            dumps.into_postgres(dump, database)
            # Entries are in the order of transactions, whose numbers begin anew in a server that a dump is loaded into.
            database.execute("UPDATE durable_queue SET place = place + 1000000000000")
        yield Project(url, folder, {**QUICK, **QUEUES[backend]})


@pytest.mark.promise("P10")
@pytest.mark.parametrize(("release", "backend"), KEPT)
def test_every_run_of_a_recorded_database_comes_to_its_end(release, backend, tmp_path_factory):
    kept = Release(release)
    with loaded(kept, backend, tmp_path_factory) as project:
        migrated = project.manage("migrate", **kept.environment)
        assert migrated.returncode == 0, migrated.stderr
        told = json.loads(program("resume", release, project.url, str(project.folder), json.dumps(project.settings)))
    assert told["ends"] == told["expected"]
    assert told["audit"]["violations"] == []
    assert told["audit"]["clean"]
    assert told["audit"]["looked_at"]["open_runs"] == 0
    assert told["audit"]["replayed"] >= len(told["ends"]) - 2  # the code of one ran never, and another was blocked


@pytest.mark.parametrize(("release", "backend"), KEPT)
def test_recorded_database_is_in_the_middle_of_everything(release, backend):
    """Or that it comes to an end would say little."""
    dump = (Release(release).folder / f"{backend}.sql").read_text(encoding="ascii")
    for status in ("PENDING", "RUNNING", "BLOCKED", "COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "QUEUED"):
        assert f"'{status}'" in dump
    for mail in ("'signal_received',NULL,'{\"name\"", "'workflow_cancel_requested',NULL"):
        assert mail in dump.replace(", ", ",")
