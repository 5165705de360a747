"""The number of statements does not depend on the number of runs, nor on the length of histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from durable_core.codec import EMPTY_OBJECT, NULL
from durable_core.events import EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Beat, Commit, Entry, EntryKind, Letter, TaskOutcome, Verdict, WorkerInfo, new_id
from durable_core.testing.contracts.builders import a_run, a_task

WORKER = new_id()


@contextmanager
def counted(alias: str) -> Iterator[list[str]]:
    """The statements that the block runs, without those that frame transactions and the look at the clock."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(("BEGIN", "SELECT clock_timestamp()")):  # the clock is read once a second at most
            seen.append(sql)
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        yield seen


def started(store: DjangoHistoryStore, run_id: UUID, task_id: UUID, events: int = 3) -> Commit:
    return Commit(
        run_id=run_id,
        version=0,
        status=Status.RUNNING,
        events=[EventRecord(n, "timer_fired", None, EMPTY_OBJECT, store.now()) for n in range(1, events + 1)],
        history_length=events,
        tasks=[a_task(id=task_id, claimed=True)],
        worker_id=WORKER,
    )


def everything(store: DjangoHistoryStore, run_id: UUID, task_id: UUID, parent: UUID, mail: list[int]) -> Commit:
    """A decision that closes a run and does all that a commit can do."""
    return Commit(
        run_id=run_id,
        version=1,
        status=Status.COMPLETED,
        events=[EventRecord(4, "workflow_completed", None, EMPTY_OBJECT, store.now())],
        history_length=4,
        result=NULL,
        mail_read=mail,
        outcomes=[TaskOutcome(task_id=task_id, run_id=run_id, token=1, status=TaskStatus.COMPLETED, result=NULL)],
        tasks=[a_task(call_id="9")],
        children=[a_run(parent_id=run_id, parent_call_id="7")],
        letters=[Letter(parent, "child_workflow_completed", "0", EMPTY_OBJECT)],
    )


@pytest.mark.parametrize("number", [1, 60])
def test_commit_takes_a_handful_of_statements(alias: str, store: DjangoHistoryStore, number: int) -> None:
    runs, tasks = [a_run() for _ in range(number)], [new_id() for _ in range(number)]
    parent = a_run()
    store.create([*runs, parent])
    with counted(alias) as first:
        store.commit([started(store, run.id, task) for run, task in zip(runs, tasks, strict=True)])
    assert len(first) == 4, first  # lock; events, runs, tasks
    store.deliver([Letter(run.id, "signal_received", None, EMPTY_OBJECT) for run in runs])
    unread = store.unread({run.id: 1 for run in runs})
    commits = [
        everything(store, run.id, task, parent.id, [mail.id for mail in unread[run.id]])
        for run, task in zip(runs, tasks, strict=True)
    ]
    with counted(alias) as last:
        committed = store.commit(commits)
    assert {result.verdict for result in committed.results.values()} == {Verdict.COMMITTED}
    assert len(last) <= 11, last


@pytest.mark.parametrize(("number", "events"), [(1, 3), (40, 3), (2, 3000)])
def test_load_takes_three_statements(alias: str, store: DjangoHistoryStore, number: int, events: int) -> None:
    runs = [a_run() for _ in range(number)]
    store.create(runs)
    store.commit([started(store, run.id, new_id(), events) for run in runs])
    with counted(alias) as seen:
        loaded = store.load([run.id for run in runs])
    assert len(seen) == 3, seen
    assert all(len(run.events) == events for run in loaded.values())
    with counted(alias) as seen:
        store.get(runs[0].id)
        store.unread({run.id: 1 for run in runs})
    assert len(seen) == 2, seen


def test_idle_worker_takes_a_handful_of_reads(alias: str, store: DjangoHistoryStore, queue: DatabaseTaskQueue) -> None:
    limits = {EntryKind.RUN: 20, EntryKind.ACTIVITY: 10}
    with counted(alias) as seen:
        queue.claim(WORKER, limits, queues=(), exclude=())
        store.next_due()
        store.dead_workers(timedelta(seconds=15))
        store.buried_alive()
    assert len(seen) == 4, seen
    store.add_worker(WorkerInfo(id=WORKER, host="h", pid=1, queues=()))
    task_id = new_id()
    run = a_run()
    store.create([run])
    store.commit([started(store, run.id, task_id)])
    with counted(alias) as seen:
        store.beat(WORKER, [Beat(task_id, 1, None, None, is_sign_of_life=True)])
    assert len(seen) == 3, seen
    store.remove_worker(WORKER)


@pytest.mark.parametrize("number", [1, 50])
def test_queue_takes_one_or_two_statements(alias: str, queue: DatabaseTaskQueue, number: int) -> None:
    with counted(alias) as seen:
        queue.enqueue([Entry(EntryKind.RUN, new_id(), "default") for _ in range(number)])
    assert len(seen) <= 2, seen
    with counted(alias) as seen:
        claims = queue.claim(WORKER, {EntryKind.RUN: 100}, queues=(), exclude=())
    assert (len(claims), len(seen) <= 2) == (number, True), seen
    with counted(alias) as seen:
        queue.complete(claims)
    assert len(seen) == 1, seen
