"""What a worker asks of the database: counted over whole runs, through a worker that runs in this process."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from django_durable import start_workflow
from django_durable.engine import engine, make_worker, worker_settings
from django_durable.models import HistoryEvent, WorkflowExecution
from durable_core.ports import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READS = ("SELECT", "WITH", "PRAGMA", "BEGIN", "COMMIT")


@pytest.fixture
def alias(quiet_site) -> str:
    """A database with nothing in it but what the test puts there."""
    name: str = quiet_site.alias
    with connections[name].cursor() as cursor:
        for table in ("queueentry", "mail", "historyevent", "activitytask", "workflowexecution", "worker"):
            cursor.execute(f"DELETE FROM django_durable_{table}")
    return name


@contextmanager
def counted(alias: str) -> Iterator[list[str]]:
    """The statements of the block, but for looks at the clock, which happen once a second."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "clock_timestamp()" not in sql or len(sql) > 40:
            seen.append(sql)
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        yield seen


def drive(**choices: Any) -> None:
    """A worker in this process, until there is nothing left to do; its heartbeats are too rare to be counted."""
    make_worker(worker_settings(**{"tick": 0.05, "heartbeat_interval": 60.0, **choices})).run(until_idle=True)


def statements_of(alias: str, steps: int) -> int:
    start_workflow("sequence", n=steps)
    with counted(alias) as seen:
        drive()
    return len(seen)


def test_statements_per_step_do_not_depend_on_the_length_of_the_history(alias):
    short, long = statements_of(alias, 40), statements_of(alias, 160)
    first, last = short / 40, long / 160
    assert last <= first * 1.1, f"{first} statements per step in a short run, {last} in a long one"
    assert last < 20


def test_statements_do_not_depend_on_the_number_of_runs_in_a_batch(alias):
    def of(runs: int) -> int:
        with engine().store.transaction():
            for number in range(runs):
                start_workflow("returns", value=number)
        with counted(alias) as seen:
            drive(batch=200)
        return len(seen)

    few, many = of(2), of(100)
    assert many <= few + 3, f"{few} statements for 2 runs, {many} for 100"


def test_no_statement_names_a_single_event_of_a_long_history(alias):
    """A step writes its own events and reads none, while the run is in memory."""
    start_workflow("sequence", n=30)
    with counted(alias) as seen:
        drive()
    kinds = Counter("read" if sql.startswith("SELECT") else "write" for sql in seen if "historyevent" in sql)
    assert kinds["read"] <= 2, kinds


def test_an_idle_worker_writes_nothing_and_asks_little(alias):
    drive()
    ticks = 20
    with counted(alias) as seen:
        make_worker(worker_settings(tick=0.005, heartbeat_interval=60.0)).run(iterations=ticks)
    writes = [sql for sql in seen if not sql.lstrip().startswith(READS) and "SKIP LOCKED" not in sql]
    arrival_and_leaving = [sql for sql in writes if "django_durable_worker" in sql]
    assert len(writes) == len(arrival_and_leaving) <= 3, writes
    assert len(seen) <= ticks * 4 + 10, Counter(seen).most_common(8)


def test_sleeping_runs_are_neither_loaded_nor_scanned(alias):
    later = "2999-01-01T00:00:00+00:00"
    empty: dict[str, Any] = {"input": {}}
    rows = [
        WorkflowExecution(
            id=new_id(), workflow_name="returns", status="RUNNING", queue="default", due_at=later, **empty
        )
        for _ in range(20_000)
    ]
    WorkflowExecution.objects.using(alias).bulk_create(rows, batch_size=2_000)
    with connections[alias].cursor() as cursor:
        cursor.execute("ANALYZE")
    with counted(alias) as seen:
        make_worker(worker_settings(tick=0.005, heartbeat_interval=60.0)).run(iterations=10)
    with connections[alias].cursor() as cursor:
        for sql in {sql for sql in seen if sql.startswith("SELECT") and "django_durable_" in sql and "%" not in sql}:
            explain = "EXPLAIN QUERY PLAN " if connections[alias].vendor == "sqlite" else "EXPLAIN "
            cursor.execute(explain + sql)
            plan = "\n".join(str(row) for row in cursor.fetchall())
            assert "SCAN django_durable_workflowexecution" not in plan.replace("USING", ""), plan
            assert "Seq Scan on django_durable_workflowexecution" not in plan, plan
    assert not HistoryEvent.objects.using(alias).exists()
