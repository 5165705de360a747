"""What runs that sleep cost a worker: no memory beyond its cache, and no statement that looks at more than one row of
them, however many there are."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from django_durable.engine import engine, make_worker, worker_settings
from django_durable.models import QueueEntry, WorkflowExecution
from django_durable.store.postgres import Session
from durable_core.codec import EMPTY_OBJECT
from durable_core.events import EventRecord
from durable_core.execution import Status
from durable_core.ports import Commit, Letter
from durable_core.testing.contracts.builders import a_run, a_task
from tests.demands.counting import CLOCK
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.harness import WorkerProcess
    from tests.sites import Site

# Memory

FIRST, MORE = 1_500, 1_500  # runs: to fill the caches (ours, and SQLite's of 2 MB), and to measure with
PER_RUN = 0.75  # KB that a sleeping run may cost; one that is kept in memory costs 14


@pytest.mark.parametrize("cache", [0, 100])
def test_memory_of_a_worker_does_not_grow_with_the_runs_that_sleep(quiet_site, queue, cache):
    site = quiet_site
    settings = json.dumps({"WORKFLOW_CACHE_SIZE": cache})
    with site.project.worker("--queue-name", queue, DURABLE_TEST_SETTINGS=settings) as worker:
        put_to_sleep(site, queue, FIRST)
        before = resident(worker)
        put_to_sleep(site, queue, MORE)
        grown = resident(worker) - before
    assert grown < MORE * PER_RUN, f"{grown} KB more for {MORE} more runs"


def put_to_sleep(site: Site, queue: str, number: int) -> None:
    """Start so many runs, and wait until the worker has parked them all."""
    runs = WorkflowExecution.objects.using(site.alias).filter(queue=queue)
    total = runs.count() + number
    workflow = site.on_queue("sleeps", queue)
    with transaction.atomic(site.alias):
        for _ in range(number):
            site.start(workflow, seconds=86_400)
    asleep = runs.filter(status="RUNNING", due_at__isnull=False)
    wait_until(lambda: asleep.count() == total, lambda: f"all to sleep; {asleep.count()} of {total} do")
    wait_until(lambda: not QueueEntry.objects.using(site.alias).filter(queue=queue).exists(), "an empty queue")


def resident(worker: WorkerProcess) -> int:
    """KB of memory that a process has now."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{worker.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


# Statements

TABLES = [f"django_durable_{name}" for name in ("workflowexecution", "historyevent", "activitytask", "mail")]
FEW, MANY = 20, 20_000
RUNNING_ONLY = " USING (?:COVERING )?INDEX durable_task_worker"  # as many as there are activity slots
ROUNDS = 20  # of an idle worker


def sleepers(alias: str, number: int) -> None:
    """Runs that wait for next year's timer, each with an activity in backoff and mail that it will read later."""
    store = engine().store
    later = store.now() + timedelta(days=365)
    for first in range(0, number, 2_000):
        runs = [a_run() for _ in range(min(2_000, number - first))]
        store.create(runs)
        store.commit([asleep_until(later, run.id) for run in runs])
        with store.transaction():
            store.deliver([Letter(run.id, "signal_received", None, EMPTY_OBJECT) for run in runs])
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE django_durable_mail SET due_at = %s", [later])


def asleep_until(moment: Any, run_id: Any) -> Commit:
    kinds = ("workflow_started", "activity_scheduled", "timer_started")
    return Commit(
        run_id=run_id,
        version=0,
        status=Status.RUNNING,
        events=[EventRecord(seq, kind, None, EMPTY_OBJECT, moment) for seq, kind in enumerate(kinds, 1)],
        history_length=len(kinds),
        tasks=[a_task(due_at=moment)],
        due_at=moment,
    )


@dataclass
class Look:
    """What a worker asked for while it had nothing to do: each statement, as it went to the driver."""

    alias: str
    times: Counter[str] = field(default_factory=Counter)  # by the loop's thread
    work: Counter[str] = field(default_factory=Counter)  # rows it went through; on SQLite, steps of its machine
    plans: dict[str, str] = field(default_factory=dict)

    def note(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        raw = context["connection"].connection
        if sql == CLOCK or sql.startswith("BEGIN"):
            return execute(sql, params, many, context)
        self.times[sql] += threading.current_thread() is threading.main_thread()
        if context["connection"].vendor == "postgresql":
            if sql not in self.plans:
                self.explain_on_postgres(raw, sql, [json.dumps(params)] if many else params)
            return execute(sql, params, many, context)
        first = params[0] if many else params
        explained = raw.execute(f"EXPLAIN QUERY PLAN {sql.replace('%s', '?')}", first)
        self.plans[sql] = "\n".join(row[3] for row in explained)
        steps: Counter[str] = Counter()
        raw.set_progress_handler(lambda: steps.update([sql]), 1)  # an instruction of SQLite's machine
        try:
            return execute(sql, params, many, context)
        finally:
            raw.set_progress_handler(None, 0)
            self.work |= steps

    def explain_on_postgres(self, raw: Any, sql: str, params: Sequence[Any]) -> None:
        """In the worker's own session, which makes its plans in its own way; what the statement does is undone."""
        with raw.transaction(force_rollback=True):
            [[[plan]]] = raw.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params).fetchall()
        nodes = list(nodes_of(plan["Plan"]))
        self.plans[sql] = "\n".join(f"{node['Node Type']} on {node['Relation Name']}" for node in nodes)
        for node in nodes:
            through = node["Actual Rows"] + sum(node.get(f"Rows Removed by {what}", 0) for what in REMOVED)
            self.work[sql] += round(through * node["Actual Loops"])


REMOVED = ("Filter", "Index Recheck", "Join Filter")


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that read a table."""
    if "Relation Name" in plan:
        yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


def look_at_idle_worker(alias: str) -> Look:
    """A worker in this process, for some rounds; its heart beats often enough to be seen, in its own thread."""
    look = Look(alias)

    def watch(connection: Any, **_: Any) -> None:
        if connection.alias == alias:
            connection.execute_wrappers.append(look.note)

    connections[alias].close()
    connection_created.connect(watch)
    try:
        make_worker(worker_settings(tick=0.01, heartbeat_interval=0.05)).run(iterations=ROUNDS)
    finally:
        connection_created.disconnect(watch)
        connections[alias].execute_wrappers.clear()
    return look


def test_idle_worker_looks_at_one_sleeper_at_most_however_many_there_are(alias, monkeypatch):
    sleepers(alias, FEW)
    few = look_at_idle_worker(alias)
    sleepers(alias, MANY - FEW)
    assert_no_more_work(look_at_idle_worker(alias), few)
    with connections[alias].cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does sooner or later
    assert_no_more_work(look_at_idle_worker(alias), few)
    # Behind a pooler of Postgres, where the worker may not tell the planner to read no whole table.
    monkeypatch.setattr(Session, "_is_alone", lambda self: False)
    assert_no_more_work(look_at_idle_worker(alias), few)


def assert_no_more_work(many: Look, few: Look) -> None:
    for sql, plan in many.plans.items():
        scanned = re.findall(rf"(?:SCAN|Seq Scan on) ({'|'.join(TABLES)})\b(?!{RUNNING_ONLY})", plan)
        assert not scanned, f"{sql}\n{plan}"
        assert many.work[sql] <= few.work[sql] + 3, f"{many.work[sql]} instead of {few.work[sql]}:\n{sql}\n{plan}"
    assert many.plans.keys() == few.plans.keys()
    assert max(many.times.values()) <= ROUNDS  # each at most once a round
