"""Payloads as annotated, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from django_durable import ModelRef, PayloadError, send_signal, start_workflow
from django_durable.models import WorkflowExecution
from tests.scenarios.typed_workflows import Address, Line, Order, Size, follows, hands_over_a_model, sums_up

ORDER = Order(
    UUID(int=7),
    (Line(Size.SMALL, Decimal("1.10")), Line(Size.SMALL, Decimal("2.20")), Line(Size.LARGE, Decimal(5))),
    Address(city="Ulm", since=date(2020, 1, 1)),
    express=timedelta(hours=36),
)
RESULT = ("Order", Decimal("9.30"), ORDER.to)


def test_payloads_come_as_annotated_everywhere(site):
    handle = start_workflow(sums_up, ORDER)
    send_signal(handle, "line", Line(Size.LARGE, Decimal("1.00")))
    assert handle.result(timeout=30) == RESULT
    row = site.execution(handle)
    assert row.input["order"]["lines"][0] == ["S", "1.10"]
    assert row.input["order"]["express"] == "P1DT43200S"
    assert row.result == ["Order", "9.30", {"city": "Ulm", "since": "2020-01-01"}]


def test_what_does_not_fit_starts_nothing(site):
    before = WorkflowExecution.objects.using(site.alias).count()
    with pytest.raises(PayloadError, match=r"parameter 'order' of workflow 'sums_up' .* at \$\.lines\[0\]\[1\]"):
        start_workflow("sums_up", order={"id": str(UUID(int=7)), "lines": [["S", "much"]], "to": {}})
    assert WorkflowExecution.objects.using(site.alias).count() == before


def test_a_reference_to_a_row_is_followed_in_activities_only(site):
    other = start_workflow("sums_up", order=ORDER)
    ref = replace(ModelRef.of(site.execution(other)), alias="default")  # its alias in the worker
    name, said = start_workflow(follows, ref).result(timeout=30)
    assert name == "sums_up"
    assert "called in workflow code" in said
    said = start_workflow(hands_over_a_model, ref).result(timeout=30)
    assert "an object of type WorkflowExecution (pass its primary key instead, or ModelRef.of() it)" in said
    with pytest.raises(PayloadError, match=r"found a reference to auth\.user, expected ModelRef to django_durable"):
        start_workflow(follows, ModelRef("auth.user", 7))
    other.cancel()


@pytest.mark.promise("P1", "P6")
@pytest.mark.parametrize("point", ["decision-committed:2", "activity-returned"])
def test_typed_payloads_survive_a_death_at(point, quiet_site, queue):
    handle = start_workflow(sums_up.using(queue=queue), ORDER)
    send_signal(handle, "line", Line(Size.LARGE, Decimal("1.00")))
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    project = quiet_site.project
    with project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == RESULT
