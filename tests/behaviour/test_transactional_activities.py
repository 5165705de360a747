"""Activities whose outcome commits with what they write, through the real worker and behind a SIGKILL."""

from __future__ import annotations

import signal

import pytest

from django_durable.models import WorkflowExecution
from tests.crashes.proof import assert_sound
from tests.project.app.models import Order
from tests.scenarios import ledger
from tests.waiting import wait_until

on_postgres = pytest.mark.parametrize("site_with_worker", ["postgres-cached"], indirect=True)
IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}


def orders_of(site, key):
    return list(Order.objects.using(site.alias).filter(number__startswith=key).values_list("number", flat=True))


def started_by(site, key):
    return WorkflowExecution.objects.using(site.alias).filter(workflow_name="returns", input={"value": key})


def test_the_rows_of_a_transactional_activity_are_there_when_its_outcome_is(site, key):
    handle = site.start("buys", key=key)
    assert handle.result(timeout=30) == [1, 1]
    assert orders_of(site, key) == [f"{key}-1-0-1", f"{key}-2-0-1"]
    assert [task.status for task in site.tasks(handle)] == ["COMPLETED", "COMPLETED"]
    assert site.history(handle).count("activity_completed") == 2


@pytest.mark.parametrize("error", ["ValueError", "SystemExit"])
def test_an_exception_takes_back_what_a_transactional_activity_wrote(site, key, error):
    """Its rows, and the run that it had started; it is a failed attempt like any other."""
    assert site.run("tries", name="orders_and_starts", args=[key, 2, error]) == {"result": 3}
    assert orders_of(site, key) == [f"{key}-0-3"]
    assert started_by(site, key).count() == 1


def test_a_result_that_cannot_be_stored_takes_back_what_a_transactional_activity_wrote(site, key):
    error = site.run("tries", name="orders_the_unstorable", args=[key])
    assert (error["type_name"], error["attempt"]) == ("PayloadError", 1)
    assert orders_of(site, key) == []


@on_postgres
def test_a_transactional_attempt_that_is_not_wanted_any_more_takes_back_what_it_wrote(site, key):
    """On SQLite there is nobody beside it: it has the only write transaction."""
    handle = site.start("tries", name="orders_too_slowly", args=[key])
    assert handle.result(timeout=30) == {"result": "attempt 2"}
    assert len(ledger.effects(key)) == 2
    ledger.open_gate(key)
    wait_until(lambda: "came too late and was undone" in site.up.said, "the first attempt to end")
    assert orders_of(site, key) == [f"{key}-0-2"]
    assert site.history(handle).count("activity_completed") == 1


@on_postgres
def test_a_deadlock_does_a_transactional_attempt_again_and_counts_none(site, key):
    rows = [Order.objects.using(site.alias).create(number=f"{key}-{n}") for n in (1, 2)]
    handle = site.start("pays_at_once", key=key, first=rows[0].pk, second=rows[1].pk)
    assert handle.result(timeout=30) == [1, 1]
    # The one that goes again may take its row back before the other wakes, and both meet once more.
    assert len(ledger.effects(key)) >= 3
    assert Order.objects.using(site.alias).filter(number__startswith=key, paid=True).count() == 2


@pytest.mark.promise("P4")
@pytest.mark.parametrize("point", ["activity-returned", "outcome-inside", "outcome-committed"])
def test_a_transactional_activity_writes_once_whenever_its_worker_dies(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("buys", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    assert len(orders_of(site, key)) == (1 if point == "outcome-committed" else 0)
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        attempts = handle.result(timeout=30)
        assert_sound(site, handle)
    assert attempts == ([1, 1] if point == "outcome-committed" else [2, 1])
    assert orders_of(site, key) == [f"{key}-1-0-{attempts[0]}", f"{key}-2-0-1"]
