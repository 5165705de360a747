"""What earlier releases have recorded is replayed by this one, and this one records what it says it does."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.events import EVENT_TYPES
from tests.upgrades.programs import program
from tests.upgrades.recordings import Recording
from tests.upgrades.releases import NEWEST, Release, releases

if TYPE_CHECKING:
    from pathlib import Path

KEPT = [(release.name, file.stem) for release in releases() for file in release.histories]


@cache
def problems_of(release: str) -> dict[str, list[str]]:
    """With the replay of each history, by its name; one process replays all of a release."""
    found: dict[str, list[str]] = json.loads(program("replay", release))
    return found


@pytest.mark.promise("P10")
@pytest.mark.parametrize(("release", "name"), KEPT)
def test_history_is_replayed(release, name):
    assert problems_of(release)[name] == []


def test_replay_of_another_history_is_refused(tmp_path):
    """Or it would prove nothing: a recorded value that the code does not ask for is found."""
    file = NEWEST.folder / "histories" / "chance.json"
    changed = Recording.read(file)
    [place, *_] = [number for number, record in enumerate(changed.history) if "r:[" in record.details]
    details = changed.history[place].details.replace("r:[", "r:[1, ")
    changed.history[place] = changed.history[place]._replace(details=details)
    changed.write(tmp_path / "chance.json")
    found = json.loads(program("replay", NEWEST.name, "--histories", str(tmp_path)))
    assert "NondeterminismError" in found["chance"][0]


def test_newest_histories_are_of_this_version():
    """A release with another number records its own."""
    assert NEWEST.version == version("durable-core")


def test_every_fact_is_in_a_history():
    """A new kind of event needs a story that leads to it."""
    recorded = {record.type for file in NEWEST.histories for record in Recording.read(file).history}
    assert recorded == set(EVENT_TYPES)


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stories of the newest release, recorded by today's workers."""
    folder = tmp_path_factory.mktemp("recorded")
    program("record", NEWEST.name, "--only", "histories", "--into", str(folder))
    return folder


def test_no_story_is_missing(anew):
    assert {file.name for file in anew.iterdir()} == {file.name for file in NEWEST.histories}


@pytest.mark.parametrize("name", [file.stem for file in NEWEST.histories])
def test_what_is_recorded_today_is_what_was_recorded(anew, name):
    """A change of what is stored must be meant: it needs a release of its own, with histories of its own."""
    kept, today = (Recording.read(folder / f"{name}.json") for folder in (NEWEST.folder / "histories", anew))
    assert today.scrubbed() == kept.scrubbed()


def test_scrubbing_hides_nothing_but_what_must_differ():
    def scrubbed(details: str) -> list[str]:
        run: dict[str, Any] = {"id": "01234567-89ab-cdef-0123-456789abcdef"}
        recording = Recording("0", run, Recording.read(NEWEST.histories[0]).history[:1])
        return Recording("0", run, [recording.history[0]._replace(details=details)]).scrubbed()

    one, two = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
    assert scrubbed(f'{{"a":"{one}","b":"{two}"}}') == scrubbed(f'{{"a":"{two}","b":"{one}"}}')
    assert scrubbed(f'{{"a":"{one}","b":"{two}"}}') != scrubbed(f'{{"a":"{one}","b":"{one}"}}')
    assert scrubbed('{"traceback":"line \\"1\\"","x":1}') == scrubbed('{"traceback":"line 2","x":1}')
    assert scrubbed('{"traceback":"line 1","x":1}') != scrubbed('{"traceback":"line 1","x":2}')
    assert scrubbed('{"at":"2026-01-01T00:00:00+00:00"}') == scrubbed('{"at":"2027-02-03T04:05:06.000007+00:00"}')


def test_releases_are_in_order():
    assert [Release(name).number for name in ("v0_9_0", "v0_10_0")] == [(0, 9, 0), (0, 10, 0)]
    assert releases()[-1] == NEWEST
