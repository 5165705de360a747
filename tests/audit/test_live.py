"""An audit does not cry wolf while workers are busy, and needs no more memory for more history."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from django_durable.auditing import audit_project
from django_durable.store import DjangoHistoryStore
from durable_core.audit import audit
from durable_core.ports import new_id
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.sites import Site, entered, key, site_on
from tests.store.databases import database, empty
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_durable import WorkflowHandle

__all__ = ["key"]

LIVE = 3  # audits between which something has happened


@pytest.fixture(scope="module", params=["sqlite", "postgres", "postgres-with-redis"])
def busy_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory) as site:
        yield site


@pytest.fixture
def busy_site(busy_site_on: Site) -> Iterator[Site]:
    with entered(busy_site_on) as site:
        yield site


def test_audit_of_a_busy_system_is_clean(busy_site: Site, key: str):
    handles: list[WorkflowHandle] = []
    steps = 100  # that the workers are ahead of the audit
    live = events = 0

    def has_seen_enough() -> bool:
        nonlocal steps, live, events
        report = audit_project(replay="none")  # which would take longer than the runs themselves
        assert report.violations == []
        assert report.entries is not None
        live += bool(report.open_runs) and report.events > events > 0
        events = report.events
        if not report.open_runs:
            handles.extend(busy_site.start("chain", key=f"{key}-{len(handles)}", n=steps) for _ in range(4))
            steps *= 2
        return live >= LIVE

    with busy_site.project.worker(), busy_site.project.worker():
        wait_until(has_seen_enough, "audits while something happens")
        for handle in handles:
            busy_site.until_closed(handle)
    report = audit_project()
    assert report.violations == []
    assert (report.runs, report.open_runs) == (2 * len(handles), 0)  # each with a child


def test_queue_that_cannot_be_audited_is_named(busy_site: Site, capsys: pytest.CaptureFixture[str]):
    """It is not passed in silence."""
    queue = {"BACKEND": "tests.audit.test_live.Mute"}
    with override_settings(DURABLE={**busy_site.settings, "QUEUE": queue}):
        call_command("durable_audit", "--skip-checks", "--replay", "none")
    said = " ".join(capsys.readouterr().out.split())
    assert "queue entries -" in said
    assert "The queue, a Mute, cannot be audited" in said


class Mute:
    """A queue of somebody else's, who has not heard of audits."""

    transactional = wakeup = False

    enqueue = claim = complete = release = release_dead = stats = watch = lambda *_: None


# Memory

RUN = (
    "INSERT INTO django_durable_workflowexecution (id, workflow_name, input, status, result, error, "
    "cancel_with_parent, queue, priority, version, history_length, failures, crashes, created_at, updated_at) "
    "VALUES (%s, 'long', '{}', 'COMPLETED', '1', '', %s, 'default', 0, 1, %s, 0, 0, %s, %s)"
)
EVENT = (
    "INSERT INTO django_durable_historyevent (execution_id, seq, type, call_id, details, created_at) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)
LENGTH = 500  # events of a run


def write_histories(alias: str, runs: int) -> None:
    """Sound, closed and long."""
    connection = connections[alias]
    now = datetime(2026, 1, 1, tzinfo=UTC).isoformat(" ").removesuffix("+00:00")
    ids = [new_id() for _ in range(runs)]
    keys = [i.hex if connection.vendor == "sqlite" else i for i in ids]
    effect = ("side_effect_recorded", '{"failure":null,"result":"' + 200 * "x" + '"}')
    story = [("workflow_started", '{"workflow_name":"long","input":{}}'), *[effect] * (LENGTH - 2)]
    story.append(("workflow_completed", '{"result":1}'))
    events = [
        (run, seq, kind, str(seq) if kind == effect[0] else None, details, now)
        for run in keys
        for seq, (kind, details) in enumerate(story, start=1)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(RUN, [(run, True, LENGTH, now, now) for run in keys])
        cursor.executemany(EVENT, events)


def most_memory(alias: str, runs: int) -> int:
    """Bytes at the highest while so many runs are audited."""
    empty(alias)
    write_histories(alias, runs)
    store, queue = DjangoHistoryStore(alias), InMemoryTaskQueue(ManualClock())
    tracemalloc.start()
    try:
        assert audit(store, queue) == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("vendor", ["sqlite", "postgres"])
def test_memory_does_not_grow_with_the_number_of_events(vendor: str, tmp_path_factory: pytest.TempPathFactory):
    with database(vendor, tmp_path_factory) as alias:
        few, many = most_memory(alias, runs=10), most_memory(alias, runs=50)
    assert many < 1.2 * few, f"{few:,} bytes for 5,000 events, {many:,} for 25,000"
