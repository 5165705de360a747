"""Runs that go on as new ones, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from django_durable import (
    WorkflowCanceled,
    WorkflowClosed,
    cancel_workflow,
    run_workflow,
    send_signal,
    start_workflow,
)
from django_durable.models import WorkflowExecution
from tests.scenarios import ledger
from tests.waiting import wait_until

ITEMS = ["a", "b", "c"]


def chain_of(site, handle):
    """Statuses of the runs, in their order."""
    rows = WorkflowExecution.objects.using(site.alias)
    later = rows.filter(chain_id=handle.id).order_by("created_at")
    return [site.execution(handle).status, *later.values_list("status", flat=True)]


def _has_runs(site, handle, number):
    return len(chain_of(site, handle)) == number


@pytest.mark.promise("P6")
def test_rule_23_signals_are_carried_and_the_first_id_answers_for_the_chain(site, key):
    handle = site.start("collects_for_ever", key=key)
    for item in ITEMS:
        send_signal(handle, "item", item)
    assert handle.result(timeout=30) == ITEMS
    assert chain_of(site, handle) == ["CONTINUED_AS_NEW", "CONTINUED_AS_NEW", "COMPLETED"]
    assert site.history(handle)[-1] == "workflow_continued_as_new"
    assert [len(ledger.effects(f"{key}-{item}")) for item in ITEMS] == [1, 1, 1]


def test_rule_23_signals_through_the_first_id_reach_the_newest_run(site, key):
    handle = site.start("collects_for_ever", key=key)
    for number, item in enumerate(ITEMS, start=1):
        send_signal(handle, "item", item)
        wait_until(partial(_has_runs, site, handle, min(number + 1, 3)), "the next run")
    assert handle.result(timeout=30) == ITEMS
    with pytest.raises(WorkflowClosed, match="COMPLETED"):
        send_signal(handle, "item", "d")


def test_rule_23_a_workflow_id_names_the_open_run(site, key):
    first = site.start(site.on_queue("collects_for_ever", "default", workflow_id=key), key=key, most=2)
    send_signal(first, "item", "a")
    wait_until(lambda: len(chain_of(site, first)) == 2, "the next run")
    [newest] = WorkflowExecution.objects.using(site.alias).filter(chain_id=first.id)
    found = start_workflow(site.on_queue("collects_for_ever", "default", workflow_id=key), key=key, most=2)
    assert (found.id, newest.workflow_id) == (newest.id, key)
    send_signal(found, "item", "b")
    assert first.result(timeout=30) == ["a", "b"]


@pytest.mark.promise("P7")
@pytest.mark.parametrize("graceful", [True, False])
def test_a_chain_that_never_rests_can_be_canceled(site, graceful):
    handle = site.start("goes_round")
    wait_until(lambda: len(chain_of(site, handle)) > 3, "some runs")
    assert cancel_workflow(handle, reason="enough", graceful=graceful)
    with pytest.raises(WorkflowCanceled, match="enough"):
        handle.result(timeout=30)
    *before, last = chain_of(site, handle)
    assert (set(before), last) == ({"CONTINUED_AS_NEW"}, "CANCELED")


def test_rule_22_a_parent_hears_how_the_chain_ended(site, key):
    handle = site.start("waits_for_a_chain", key=key)
    site.until_waiting(handle, "signal")
    child = WorkflowExecution.objects.using(site.alias).get(parent=handle.id)
    for item in ITEMS:
        send_signal(child, "item", item)
    wait_until(lambda: len(ledger.effects(f"{key}-c")) == 1, "the chain to end")
    send_signal(handle, "go")
    assert handle.result(timeout=30) == ITEMS
    assert site.history(handle).count("child_workflow_completed") == 1


def test_rule_20_a_chain_is_canceled_with_its_parent(site, key):
    handle = site.start("waits_for_a_chain", key=key)
    site.until_waiting(handle, "signal")
    children = WorkflowExecution.objects.using(site.alias).filter(parent=handle.id)
    send_signal(children.get(), "item", "a")
    wait_until(lambda: children.count() == 2, "the chain to go on")
    assert cancel_workflow(handle)
    assert sorted(children.values_list("status", flat=True)) == ["CANCELED", "CONTINUED_AS_NEW"]


def test_what_a_run_has_left_behind_ends_with_it(site, key):
    handle = site.start("leaves_things_behind", key=key)
    wait_until(lambda: len(chain_of(site, handle)) == 2, "the next run")
    child = WorkflowExecution.objects.using(site.alias).get(parent=handle.id)
    wait_until(lambda: site.execution(child).status == "CANCELED", "the child to be canceled")
    send_signal(handle, "end", "well")
    assert handle.result(timeout=30) == "well"


def test_run_workflow_drives_a_chain_to_its_end(quiet_site, key):
    assert run_workflow("counts_down", n=3) == ["counted", 0]


@pytest.mark.promise("P1", "P6")
@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2", "run-claimed:2", "activity-returned"])
def test_a_chain_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("collects_for_ever", queue), key=key)
    for item in ITEMS:
        send_signal(handle, "item", item)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == ITEMS
    assert chain_of(site, handle) == ["CONTINUED_AS_NEW", "CONTINUED_AS_NEW", "COMPLETED"]
    for item in ITEMS:
        assert len(ledger.effects(f"{key}-{item}")) in (1, 2)
