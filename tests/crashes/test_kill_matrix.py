"""SIGKILL at every crash point: the run ends as if nothing had happened, and effects are counted."""

from __future__ import annotations

import json
import signal
from collections.abc import Set as AbstractSet

import pytest

from django_durable import send_signal
from django_durable.engine import engine
from django_durable.models import HistoryEvent, WorkflowExecution
from durable_core.crashpoints import CRASHPOINTS
from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.scenarios.crash_workflows import EVERYTHING
from tests.waiting import wait_until

# Only one worker at a time lives here, so nobody is there to take a slow one for dead.
IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}

# How often each effect happens when no process dies.
EXACTLY = {"first": 1, "queued": 1, "falters": 2, "child": 1, "last": 1}

# What may have happened once more: the activities whose outcome was on its way when the process died.
REPEATED: dict[str, AbstractSet[str]] = {
    "run-claimed": set(),
    "run-replayed": set(),
    "decision-inside": set(),
    "decision-inside:2": {"first", "queued"},
    "decision-inside:3": {"first", "queued"},
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


def test_matrix_is_complete():
    assert {point.partition(":")[0] for point in REPEATED} | STARTS == set(CRASHPOINTS)


@pytest.mark.promise("P1", "P4")
@pytest.mark.parametrize("point", REPEATED)
def test_run_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("everything", queue), key=key)
    send_signal(handle, "word", "signaled")
    crowd = ["--queue-name", queue, "--threads", "1"]  # one slot: the second activity waits in the queue
    with site.project.worker(*crowd, DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    assert site.execution(handle).status in ("PENDING", "RUNNING")
    with site.project.worker(*crowd, durable=IMPATIENT):
        assert handle.result(timeout=30) == EVERYTHING
        assert_sound(site, handle)
    for name, times in EXACTLY.items():
        happened = len(ledger.effects(f"{key}-{name}"))
        allowed = {times, times + 1} if name in REPEATED[point] else {times}
        assert happened in allowed, f"{name} happened {happened} times"


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
    site = quiet_site
    handle = site.start(site.on_queue("everything", queue), key=key)
    send_signal(handle, "word", "signaled")
    crowd = ["--queue-name", queue, "--threads", "1"]
    for point in ("decision-inside:2", "timer-committed"):
        with site.project.worker(*crowd, DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
            assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker(*crowd, durable=IMPATIENT):
        assert handle.result(timeout=30) == EVERYTHING
        assert_sound(site, handle)


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
