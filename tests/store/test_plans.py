"""How plans are made on a worker's connection, and on everybody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from django_durable.store import postgres as postgres_dialect
from django_durable.store.postgres import USES_TO_PREPARE, Session
from durable_core.ports import Claim, Entry, EntryKind, WorkerInfo, new_id
from durable_core.testing.contracts.builders import a_run


def asked(alias: str, question: str) -> object:
    with connections[alias].cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def kept_plans(alias: str) -> object:
    return asked(alias, "SELECT COUNT(*) FROM pg_prepared_statements")


@pytest.fixture
def store(postgres: str) -> DjangoHistoryStore:
    connections[postgres].close()
    return DjangoHistoryStore(postgres)


def test_workers_connection_reads_no_whole_table_until_the_worker_leaves(
    postgres: str, store: DjangoHistoryStore
) -> None:
    worker = WorkerInfo(id=new_id(), host="h", pid=1, queues=())
    store.add_worker(worker)
    assert (asked(postgres, "SHOW enable_seqscan"), kept_plans(postgres)) != ("on", 0)
    store.remove_worker(worker.id)
    assert asked(postgres, "SHOW enable_seqscan") == "on"


def test_web_request_keeps_no_plans(postgres: str, store: DjangoHistoryStore) -> None:
    for _ in range(USES_TO_PREPARE - 1):
        store.get(new_id())
    assert kept_plans(postgres) == 0
    store.get(new_id())
    assert kept_plans(postgres) == 1
    assert connections[postgres].connection.prepare_threshold is None  # as Django wants it


def test_nothing_is_kept_behind_a_pooler(
    postgres: str, store: DjangoHistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler of transactions tells its client a number that no backend has."""
    monkeypatch.setattr(Session, "_is_alone", lambda self: False)
    worker = WorkerInfo(id=new_id(), host="h", pid=1, queues=())
    store.add_worker(worker)
    for _ in range(USES_TO_PREPARE + 1):
        store.get(new_id())
    assert (kept_plans(postgres), asked(postgres, "SHOW enable_seqscan")) == (0, "on")
    store.remove_worker(worker.id)


WORKER = new_id()
GENERIC = 12  # uses after which Postgres keeps one plan for all parameters


def read_by_id(alias: str, table: str) -> int:
    """Rows of a table that look-ups by id have gone through, so far."""
    asked(alias, "SELECT 1 FROM pg_stat_force_next_flush()")
    return int(str(asked(alias, f"SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '{table}_pkey'")))


@pytest.fixture
def queue(postgres: str, store: DjangoHistoryStore) -> Iterator[DatabaseTaskQueue]:
    """Empty, which is on record, on a worker's connection."""
    worker = WorkerInfo(id=WORKER, host="h", pid=1, queues=())
    store.add_worker(worker)
    with connections[postgres].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_durable_queueentry")
    yield DatabaseTaskQueue(postgres)
    store.remove_worker(worker.id)


def enqueue(queue: DatabaseTaskQueue, number: int) -> None:
    queue.enqueue([Entry(EntryKind.RUN, new_id(), "default") for _ in range(number)])


def claim(queue: DatabaseTaskQueue) -> list[Claim]:
    return queue.claim(WORKER, {EntryKind.RUN: 10, EntryKind.ACTIVITY: 10}, queues=(), exclude=())


def test_claim_by_a_plan_for_an_empty_queue_does_not_go_through_all_entries(
    postgres: str, queue: DatabaseTaskQueue
) -> None:
    for _ in range(GENERIC):
        claim(queue)
    enqueue(queue, 1_000)
    before = read_by_id(postgres, "django_durable_queueentry")
    assert len(claim(queue)) == 10
    assert read_by_id(postgres, "django_durable_queueentry") - before < 100


def test_plans_are_made_anew_before_long(
    postgres: str, store: DjangoHistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_dialect, "REPLAN", 0.0)
    run, *others = [a_run() for _ in range(1_000)]
    store.create([run])
    with connections[postgres].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_durable_workflowexecution")
    for _ in range(GENERIC):
        store.get(run.id)
    store.create(others)
    scanned = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'django_durable_workflowexecution'"
    asked(postgres, "SELECT 1 FROM pg_stat_force_next_flush()")
    before = int(str(asked(postgres, scanned)))
    store.get(run.id)
    asked(postgres, "SELECT 1 FROM pg_stat_force_next_flush()")
    assert int(str(asked(postgres, scanned))) - before < 100
