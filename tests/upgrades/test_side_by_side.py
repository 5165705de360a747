"""A rolling deploy: workers of this release and of a later one, on one database.

There is no later release to install, so one is made: a copy of today's core, in which side effects are events of a kind
that today's workers do not know.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.test import override_settings

import durable_core
from django_durable import send_signal, start_workflow
from durable_core.worker.activities import UNKNOWN_NAME_DELAY
from tests.harness import MANAGE, ROOT
from tests.sites import BACKENDS, Site, entered, key, site_on

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["key"]

OFFERS = 24  # of a run to both workers, before the test gives up: today's may be the first to look many times
CORE = Path(durable_core.__file__).parent
CHANGES = {
    'type: ClassVar[str] = "side_effect_recorded"': 'type: ClassVar[str] = "side_effect_noted"',
    "\nEVENT_TYPES:": '\n_BY_TYPE["side_effect_recorded"] = SideEffectRecorded  # of earlier releases\nEVENT_TYPES:',
}


@pytest.fixture(scope="module")
def later_release(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of its processes."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(CORE, folder / "durable_core", ignore=shutil.ignore_patterns("__pycache__"))
    events = folder / "durable_core" / "events.py"
    text = events.read_text(encoding="utf-8")
    for was, becomes in CHANGES.items():
        assert text.count(was) == 1, was
        text = text.replace(was, becomes)
    events.write_text(text, encoding="utf-8")
    environment = {"PYTHONPATH": str(folder)}
    program = [sys.executable, "-c", "import durable_core; print(durable_core.__file__)"]
    found = subprocess.check_output(program, env=environment, text=True)
    assert Path(found.strip()).is_relative_to(folder)
    return environment


@contextmanager
def later_worker(site: Site, release: dict[str, str]) -> Iterator[None]:
    """A process of its own: those of the harness have imported today's core before they are forked."""
    with (site.project.folder / "later.log").open("a+") as log:
        process = subprocess.Popen(
            [*MANAGE, "durable_worker", "--tick", "0.05"],
            cwd=ROOT,
            env=site.project.environment(**release),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        except BaseException as error:
            log.seek(0)
            error.add_note(f"the later worker said:\n{log.read()}")
            raise
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture(scope="module", params=BACKENDS)
def migrated_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With the tables of the later release, which come before its workers."""
    with site_on(request.param, tmp_path_factory) as site:
        with entered(site), override_settings(MIGRATION_MODULES={"django_durable": "tests.upgrades.future"}):
            call_command("migrate", "django_durable", database=site.alias, verbosity=0)
        yield site


@pytest.fixture
def migrated_site(migrated_site_on: Site) -> Iterator[Site]:
    with entered(migrated_site_on) as site:
        yield site


@pytest.mark.promise("P8", "P10")
def test_what_a_later_release_wrote_is_left_to_it_and_all_else_goes_on(migrated_site, later_release, key):
    site = migrated_site
    noted = start_workflow("same_values", key=f"{key}-noted")
    common = start_workflow("collects", names=["a", "b"])
    with later_worker(site, later_release):
        for handle in (noted, common):
            site.until_waiting(handle, "signal")
    history = site.history(noted)
    assert "side_effect_noted" in history

    with site.project.worker() as today:
        send_signal(noted, "go", "went")
        for name in ("a", "b"):
            send_signal(common, name, name)
        assert common.result(timeout=30) == ["a", "b"]
        recorded = start_workflow("same_values", key=f"{key}-recorded")
        site.until_waiting(recorded, "signal")
        waiting = site.until_waiting(noted, "worker")
        assert waiting.waiting_for["what"] == "a worker that has workflow version 'same_values'"
        assert (waiting.status, waiting.failures, waiting.mailbox.count()) == ("RUNNING", 0, 1)
        assert site.history(noted) == history
        assert "'side_effect_noted' at seq 2, which this release does not know" in today.said

        with later_worker(site, later_release):
            assert noted.result(timeout=OFFERS * UNKNOWN_NAME_DELAY)[2] == "went"
            assert today.stop() == 0
            send_signal(recorded, "go", "went too")
            assert recorded.result(timeout=30)[2] == "went too"
    assert site.history(noted).count("side_effect_noted") == 1
    assert "side_effect_recorded" in site.history(recorded)
    audited = site.project.manage("durable_audit")  # today's, which cannot read all of it
    assert audited.returncode == 0, audited.stdout
