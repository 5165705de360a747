"""Replay the histories of a release with its code: prints what is wrong with each, by name, as JSON.

    python -m tests.upgrades.replay v0_1_0 [--histories DIR]

A process of its own, because names of workflows are those of the release.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import DurableError
from durable_core.execution import Status
from durable_core.replay import WorkflowRun
from tests.harness import Project
from tests.upgrades.recordings import Recording
from tests.upgrades.releases import Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDED = frozenset(cls.type for cls in e.COMMANDED)
# Written from outside, without the code: by a cancel before the run began.
BARE = [e.WorkflowStarted.type, e.WorkflowCanceled.type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Release, help="the name of a package below tests/histories")
    parser.add_argument("--histories", type=Path, help="others than those of the package")
    given = parser.parse_args()
    release: Release = given.release
    files = release.histories if given.histories is None else sorted(given.histories.glob("*.json"))
    with tempfile.TemporaryDirectory() as place:
        release.become(Project("sqlite::memory:", Path(place)))
        for gate in import_module(f"{release.package}.stories").MENDED:
            import_module(f"{release.package}.gates").open_gate(gate)
        print(json.dumps({file.stem: list(problems(Recording.read(file))) for file in files}))


def problems(recording: Recording) -> Iterator[str]:
    """What keeps the whole of it, or a part as a worker might have found it, from being replayed."""
    from django_durable import register

    if [record.type for record in recording.history] == BARE:
        return
    definition = register.find_workflow(recording.run["workflow_name"])
    is_closed = False
    for length in stops(recording.history):
        run = WorkflowRun(definition, recording.info, register, RunSettings(strict_inputs=True))
        try:
            run.replay(recording.history[:length])
            is_closed = run.is_closed
        except DurableError as error:
            yield f"the first {length} events: {type(error).__name__}: {error}"
        finally:
            run.close()
    if is_closed != Status(recording.run["status"]).is_closed:
        yield f"after all events its end was{'' if is_closed else ' not'} reached"


def stops(history: Sequence[e.EventRecord]) -> list[int]:
    """Lengths of the history at which it was committed; what a fork has taken over came with it."""
    taken = max((place for place, record in enumerate(history) if record.type == e.WorkflowForked.type), default=0)
    ends = [
        place
        for place, (before, record) in enumerate(pairwise(history), start=1)
        if record.created_at != before.created_at and place > taken
    ]
    return [*ends, len(history)]


if __name__ == "__main__":
    main()
