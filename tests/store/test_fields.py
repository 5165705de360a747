"""What a column holds is what Python gets, whatever the project's settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from django_durable.models import WorkflowExecution
from django_durable.store import DjangoHistoryStore
from durable_core.codec import encode
from durable_core.ports import NewRun, new_id
from tests.store.databases import column

# Both are 02:30 in Berlin: the clock goes back in between.
FOLDS = (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))


@pytest.fixture(params=[(True, "UTC"), (True, "Europe/Berlin"), (False, "Europe/Berlin"), (False, "America/New_York")])
def time_settings(request: pytest.FixtureRequest, alias: str) -> Iterator[None]:
    """The project's USE_TZ and TIME_ZONE, with a connection that was made under them."""
    use_tz, zone = request.param
    connections[alias].close()
    with override_settings(USE_TZ=use_tz, TIME_ZONE=zone):
        yield
    connections[alias].close()


@pytest.mark.usefixtures("time_settings")
@pytest.mark.parametrize("at", [*FOLDS, datetime(2026, 3, 29, 1, 30, 0, 5, tzinfo=UTC)])
def test_instant_is_the_same_for_store_and_orm(alias: str, store: DjangoHistoryStore, at: datetime) -> None:
    run_id = new_id()
    store.create([NewRun(id=run_id, workflow_name="w", input=encode({}), queue="default", deadline=at)])
    record = store.get(run_id)
    assert record is not None
    assert (record.deadline, record.deadline and record.deadline.utcoffset()) == (at, timedelta())
    row = WorkflowExecution.objects.using(alias).get(deadline=at.astimezone(timezone(timedelta(hours=5))))
    assert (row.id, row.deadline, row.deadline and row.deadline.tzinfo) == (run_id, at, UTC)
    assert not WorkflowExecution.objects.using(alias).filter(deadline__gt=at).exists()
    row.deadline = at + timedelta(hours=1)
    row.save(using=alias)
    record = store.get(run_id)
    assert record is not None
    assert record.deadline == at + timedelta(hours=1)


@pytest.mark.parametrize(
    "value", [None, 7, "Ünï\u2028 \U0001f600 \x00 \ud800", {"b": [1, 2.5, {"a": None}], "a": 2**70}, [], -0.0]
)
def test_payload_is_a_value_for_python_and_ascii_for_the_database(alias: str, value: Any) -> None:
    row = WorkflowExecution.objects.using(alias).create(workflow_name="w", input=value)
    assert column(alias, "workflowexecution", "input", row.id) == encode(value)
    row.refresh_from_db(using=alias)
    assert row.input == value
    assert WorkflowExecution.objects.using(alias).filter(input=value).exists()


def test_no_result_is_not_the_result_null(alias: str) -> None:
    runs = WorkflowExecution.objects.using(alias)
    none = runs.create(workflow_name="w")
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE django_durable_workflowexecution SET result = 'null'")
    null = runs.create(workflow_name="w")
    assert list(runs.filter(result__isnull=False)) == [none]
    assert (runs.get(id=none.id).result, runs.get(id=null.id).result) == (None, None)
