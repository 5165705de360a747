"""Behind a pooler of transactions every statement may go to another connection of the server: polling is enough."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_core.ports import Entry, EntryKind, Level, new_id
from durable_pg_queue import PostgresTaskQueue
from tests.pg_queue.pooler import Pooler, pooler
from tests.pg_queue.stores import Connections
from tests.servers import Postgres
from tests.waiting import wait_until

LIMITS = {EntryKind.RUN: 9, EntryKind.ACTIVITY: 9}


@pytest.fixture
def pooled(other: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    with pooler(other, short_directory(tmp_path_factory)) as running:
        yield running


def short_directory(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("p")  # the path of a socket has 107 characters at most


def an_entry() -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")


def check(queue: PostgresTaskQueue) -> None:
    """The whole life of entries."""
    for _ in range(10):  # as many as would be needed to notice statements that are prepared
        entries = [an_entry() for _ in range(4)]
        queue.enqueue(entries)
        worker = new_id()
        claims = queue.claim(worker, LIMITS, queues=(), exclude=())
        assert [claim.entry for claim in claims] == entries
        queue.complete(claims[:2])
        queue.release(claims[2:3])
        assert [entry.ref for entry in queue.release_dead([worker])] == [entries[3].ref]
        assert queue.stats()[0].ready == 2
        queue.complete(queue.claim(worker, LIMITS, queues=(), exclude=()))
    assert queue.stats() == []


def test_pooler_deals_transactions_out(pooled: Pooler) -> None:
    with Connections(pooled.url) as connections:
        alone = {connections.raw.execute("SELECT pg_backend_pid()").fetchone() for _ in range(6)}
        with connections.transaction() as raw:
            together = {raw.execute("SELECT pg_backend_pid()").fetchone() for _ in range(6)}
    assert (len(alone), len(together)) == (3, 1)


def test_entries_come_and_go(pooled: Pooler) -> None:
    queue = PostgresTaskQueue(pooled.url)
    assert queue.setup() == []
    check(queue)
    queue.close()


def test_entries_come_and_go_on_the_stores_connection(pooled: Pooler) -> None:
    with Connections(pooled.url) as connections:
        check(PostgresTaskQueue(connection=connections.shared))


def test_setup_works(blank: Postgres, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pooler(blank, short_directory(tmp_path_factory)) as running:
        queue = PostgresTaskQueue(running.url)
        assert len(queue.setup()) == 1
        check(queue)
        queue.close()


def test_watcher_looks_around_once_and_is_not_told_of_more(pooled: Pooler) -> None:
    queue = PostgresTaskQueue(pooled.url)
    rung: list[str] = []
    with queue.watch(lambda: rung.append(threading.current_thread().name)):
        wait_until(lambda: len(rung) == 3)  # connected, and its two echoes
        queue.enqueue([an_entry()])
        assert len(queue.claim(new_id(), LIMITS, queues=(), exclude=())) == 1
    assert len(rung) == 3
    queue.close()


def test_diagnosis_says_that_no_notification_comes_through(pooled: Pooler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_pg_queue.diagnosis.PATIENCE", 0.2)
    queue = PostgresTaskQueue(pooled.url)
    (finding,) = [finding for finding in queue.diagnose() if finding.subject == "queue wake-ups"]
    assert finding.level is Level.WARNING
    assert "PgBouncer" in finding.hint
    queue.close()
    quiet = PostgresTaskQueue(pooled.url, notify=False)
    assert "queue wake-ups" not in {finding.subject for finding in quiet.diagnose()}
    quiet.close()
