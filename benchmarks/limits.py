"""The ceiling: the store's and the queue's own statements, without the engine and without the making of parameters.

Runs are created, claimed, loaded, decided twice (an activity committed as claimed; its outcome with the end of the run)
and their entries removed, through store and queue, in batches of 100; what reaches the driver is recorded. Then the
tables are emptied, their counters reset, and the same statements with the same parameters run again, in the same
transactions, straight on the driver. A queue outside of Django is one statement or one script a call: it is called
again. Creating the runs is left out of the figure.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction

from django_durable.engine import engine
from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from django_durable.store.database import Database
from durable_core.codec import Payload
from durable_core.events import EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.hints import backend_of
from durable_core.ports import Commit, Entry, EntryKind, NewRun, NewTask, TaskOutcome, Verdict, WorkerInfo, new_id
from durable_core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from uuid import UUID

    from durable_core.ports import Claim

BATCH = 100
TABLES = (
    *("queueentry", "mail", "message", "eventvalue", "publisheditem"),
    *("historyevent", "activitytask", "workflowexecution"),
)
INPUT = Payload('{"payload":""}')
ARGS = Payload('{"args":[""],"kwargs":{}}')
RESULT = Payload('""')
WORKER = new_id()
LIMITS = {EntryKind.RUN: BATCH, EntryKind.ACTIVITY: 10}
BEGINNINGS = ("BEGIN", "BEGIN IMMEDIATE")


@dataclass
class Unit:
    """What was done at a time: in one transaction, and after it."""

    phase: str
    statements: list[tuple[bool, str, Any]] = field(default_factory=list)  # many, statement, parameters
    inside: list[Callable[[], None]] = field(default_factory=list)  # calls of the queue
    after: list[Callable[[], None]] = field(default_factory=list)


def measure(runs: int) -> dict[str, Any]:
    units = _record(runs // BATCH)
    _empty()
    seconds: dict[str, float] = {}
    for unit in units:
        begun = time.perf_counter()
        _replay(unit)
        seconds[unit.phase] = seconds.get(unit.phase, 0.0) + time.perf_counter() - begun
    done = runs // BATCH * BATCH
    seconds.pop("create")
    return {
        "runs": done,
        "per_second": done / sum(seconds.values()),
        **{phase: spent / done * 1e6 for phase, spent in seconds.items()},
    }


class Asked:
    """The queue, which does what it is asked and leaves in the unit how it is done again."""

    def __init__(self) -> None:
        self._queue = backend_of(engine().queue)
        self._is_recorded = isinstance(self._queue, DatabaseTaskQueue)  # by its statements
        self._claims: Collection[Claim] = ()

    def enqueue(self, unit: Unit, entries: list[Entry]) -> None:
        self._ask(unit, lambda: self._queue.enqueue(entries))

    def claim(self, unit: Unit) -> None:
        self._ask(unit, self._claim)

    def complete(self, unit: Unit) -> None:
        self._ask(unit, lambda: self._queue.complete(self._claims))

    def _claim(self) -> None:
        self._claims = self._queue.claim(WORKER, LIMITS, queues=(), exclude=())
        assert len(self._claims) == BATCH

    def _ask(self, unit: Unit, call: Callable[[], None]) -> None:
        if self._is_recorded:
            call()
        elif self._queue.transactional:
            call()
            unit.inside.append(call)
        else:
            unit.after.append(call)


def _record(batches: int) -> list[Unit]:
    store, queue = DjangoHistoryStore(), Asked()
    store.add_worker(WorkerInfo(id=WORKER, host="bench", pid=os.getpid(), queues=()))  # plans are made as for workers
    units: list[Unit] = []
    for _ in range(batches):
        runs = [NewRun(id=new_id(), workflow_name="one_activity", input=INPUT, queue="default") for _ in range(BATCH)]
        ids = [run.id for run in runs]
        tasks = [new_id() for _ in runs]
        with _recording(units, "create") as unit:
            store.create(runs)
            queue.enqueue(unit, [Entry(EntryKind.RUN, run, "default") for run in ids])
        with _recording(units, "claim") as unit:
            queue.claim(unit)
        with _recording(units, "load"):
            store.load(ids)
        now = store.now()
        with _recording(units, "first") as unit:
            made = store.commit([_first(*pair, now) for pair in zip(ids, tasks, strict=True)])
            queue.complete(unit)
        assert all(result.verdict is Verdict.COMMITTED for result in made.results.values())
        with _recording(units, "last"):
            made = store.commit([_last(*pair, now) for pair in zip(ids, tasks, strict=True)])
        assert all(result.verdict is Verdict.COMMITTED for result in made.results.values())
    return units


@contextmanager
def _recording(units: list[Unit], phase: str) -> Iterator[Unit]:
    unit = Unit(phase)

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql not in BEGINNINGS:  # the replay begins transactions of its own
            unit.statements.append((many, sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper), DjangoHistoryStore().transaction():
        yield unit
    for call in unit.after:
        call()
    units.append(unit)


def _replay(unit: Unit) -> None:
    dialect = Database(DEFAULT_DB_ALIAS).dialect
    raw = connection.connection
    if unit.statements or unit.inside:
        with dialect.beginning(connection), transaction.atomic():
            for many, sql, params in unit.statements:
                if many:
                    dialect.execute_many(raw, sql, params)
                elif sql.startswith("SELECT") or "RETURNING" in sql:
                    dialect.fetch(raw, sql, params)
                else:
                    dialect.execute(raw, sql, params)
            for call in unit.inside:
                call()
    for call in unit.after:
        call()


def _empty() -> None:
    names = [f"django_durable_{table}" for table in TABLES]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
            cursor.execute("CHECKPOINT")
            return
        for name in names:
            cursor.execute(f"DELETE FROM {name}")
        cursor.execute("DELETE FROM sqlite_sequence")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _first(run_id: UUID, task_id: UUID, now: Any) -> Commit:
    task = NewTask(
        id=task_id,
        call_id="0",
        activity_name="echo",
        input=ARGS,
        queue="default",
        priority=0,
        retry_policy=RetryPolicy().to_json(),
        expires_at=None,
        schedule_to_start=None,
        start_to_close=None,
        heartbeat_timeout=None,
        claimed=True,
    )
    return Commit(
        run_id=run_id,
        version=0,
        status=Status.RUNNING,
        events=[
            EventRecord(1, "workflow_started", None, f'{{"workflow_name":"one_activity","input":{INPUT}}}', now),
            EventRecord(2, "activity_scheduled", "0", f'{{"activity_name":"echo","input":{ARGS}}}', now),
        ],
        history_length=2,
        tasks=[task],
        worker_id=WORKER,
        waiting_for='{"kind":"activity","what":"echo","since":"2026-01-01T00:00:00+00:00","at":"durable_workflows.py:18"}',
    )


def _last(run_id: UUID, task_id: UUID, now: Any) -> Commit:
    return Commit(
        run_id=run_id,
        version=1,
        status=Status.COMPLETED,
        events=[
            EventRecord(3, "activity_completed", "0", f'{{"attempt":1,"result":{RESULT}}}', now),
            EventRecord(4, "workflow_completed", None, f'{{"result":{RESULT}}}', now),
        ],
        history_length=4,
        result=RESULT,
        outcomes=[TaskOutcome(task_id=task_id, run_id=run_id, token=1, status=TaskStatus.COMPLETED, result=RESULT)],
    )
