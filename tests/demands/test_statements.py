"""What a worker asks of the database: counted over whole runs, through a worker that runs in this process."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django_durable import start_workflow
from django_durable.engine import engine, make_worker, worker_settings
from tests.demands.counting import counted

READS = ("SELECT", "WITH", "PRAGMA", "BEGIN", "COMMIT")


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
