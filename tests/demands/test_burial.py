"""What it takes to bury a dead worker: as many statements for fifty runs, or fifty attempts, as for one."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from django.db import transaction

from django_durable.engine import engine
from django_durable.models import ActivityTask, QueueEntry, Worker, WorkflowExecution
from durable_core.worker import bury
from tests.demands.counting import counted

if TYPE_CHECKING:
    from uuid import UUID

    from tests.sites import Site

FEW, MANY = 1, 50


def dies_at(site: Site, point: str, runs: int, queue: str) -> UUID:
    """A worker that dies over its first batch, which is all of these runs; its id."""
    workflow = site.on_queue("echoes", queue)
    with transaction.atomic(site.alias):
        for number in range(runs):
            site.start(workflow, value=number)
    roomy = ["--queue-name", queue, "--batch", str(MANY), "--threads", str(MANY)]
    with site.project.worker(*roomy, DURABLE_CRASH_AT=point) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    worker_id: UUID = Worker.objects.using(site.alias).get(pid=doomed.pid).id
    return worker_id


def statements_to_bury(alias: str, worker_id: UUID) -> list[str]:
    with counted(alias) as seen:
        bury([worker_id], engine().store, engine().queue, max_crashes=3)
    return seen


def test_claimed_runs_are_buried_in_as_many_statements_as_one(quiet_site, alias, queue):
    taken = {}
    for runs in (FEW, MANY):
        dead = dies_at(quiet_site, "run-claimed", runs, f"{queue}-{runs}")
        held = QueueEntry.objects.using(alias).filter(worker_id=dead)
        assert held.count() == runs
        taken[runs] = statements_to_bury(alias, dead)
        assert held.count() == 0
        charged = WorkflowExecution.objects.using(alias).filter(queue=f"{queue}-{runs}", crashes=1)
        assert charged.count() == runs
    assert taken[MANY] == taken[FEW]


def test_running_attempts_are_buried_in_as_many_statements_as_one(quiet_site, alias, queue):
    taken = {}
    for runs in (FEW, MANY):
        dead = dies_at(quiet_site, "decision-committed", runs, f"{queue}-{runs}")
        held = ActivityTask.objects.using(alias).filter(worker_id=dead, status="RUNNING")
        assert held.count() == runs
        taken[runs] = statements_to_bury(alias, dead)
        assert held.count() == 0
        again = ActivityTask.objects.using(alias).filter(queue=f"{queue}-{runs}", status="QUEUED", crashes=1)
        assert again.count() == runs
    assert taken[MANY] == taken[FEW]
