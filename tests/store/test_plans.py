"""How plans are made on a worker's connection, and on everybody else's."""

from __future__ import annotations

import pytest
from django.db import connections

from django_durable.store import DjangoHistoryStore
from django_durable.store.postgres import USES_TO_PREPARE, Session
from durable_core.ports import WorkerInfo, new_id


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
