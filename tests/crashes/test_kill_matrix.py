"""SIGKILL at every crash point: the run ends as if nothing had happened, and effects are counted."""

from __future__ import annotations

import json
import signal
from collections.abc import Set as AbstractSet

import pytest

from django_durable.engine import engine
from django_durable.models import HistoryEvent, WorkflowExecution
from durable_core.crashpoints import CRASHPOINTS
from tests.crashes.killing import (
    IMPATIENT,
    MOST_REPEATED,
    QUEUES_BESIDE,
    die_at,
    end_well,
    repeated,
    start_everything,
)
from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.waiting import wait_until

# What may have happened once more: the activities whose outcome was on its way when the process died.
REPEATED: dict[str, AbstractSet[str]] = {
    "run-claimed": set(),
    "run-replayed": set(),
    "decision-inside": set(),
    "decision-inside:2": {"first", "queued"},
    "decision-inside:3": {"first", "queued", "falters"},  # the last, where the second decision had both others
    "decision-committed": set(),
    "decision-committed:2": {"queued"},
    "activity-dequeued": {"first"},  # its result is in memory, and would be committed in the same round
    "activity-claimed": {"first"},
    "activity-returned": {"first"},
    "outcome-inside": set(),  # of a failure: what it leads to is the same attempt again
    "outcome-committed": set(),
    "timer-inside": set(),
    "timer-committed": set(),
}
STARTS = {"start-inside", "start-committed"}

# Between the store's commit and a queue that has no part in it: after the first decision, and later on.
BESIDE = ("queue-untold", "queue-untold:2", "queue-untold:5", "queue-unacknowledged", "queue-unacknowledged:4")


def test_matrix_is_complete():
    points = {point.partition(":")[0] for point in [*REPEATED, *BESIDE]}
    assert points | STARTS == set(CRASHPOINTS)


@pytest.mark.promise("P1", "P4")
@pytest.mark.parametrize("point", REPEATED)
def test_run_survives_a_death_at(point, quiet_site, queue, key):
    handle = start_everything(quiet_site, queue, key)
    die_at(point, quiet_site, queue)
    assert quiet_site.execution(handle).status in ("PENDING", "RUNNING")
    end_well(quiet_site, queue, handle)
    assert {name for name, times in repeated(key).items() if times} <= REPEATED[point]
    assert max(repeated(key).values()) <= 1


@pytest.mark.promise("P4", "P9")
@pytest.mark.parametrize("quiet_site_on", QUEUES_BESIDE, indirect=True)
@pytest.mark.parametrize("point", BESIDE)
def test_run_survives_a_death_between_store_and_queue(point, quiet_site, queue, key):
    handle = start_everything(quiet_site, queue, key)
    die_at(point, quiet_site, queue)
    end_well(quiet_site, queue, handle)
    assert sum(repeated(key).values()) <= MOST_REPEATED


@pytest.mark.promise("P4")
def test_death_when_an_activity_returned_repeats_it(quiet_site, queue, key):
    """At least once is meant: a result that was not recorded is worth nothing."""
    site = quiet_site
    handle = site.start(site.on_queue("marks", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT="activity-returned") as doomed:
        assert doomed.wait() == -signal.SIGKILL
    assert len(ledger.effects(key)) == 1
    [task] = site.tasks(handle)
    assert (task.status, task.attempt) == ("RUNNING", 1)
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        assert handle.result(timeout=30) == 1
    assert len(ledger.effects(key)) == 2
    [task] = site.tasks(handle)
    assert (task.status, task.attempt) == ("COMPLETED", 2)


@pytest.mark.promise("P1")
def test_two_deaths_in_a_row_are_survived(quiet_site, queue, key):
    handle = start_everything(quiet_site, queue, key)
    for point in ("decision-inside:2", "timer-committed"):
        die_at(point, quiet_site, queue)
    end_well(quiet_site, queue, handle)
    assert sum(repeated(key).values()) <= 2 * MOST_REPEATED


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize(("point", "runs"), [("start-inside", 0), ("start-committed", 1)])
def test_start_is_all_or_nothing(point, runs, quiet_site, queue, key):
    site = quiet_site
    given = ["marks", "--input", json.dumps({"key": key}), "--workflow-id", key, "--queue", queue]
    ended = site.project.manage("durable_start", *given, DURABLE_CRASH_AT=point)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    found = list(WorkflowExecution.objects.using(site.alias).filter(workflow_id=key))
    assert len(found) == runs
    assert sum(stats.ready for stats in engine().queue.stats() if stats.queue == queue) == runs
    assert not HistoryEvent.objects.using(site.alias).filter(execution__in=found).exists()
    assert site.project.manage("durable_start", *given).returncode == 0  # the same again: one run, whether or not
    [run] = WorkflowExecution.objects.using(site.alias).filter(workflow_id=key)
    with site.project.worker("--until-idle", "--queue-name", queue):
        wait_until(lambda: site.execution(run.pk).status == "COMPLETED", "the run to complete")
        assert_sound(site, run.pk)
    assert len(ledger.effects(key)) == 1
