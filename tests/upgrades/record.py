"""Record histories and databases, through real workers: what later releases must be able to go on with.

    python -m tests.upgrades.record v0_1_0              into tests/histories/v0_1_0
    python -m tests.upgrades.record v0_1_0 --only histories --into DIR

A release records once, before it is published: copy the newest package below tests/histories under its name, add
stories for what is new, and run this. What is recorded is never changed afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness import Project
from tests.servers import postgres
from tests.upgrades import dumps
from tests.upgrades.recordings import Recording, placeless
from tests.upgrades.releases import Release
from tests.waiting import wait_until

if TYPE_CHECKING:
    from uuid import UUID

PARTS = ("histories", "sqlite", "postgres")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Release, help="the name of a package below tests/histories")
    parser.add_argument("--only", choices=PARTS, help="what to record (all)")
    parser.add_argument("--into", type=Path, help="a folder for the histories")
    given = parser.parse_args()
    release: Release = given.release
    with tempfile.TemporaryDirectory(prefix="durable-recording-") as place:
        folder = Path(place)
        match given.only:
            case None:  # each in a process of its own: Django is set up once
                for part in PARTS:
                    subprocess.run([sys.executable, "-m", __spec__.name, release.name, "--only", part], check=True)
            case "histories":
                project = Project(f"sqlite:{folder / 'durable.sqlite3'}", folder)
                release.become(project)
                for name, recording in record_histories(release, project).items():
                    recording.write((given.into or release.folder / "histories") / f"{name}.json")
            case "sqlite":
                file = folder / "durable.sqlite3"
                live(release, Project(f"sqlite:{file}", folder))
                (release.folder / "sqlite.sql").write_text(placeless(dumps.of_sqlite(file)), encoding="ascii")
            case "postgres":
                with postgres() as server, server.database() as database:
                    live(release, Project(database.url, folder, {"QUEUE": {"BACKEND": "postgres"}}))
                    (release.folder / "postgres.sql").write_text(
                        placeless(dumps.of_postgres(database)), encoding="ascii"
                    )


def record_histories(release: Release, project: Project) -> dict[str, Recording]:
    """By the name of the story, and of the call for a child of it. This process must be the release's."""
    from django.core.management import call_command
    from django.db.models import Q

    from django_durable.engine import engine
    from django_durable.models import WorkflowExecution

    call_command("migrate", verbosity=0)
    told = import_module(f"{release.package}.stories")
    with ExitStack() as stack:
        stack.enter_context(release.worker(project, "--threads", "20", "--queue-name", "default"))
        strict = {"ON_WORKFLOW_ERROR": "block"}
        stack.enter_context(release.worker(project, "--queue-name", told.STRICT, durable=strict))
        handles = {name: story.start() for name, story in told.STORIES.items()}
        for name, story in told.STORIES.items():
            story.goes_on(handles[name])
        ids = [handle.id for handle in handles.values()]
        mine = Q(pk__in=ids) | Q(parent__in=ids, cancel_with_parent=True)  # others may outlive their parents
        still = WorkflowExecution.objects.filter(mine, finished_at=None)
        wait_until(lambda: not still.exists(), lambda: f"the end of {[run.workflow_name for run in still]}")
    names: dict[UUID, str] = {handle.id: name for name, handle in handles.items()}
    for child in WorkflowExecution.objects.filter(parent__in=names):
        names[child.pk] = f"{names[child.parent_id]}.{child.parent_call_id}"  # type: ignore[index] # it has a parent
    loaded = engine().store.load(list(names))
    return {name: Recording.of(release.version, loaded[run]) for run, name in names.items()}


def live(release: Release, project: Project) -> None:
    """Bring a database to the middle of its life. This process must be nobody's yet."""
    release.become(project)
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    import_module(f"{release.package}.midlife").prepare(partial(release.worker, project))
    connections.close_all()


if __name__ == "__main__":
    main()
