"""Whoever can write the queue is hostile: what he writes there costs time, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import connection

from django_durable import register, start_workflow
from django_durable.engine import engine
from django_durable.models import ActivityTask, HistoryEvent, QueueEntry, WorkflowExecution
from django_durable.queue import DatabaseTaskQueue
from durable_core.hints import backend_of
from durable_core.ports import EntryKind, new_id
from tests.security.forging import EVIL, forge, left
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.sites import Site


def dead(queue: str) -> int:
    return sum(stats.dead for stats in backend_of(engine().queue).stats() if stats.queue == queue)


def test_forged_entries_are_passed_over_and_the_worker_lives(open_site: Site, queue: str):
    site = open_site

    def start(value):
        return start_workflow(register.find_workflow("echoes").using(queue=queue), value=value)

    with site.project.worker("--queue-name", queue) as worker:
        first = start(1)
        assert first.result(timeout=30) == 1
        row, [task] = site.execution(first), site.tasks(first)
        before = (row.version, row.history_length, task.token)
        unreadable = forge(site, queue, row.id, task.id)
        more = [start(value) for value in range(5)]
        assert [handle.result(timeout=30) for handle in more] == list(range(5))
        wait_until(lambda: not left(site, queue), lambda: f"nothing to be left: {left(site, queue)}")
        assert dead(queue) == unreadable
        assert worker.process.poll() is None
        assert "Traceback" not in worker.said
    row, [task] = site.execution(first), site.tasks(first)
    assert (row.version, row.history_length, task.token) == before


def test_what_nobody_can_read_is_thrown_away_with_a_word(here, caplog: pytest.LogCaptureFixture):
    QueueEntry.objects.bulk_create(
        [QueueEntry(kind="run", ref=uuid4(), queue="default", visible_at=datetime(2020, 1, 1, tzinfo=UTC))] * 2
    )
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_durable_queueentry SET ref = 'rm -rf /' WHERE id % 2 = 0")
    [claim] = DatabaseTaskQueue("default").claim(new_id(), {EntryKind.RUN: 9}, queues=(), exclude=())
    assert claim.deliveries == 1
    assert QueueEntry.objects.count() == 1
    assert "is thrown away" in caplog.text
    assert "rm -rf" not in caplog.text


def test_names_from_the_database_are_only_looked_up(open_site: Site, queue: str):
    """Whoever writes rows can choose a registered name, and nothing else."""
    site = open_site
    made = start_workflow(register.find_workflow("waits_for_answer").using(queue=queue))
    run = WorkflowExecution.objects.using(site.alias).create(
        workflow_name=EVIL, queue=queue, due_at=datetime(2020, 1, 1, tzinfo=UTC)
    )
    task = ActivityTask.objects.using(site.alias).create(
        execution_id=made.id,
        activity_name="subprocess.run",
        call_id="99",
        queue=queue,
        due_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    with site.project.worker("--queue-name", queue) as worker:
        wait_until(lambda: f"no workflow '{EVIL}' here" in worker.said, "the run to be left")
        wait_until(lambda: "no activity 'subprocess.run' here" in worker.said, "the task to be left")
    assert site.execution(run.id).status == "PENDING"
    assert not HistoryEvent.objects.using(site.alias).filter(execution=run).exists()
    task.refresh_from_db()
    assert (task.status, task.attempt) == ("QUEUED", 0)
