"""What workflow code cancels, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal

import pytest

from django_durable import send_signal
from django_durable.models import WorkflowExecution
from tests.scenarios import ledger
from tests.waiting import wait_until


@pytest.mark.promise("P3")
def test_an_activity_is_canceled_while_it_waits_for_a_worker_or_for_its_next_attempt_or_runs(site, key, queue):
    handle = site.start("cancels_three_ways", key=key, elsewhere=queue)
    wait_until(lambda: ledger.effects(f"{key}-running"), "the activity to run")
    wait_until(lambda: [task for task in site.tasks(handle) if task.retry_at], "the backoff")
    send_signal(handle, "stop")
    assert handle.result(timeout=30) == [[True] * 3, ["enough"] * 3, [False] * 3]
    assert {task.status for task in site.tasks(handle)} == {"CANCELED"}
    assert [task.error for task in site.tasks(handle)][:2] == ["enough", "enough"]
    assert len(ledger.effects(f"{key}-backoff")) == 1
    assert ledger.effects(f"{key}-queued") == []
    history = site.history(handle)
    assert (history.count("activity_cancel_requested"), history.count("activity_canceled")) == (3, 3)


@pytest.mark.promise("P7")
def test_a_canceled_child_and_the_runs_that_go_on_for_it_are_asked_to_end(site, key):
    handle = site.start("cancels_its_child", key=key)
    children = WorkflowExecution.objects.using(site.alias).filter(parent=handle.id)
    wait_until(children.exists, "the child")
    send_signal(children.get(), "item", "a")
    wait_until(lambda: children.count() == 2, "the run that goes on for it")
    send_signal(handle, "stop")
    assert handle.result(timeout=30) == ["canceled", "enough"]
    assert sorted(children.values_list("status", flat=True)) == ["CANCELED", "CONTINUED_AS_NEW"]


GIVEN_UP = [True, "ChildCanceled", "BranchCanceled", "went on"]


def test_a_part_of_the_code_whose_time_is_over_ends_with_all_that_it_has_started(site, key, queue):
    handle = site.start("gives_up_in_time", key=key, elsewhere=queue)
    assert handle.result(timeout=30) == GIVEN_UP
    assert {task.activity_name: task.status for task in site.tasks(handle)} == {
        "effect": "CANCELED",
        "fails_before": "CANCELED",
        "echo": "COMPLETED",
    }
    assert site.execution(handle).due_at is None


def test_a_canceled_branch_may_clear_up_and_the_other_goes_on(site, key):
    handle = site.start("stops_one_of_two", key=key)
    send_signal(handle, "stop", "first")
    assert handle.result(timeout=30) == ["BranchCanceled", "not this one", True]
    assert ledger.effects(f"{key}-first")[0].endswith("not this one")
    assert ledger.effects(f"{key}-second") == []


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["timer-committed", "decision-inside:2"])
def test_a_scope_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("gives_up_in_time", queue), key=key, elsewhere=f"{queue}-none")
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == GIVEN_UP
    assert ledger.effects(f"{key}-queued") == []


@pytest.mark.promise("P1", "P3")
@pytest.mark.parametrize("point", ["decision-inside", "run-claimed:2"])
def test_a_cancel_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("starts_and_cancels", queue), key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == ["ActivityCanceled", "ChildCanceled", "TimerCanceled"]
    assert ledger.effects(key) == []
    history = site.history(handle)
    assert [kind for kind in history if "cancel" in kind and kind.startswith("activity")] == [
        "activity_cancel_requested",
        "activity_canceled",
    ]
