"""Wake-ups: soon, few, and never silenced by somebody whose transaction comes to nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from durable_core.ports import Entry, EntryKind, new_id
from durable_pg_queue import PostgresTaskQueue, listening
from tests.pg_queue.conftest import NOWHERE
from tests.pg_queue.stores import Connections
from tests.servers import Postgres
from tests.waiting import wait_until

CHANNEL = "durable_queue"
LIMITS = {EntryKind.RUN: 9, EntryKind.ACTIVITY: 9}


@pytest.fixture
def connections(other: Postgres) -> Iterator[Connections]:
    with Connections(other.url) as connections:
        yield connections


def an_entry() -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")


class Bell:
    def __init__(self) -> None:
        self.rung = threading.Event()
        self.times = 0

    def ring(self) -> None:
        self.times += 1
        self.rung.set()

    def answers(self, seconds: float) -> bool:
        heard = self.rung.wait(seconds)
        self.rung.clear()
        return heard


@contextmanager
def settled(queue: PostgresTaskQueue) -> Iterator[Bell]:
    """Watching, and what made the bell ring at first is over."""
    bell = Bell()
    with queue.watch(bell.ring):
        assert bell.answers(5)
        while bell.answers(0.2):
            pass
        yield bell


@contextmanager
def counted(url: str) -> Iterator[Callable[[], int]]:
    """How many notifications came since it was asked last."""
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute(f"LISTEN {CHANNEL}".encode())
        yield lambda: sum(1 for _ in raw.notifies(timeout=0.1))


def test_entry_of_another_process_rings_within_milliseconds(other: Postgres, queue: PostgresTaskQueue) -> None:
    sender = PostgresTaskQueue(other.url)
    sender.stats()
    with settled(queue) as bell:
        begun = time.monotonic()
        sender.enqueue([an_entry()])
        assert bell.answers(5)
        assert time.monotonic() - begun < 0.5
    sender.close()


def test_entry_that_was_given_back_rings(queue: PostgresTaskQueue) -> None:
    queue.enqueue([an_entry(), an_entry()])
    worker = new_id()
    held = queue.claim(worker, LIMITS, queues=(), exclude=())
    with settled(queue) as bell:
        queue.release(held[:1])
        assert bell.answers(5)
    with settled(queue) as bell:
        queue.release_dead([worker])
        assert bell.answers(5)


def test_what_is_for_later_does_not_ring(queue: PostgresTaskQueue) -> None:
    queue.enqueue([an_entry()])
    held = queue.claim(new_id(), LIMITS, queues=(), exclude=())
    with settled(queue) as bell:
        queue.enqueue([an_entry()], delay=timedelta(hours=1))
        queue.release(held, delay=timedelta(hours=1))
        assert not bell.answers(0.3)


def test_watch_ends_at_once(queue: PostgresTaskQueue) -> None:
    with queue.watch(lambda: None):
        begun = time.monotonic()
    assert time.monotonic() - begun < 1


# Few


def test_many_commits_ring_a_few_times_and_the_last_one_is_heard(other: Postgres, queue: PostgresTaskQueue) -> None:
    with counted(other.url) as count, settled(queue) as bell:
        count()
        begun = time.monotonic()
        for _ in range(100):
            queue.enqueue([an_entry()])
        took = time.monotonic() - begun
        bell.rung.clear()
        assert bell.answers(5)  # after the last one, although that did not notify
        assert 1 <= count() <= took / 0.010 + 1


def test_many_entries_of_a_transaction_ring_once(other: Postgres, connections: Connections) -> None:
    joined = PostgresTaskQueue(connection=connections.shared)
    with counted(other.url) as count:
        with connections.transaction() as raw:
            for _ in range(10):
                joined.enqueue(an_entry() for _ in range(10))
            assert count() == 0
            # What there is to do at the commit.
            assert raw.execute("SELECT count(*) FROM durable_queue WHERE rings").fetchone() == (10,)
        assert count() == 1


# Never silenced


def test_long_transaction_silences_nobody(
    other: Postgres, connections: Connections, queue: PostgresTaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = PostgresTaskQueue(connection=connections.shared)
    queue.stats()
    with counted(other.url) as count, connections.transaction():
        joined.enqueue([an_entry()])
        queue.enqueue([an_entry()])  # well within the quiet that the other's notification would begin
        assert count() == 1


def test_rolled_back_transaction_silences_nobody(
    other: Postgres, connections: Connections, queue: PostgresTaskQueue
) -> None:
    joined = PostgresTaskQueue(connection=connections.shared)
    queue.stats()
    with counted(other.url) as count:
        with suppress(ZeroDivisionError), connections.transaction():
            joined.enqueue([an_entry()])
            raise ZeroDivisionError
        queue.enqueue([an_entry()])
        assert count() == 1


def test_clock_that_was_set_back_silences_nobody(other: Postgres, connections: Connections) -> None:
    queue = PostgresTaskQueue(connection=connections.shared)
    connections.raw.execute("SELECT setval('durable_queue_bell', 99999999999999)")
    with counted(other.url) as count:
        queue.enqueue([an_entry()])
        assert count() == 1


# Off


def test_notify_can_be_turned_off(other: Postgres) -> None:
    queue = PostgresTaskQueue(other.url, notify=False)
    assert not queue.wakeup
    with counted(other.url) as count:
        queue.enqueue([an_entry()])
        held = queue.claim(worker := new_id(), LIMITS, queues=(), exclude=())
        queue.release(held)
        queue.claim(worker, LIMITS, queues=(), exclude=())
        queue.release_dead([worker])
        assert count() == 0
    bell = Bell()
    before = threading.active_count()
    with queue.watch(bell.ring):
        assert threading.active_count() == before
    assert bell.times == 0
    queue.close()


# Lost connections


def kill_listeners(database: Postgres) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )


def test_listener_comes_back_and_looks_at_once(other: Postgres, queue: PostgresTaskQueue) -> None:
    with settled(queue) as bell:
        assert kill_listeners(other) == [(True,)]
        assert bell.answers(5)  # what came meanwhile was not heard
        while bell.answers(0.2):
            pass
        queue.enqueue([an_entry()])
        assert bell.answers(5)


def test_listener_without_a_server_complains_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "RECONNECT", (0.001, 0.002))
    queue = PostgresTaskQueue(NOWHERE)
    attempts = 0
    connect = queue._database.connect

    def counting() -> Any:
        nonlocal attempts
        attempts += 1
        return connect()

    monkeypatch.setattr(queue._database, "connect", counting)
    bell = Bell()
    with caplog.at_level(logging.WARNING, "durable.queue"), queue.watch(bell.ring):
        wait_until(lambda: attempts > 5)
    assert bell.times == 0
    (record,) = caplog.records
    assert "no wake-ups from Postgres" in record.message
    assert "s3cr3t" not in record.message


def test_many_watchers_hear_on_connections_of_their_own(queue: PostgresTaskQueue) -> None:
    with ExitStack() as stack:
        bells = [stack.enter_context(settled(queue)) for _ in range(3)]
        queue.enqueue([an_entry()])
        assert all(bell.answers(5) for bell in bells)
