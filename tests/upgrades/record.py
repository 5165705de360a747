"""Record histories and databases, through real workers: what later releases must be able to go on with.

    python -m tests.upgrades.record v0_1_0              into tests/histories/v0_1_0
    python -m tests.upgrades.record v0_1_0 --into DIR   histories only, somewhere else

A release records once, before it is published: copy the newest package below tests/histories under its name, add
stories for what is new, and run this. What is recorded is never changed afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness import Project
from tests.upgrades.recordings import Recording
from tests.upgrades.releases import Release
from tests.waiting import wait_until

if TYPE_CHECKING:
    from uuid import UUID


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Release, help="the name of a package below tests/histories")
    parser.add_argument("--into", type=Path, help="a folder for the histories; no database is recorded then")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="durable-recording-") as place:
        project = Project(f"sqlite:{place}/durable.sqlite3", Path(place))
        given.release.become(project)
        into = given.into or given.release.folder / "histories"
        for name, recording in record_histories(given.release, project).items():
            recording.write(into / f"{name}.json")


def record_histories(release: Release, project: Project) -> dict[str, Recording]:
    """By the name of the story, and of the call for a child of it. This process must be the release's."""
    from django.core.management import call_command

    from django_durable.engine import engine
    from django_durable.models import WorkflowExecution

    call_command("migrate", verbosity=0)
    told = import_module(f"{release.package}.stories")
    with ExitStack() as stack:
        stack.enter_context(release.worker(project, "--threads", "20", "--queue-name", "default"))
        blocking = Project(project.url, project.folder, {"ON_WORKFLOW_ERROR": "block"}, _workers=100)
        stack.enter_context(release.worker(blocking, "--queue-name", told.STRICT))
        handles = {name: story.start() for name, story in told.STORIES.items()}
        for name, story in told.STORIES.items():
            story.goes_on(handles[name])
        still = WorkflowExecution.objects.filter(finished_at=None, pk__in=[handle.id for handle in handles.values()])
        wait_until(lambda: not still.exists(), lambda: f"the end of {[run.workflow_name for run in still]}")
    names: dict[UUID, str] = {handle.id: name for name, handle in handles.items()}
    for child in WorkflowExecution.objects.filter(parent__in=names):
        names[child.pk] = f"{names[child.parent_id]}.{child.parent_call_id}"  # type: ignore[index] # it has a parent
    loaded = engine().store.load(list(names))
    return {name: Recording.of(release.version, loaded[run]) for run, name in names.items()}


if __name__ == "__main__":
    main()
