"""SQLite with the settings a new project has: DEFERRED transactions, several processes."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connections, transaction

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from durable_core.codec import EMPTY_OBJECT
from durable_core.events import EventRecord
from durable_core.execution import Status
from durable_core.ports import Commit, Entry, EntryKind, Letter, Verdict, new_id
from durable_core.testing.contracts.builders import a_run
from tests.store.databases import registered, session, sqlite_settings

PROCESSES, ROUNDS = 4, 40


def write(path: str) -> None:
    """What a worker and a web process do, over and over; any lock error ends the process with one."""
    with registered(sqlite_settings(Path(path))) as alias:
        store, queue, worker = DjangoHistoryStore(alias), DatabaseTaskQueue(alias), new_id()
        for _ in range(ROUNDS):
            runs = [a_run() for _ in range(5)]
            with store.transaction():
                store.create(runs)
                queue.enqueue([Entry(EntryKind.RUN, run.id, "default") for run in runs])
            event = EventRecord(1, "workflow_started", None, EMPTY_OBJECT, store.now())
            claims = queue.claim(worker, {EntryKind.RUN: 5}, queues=(), exclude=())
            with store.transaction():
                store.commit(
                    [
                        Commit(run_id=run.id, version=0, status=Status.RUNNING, events=[event], history_length=1)
                        for run in runs
                    ]
                )
                queue.complete(claims)
            store.deliver([Letter(run.id, "signal_received", None, EMPTY_OBJECT) for run in runs])
            store.due(store.now(), limit=10, again_at=None)
            store.beat(worker, [])
            closing = [
                Commit(run_id=run_id, version=1, status=Status.COMPLETED, mail_read=[mail.id for mail in letters])
                for run_id, letters in store.unread({run.id: 1 for run in runs}).items()
            ]
            results = store.commit(closing).results.values()
            assert {result.verdict for result in results} == {Verdict.COMMITTED}


def test_four_processes_write_without_a_lock_error(sqlite: str) -> None:
    path = connections[sqlite].settings_dict["NAME"]
    connections[sqlite].close()
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write, args=(path,)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with connections[sqlite].cursor() as cursor:
        cursor.execute("SELECT status, COUNT(*) FROM django_durable_workflowexecution GROUP BY status")
        assert cursor.fetchall() == [("COMPLETED", PROCESSES * ROUNDS * 5)]
        # Who waited for the lock looked with an older clock, so a few entries may be left; none is claimed.
        cursor.execute("SELECT COUNT(*) FROM django_durable_queueentry WHERE deliveries > 0")
        assert cursor.fetchone() == (0,)


def test_transactions_of_ours_begin_with_the_write_lock(sqlite: str) -> None:
    store, seen = DjangoHistoryStore(sqlite), []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connections[sqlite].execute_wrapper(note):
        with store.transaction():
            pass
        with transaction.atomic(sqlite):
            pass
    assert [sql for sql in seen if sql.startswith("BEGIN")] == ["BEGIN IMMEDIATE", "BEGIN"]


def test_idle_worker_does_not_wait_for_a_writer(sqlite: str) -> None:
    store, queue = DjangoHistoryStore(sqlite), DatabaseTaskQueue(sqlite)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with session(sqlite), store.transaction():
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    begun = time.monotonic()
    try:
        assert queue.claim(new_id(), {EntryKind.RUN: 1}, queues=(), exclude=()) == []
        assert store.next_due() is None
        assert time.monotonic() - begun < 1
    finally:
        done.set()
        thread.join()


def test_more_runs_than_a_statement_has_parameters(sqlite: str) -> None:
    store = DjangoHistoryStore(sqlite)
    runs = [a_run() for _ in range(33_000)]
    store.create(runs)
    assert len(store.load([run.id for run in runs])) == len(runs)


@pytest.mark.skipif(sys.platform == "win32", reason="asks for CPU time as Unix counts it")
def test_watching_costs_next_to_nothing(sqlite: str) -> None:
    with DatabaseTaskQueue(sqlite).watch(lambda: None):
        time.sleep(2.5)
        cpu = time.process_time()
        time.sleep(1.5)
        assert (time.process_time() - cpu) / 1.5 < 0.03  # measured: 0.005
