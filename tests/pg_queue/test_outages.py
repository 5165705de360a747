"""Lost connections, servers that are away, and forks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from durable_core.errors import QueueUnavailable
from durable_core.ports import Entry, EntryKind, new_id
from durable_pg_queue import PostgresTaskQueue
from tests.pg_queue.conftest import NOWHERE
from tests.servers import Postgres, private_cluster
from tests.waiting import wait_until

LIMITS = {EntryKind.RUN: 9, EntryKind.ACTIVITY: 9}


def an_entry() -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")


def refs(queue: PostgresTaskQueue) -> list[object]:
    return [claim.entry.ref for claim in queue.claim(new_id(), LIMITS, queues=(), exclude=())]


def backend(queue: PostgresTaskQueue) -> int:
    with queue._database.use() as raw:
        return raw.info.backend_pid


def kill(database: Postgres, pid: int) -> None:
    with psycopg.connect(database.url, autocommit=True) as raw:
        raw.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_connection_is_used_again(queue: PostgresTaskQueue) -> None:
    assert len({backend(queue) for _ in range(5)}) == 1


def test_connection_that_was_lost_while_idle_is_replaced(other: Postgres, queue: PostgresTaskQueue) -> None:
    entry = an_entry()
    queue.enqueue([entry])
    kill(other, lost := backend(queue))
    assert refs(queue) == [entry.ref]
    assert backend(queue) != lost


def test_connection_that_is_lost_in_mid_use_is_told_and_replaced(other: Postgres, queue: PostgresTaskQueue) -> None:
    entry = an_entry()
    queue.enqueue([entry])

    def use() -> None:
        with queue._database.use() as raw:
            kill(other, raw.info.backend_pid)
            raw.execute("SELECT 1")

    with pytest.raises(QueueUnavailable, match="terminating connection"):
        use()
    assert refs(queue) == [entry.ref]


def test_connection_that_was_left_in_a_transaction_is_not_used_again(queue: PostgresTaskQueue) -> None:
    def interrupted() -> None:
        with queue._database.use() as raw:
            raw.execute("BEGIN")
            raise KeyboardInterrupt

    before = backend(queue)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert backend(queue) != before


def test_server_that_goes_and_comes_back() -> None:
    with private_cluster() as cluster:
        queue = PostgresTaskQueue(cluster.server.url)
        queue.setup()
        entry = an_entry()
        queue.enqueue([entry])
        cluster.stop()
        calls: list[Callable[[], object]] = [queue.stats, lambda: queue.enqueue([an_entry()]), lambda: refs(queue)]
        for call in calls:
            with pytest.raises(QueueUnavailable, match="Postgres queue at"):
                call()
        cluster.start()
        assert refs(queue) == [entry.ref]
        queue.close()


def test_password_is_told_to_nobody() -> None:
    queue = PostgresTaskQueue(NOWHERE)
    with pytest.raises(QueueUnavailable) as caught:
        queue.stats()
    said = f"{caught.value} {caught.value.__cause__} {queue!r} {queue.diagnose()}"
    assert "s3cr3t" not in said
    assert "password=***" in said
    assert "127.0.0.1" in said


def test_connections_that_nobody_needs_are_closed(other: Postgres, queue: PostgresTaskQueue) -> None:
    def one_within_another(depth: int) -> None:
        with queue._database.use():
            if depth:
                one_within_another(depth - 1)

    one_within_another(9)
    wait_until(lambda: len(connections_of(other)) == 4)  # the server takes its time to see that one is closed
    queue.close()
    wait_until(lambda: connections_of(other) == [])
    assert queue.stats() == []


def connections_of(database: Postgres) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_child_uses_a_connection_of_its_own_and_leaves_its_parents_alone(queue: PostgresTaskQueue) -> None:
    entry = an_entry()
    queue.enqueue([entry])
    parents = backend(queue)
    answer, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads
        child = os.fork()
    if child == 0:
        try:
            queue.enqueue([an_entry()])
            os.write(tell, str(backend(queue)).encode())
            queue.close()
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(answer) as pipe:
        childs = pipe.read()
    os.waitpid(child, 0)
    assert childs.isdigit()
    assert int(childs) != parents
    assert backend(queue) == parents
    assert refs(queue)[:1] == [entry.ref]
