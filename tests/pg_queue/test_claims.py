"""How claims read the table: by its indexes alone, past what is dead, and past nothing that is alive."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections as django_connections

from django_durable.store import DjangoHistoryStore
from durable_core.ports import Claim, Entry, EntryKind, new_id, private_queue
from durable_pg_queue import PostgresTaskQueue
from durable_pg_queue import queue as queue_module
from tests.pg_queue.stores import Connections
from tests.servers import Postgres

MANY = 10_000


def an_entry(**changes: Any) -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")._replace(**changes)


def claim(queue: PostgresTaskQueue, *, limit: int = 20, **filters: Any) -> list[Claim]:
    limits = {EntryKind.RUN: limit, EntryKind.ACTIVITY: limit}
    return queue.claim(new_id(), limits, **{"queues": (), "exclude": (), **filters})


@pytest.fixture
def connections(other: Postgres) -> Iterator[Connections]:
    with Connections(other.url) as connections:
        yield connections


@pytest.fixture
def joined(connections: Connections) -> PostgresTaskQueue:
    return PostgresTaskQueue(connection=connections.shared)


@pytest.fixture
def always_surveying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "SURVEY_EVERY", 0.0)


# Plans


class Reads:
    """What a session did with the table from here on."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw
        self._before = self._counts()

    def __getitem__(self, name: str) -> int:
        return self._counts()[name] - self._before[name]

    def _counts(self) -> dict[str, int]:
        cursor = psycopg.Cursor(self._raw, row_factory=psycopg.rows.dict_row)
        row = cursor.execute(
            "SELECT *, (SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int FROM pg_class "
            "WHERE relname LIKE 'durable_queue%') AS blocks "
            "FROM pg_stat_xact_user_tables WHERE relname = 'durable_queue'"
        ).fetchone()
        assert row is not None
        return row


@contextmanager
def rolled_back(connections: Connections) -> Iterator[psycopg.Connection[Any]]:
    with connections.transaction() as raw, raw.transaction(force_rollback=True):
        yield raw


@pytest.mark.parametrize("analyzed", ["full", "empty", "never"])
def test_no_statement_reads_the_whole_table(connections: Connections, joined: PostgresTaskQueue, analyzed: str) -> None:
    """Whatever the planner knows; "empty" is what it finds out about a queue as a rule."""
    raw = connections.raw
    raw.execute("TRUNCATE durable_queue")
    if analyzed == "empty":
        raw.execute("VACUUM ANALYZE durable_queue")
        claim(joined)  # plans are made, and kept
        joined.enqueue([an_entry()])
        joined.complete(claim(joined))
    joined.enqueue(an_entry(queue=("default", "mail")[n % 2], priority=n % 3) for n in range(MANY))
    joined.enqueue((an_entry() for _ in range(MANY // 10)), delay=timedelta(hours=1))
    if analyzed == "full":
        raw.execute("ANALYZE durable_queue")
    with rolled_back(connections) as raw:
        reads = Reads(raw)
        joined.enqueue(an_entry() for _ in range(20))
        claims = claim(joined)
        joined.complete(claims[:10])
        joined.release(claims[10:])
        joined.complete(claim(joined, queues=["mail"]))
        assert len(claims) == 20
        assert reads["seq_scan"] == 0
        assert reads["idx_tup_fetch"] < 500
    raw.execute("TRUNCATE durable_queue")


def test_claim_does_not_touch_the_indexes(connections: Connections, joined: PostgresTaskQueue) -> None:
    connections.raw.execute("TRUNCATE durable_queue")
    joined.enqueue(an_entry() for _ in range(500))
    with rolled_back(connections) as raw:
        reads = Reads(raw)
        for _ in range(10):
            claim(joined)
        assert (reads["n_tup_upd"], reads["n_tup_hot_upd"]) == (200, 200)


def test_claim_passes_over_what_somebody_has_locked(
    connections: Connections, queue: PostgresTaskQueue, joined: PostgresTaskQueue
) -> None:
    entries = [an_entry() for _ in range(3)]
    queue.enqueue(entries)
    with ThreadPoolExecutor(1) as pool, connections.transaction() as raw:
        raw.execute("SELECT FROM durable_queue WHERE ref = %s FOR SHARE", [entries[1].ref])
        claims = pool.submit(claim, queue).result(timeout=20)
        assert [one.entry for one in claims] == [entries[0], entries[2]]
    assert [one.entry for one in claim(queue)] == [entries[1]]


# What is dead


def test_dead_entries_are_read_once(
    connections: Connections, other: Postgres, joined: PostgresTaskQueue, always_surveying: None
) -> None:
    """Although somebody's snapshot keeps them from being removed, and from being marked as dead in the index."""
    with psycopg.connect(other.url) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT FROM durable_queue")
        joined.enqueue(an_entry() for _ in range(MANY))
        connections.raw.execute("DELETE FROM durable_queue")
        joined.enqueue(an_entry() for _ in range(30))
        claim(joined, limit=0)  # looks around
        with rolled_back(connections) as raw:
            reads = Reads(raw)
            assert len(claim(joined)) == 20
            assert reads["blocks"] < 500
    connections.raw.execute("TRUNCATE durable_queue")


# What is alive, although others have long gone past it


@pytest.fixture
def seasoned(queue: PostgresTaskQueue, always_surveying: None) -> PostgresTaskQueue:
    """A worker that knows that nothing is where things used to be, in several lanes."""
    for priority in (0, 7, -7):
        queue.enqueue([an_entry(priority=priority), an_entry(kind=EntryKind.ACTIVITY, priority=priority)])
    for _ in range(3):
        queue.complete(claim(queue))
    return queue


def test_entry_of_a_transaction_that_began_long_ago_is_found(
    seasoned: PostgresTaskQueue, connections: Connections, joined: PostgresTaskQueue
) -> None:
    late = an_entry()
    with connections.transaction():
        joined.enqueue([late])
        for _ in range(3):
            seasoned.enqueue([an_entry()])
            seasoned.complete(claim(seasoned))
    assert [one.entry for one in claim(seasoned)] == [late]


@pytest.mark.parametrize("priority", [0, 7, 3, -32768, 32767])
@pytest.mark.parametrize("kind", EntryKind)
def test_entry_of_any_lane_is_found(seasoned: PostgresTaskQueue, kind: EntryKind, priority: int) -> None:
    entry = an_entry(kind=kind, priority=priority)
    seasoned.enqueue([entry])
    assert [one.entry for one in claim(seasoned)] == [entry]


def test_highest_priority_is_found_first_although_it_was_never_seen(seasoned: PostgresTaskQueue) -> None:
    entries = [an_entry(priority=priority) for priority in (0, 9, -9, 7)]
    seasoned.enqueue(entries)
    found = [one.entry.priority for _ in range(4) for one in claim(seasoned, limit=1)]
    assert found == [9, 7, 0, -9]


def test_entry_that_was_given_back_late_is_found(seasoned: PostgresTaskQueue) -> None:
    entry = an_entry()
    seasoned.enqueue([entry])
    held = claim(seasoned)
    for _ in range(3):
        seasoned.enqueue([an_entry()])
        seasoned.complete(claim(seasoned))
    seasoned.release(held)
    assert [one.entry for one in claim(seasoned)] == [entry]


def test_entry_that_was_delayed_is_found(seasoned: PostgresTaskQueue) -> None:
    entry = an_entry()
    seasoned.enqueue([entry], delay=timedelta(milliseconds=1))
    while not (claims := claim(seasoned)):
        pass
    assert [one.entry for one in claims] == [entry]


def test_entry_of_another_queue_is_found_by_those_who_serve_it(seasoned: PostgresTaskQueue) -> None:
    entry = an_entry(queue="mail")
    seasoned.enqueue([entry])
    for _ in range(3):
        assert claim(seasoned, exclude=["mail"]) == []
    assert claim(seasoned, queues=["other"]) == []
    assert [one.entry for one in claim(seasoned, queues=["mail"])] == [entry]


def test_entry_of_a_dead_workers_private_queue_is_found_by_those_who_went_past_it(
    queue: PostgresTaskQueue, always_surveying: None
) -> None:
    owner = new_id()
    entry = an_entry(queue=private_queue(owner))
    queue.enqueue([entry])
    for _ in range(3):
        queue.enqueue([an_entry()])
        queue.complete(claim(queue))
    queue.release_dead([owner])
    assert [one.entry.ref for one in claim(queue)] == [entry.ref]


def test_entry_that_somebody_moved_by_hand_is_found_after_a_while(
    seasoned: PostgresTaskQueue, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    seasoned.enqueue([an_entry()])
    connections.raw.execute("UPDATE durable_queue SET place = 1")
    assert claim(seasoned) == []
    monkeypatch.setattr(queue_module, "FORGET_AFTER", 0.0)
    assert len(claim(seasoned)) == 1


def test_entry_is_found_beside_those_that_a_dump_brought_from_an_older_server(
    queue: PostgresTaskQueue, connections: Connections, always_surveying: None
) -> None:
    """Their places are numbers of transactions that this server will not come to for years."""
    queue.enqueue([an_entry()])
    connections.raw.execute("UPDATE durable_queue SET place = 1000000000000")
    assert len(claim(queue)) == 1  # and somebody is busy with it
    for _ in range(3):
        entry = an_entry()
        queue.enqueue([entry])
        claims = claim(queue)
        assert [one.entry for one in claims] == [entry]
        queue.complete(claims)


def test_entry_whose_claim_is_rolled_back_is_found(connections: Connections, joined: PostgresTaskQueue) -> None:
    entry = an_entry()
    joined.enqueue([entry])
    for _ in range(2):
        with rolled_back(connections):
            assert [one.entry for one in claim(joined)] == [entry]
    assert [one.entry for one in claim(joined)] == [entry]


def test_claims_within_a_transaction_find_what_it_writes(
    connections: Connections, joined: PostgresTaskQueue, queue: PostgresTaskQueue, always_surveying: None
) -> None:
    entry = an_entry()
    with connections.transaction():
        for _ in range(3):
            joined.enqueue([entry])
            queue.enqueue([an_entry(queue="mail")])  # transactions that came later are over
            claims = claim(joined, exclude=["mail"])
            assert [one.entry for one in claims] == [entry]
            joined.complete(claims)
            assert claim(joined, exclude=["mail"]) == []
        joined.enqueue([entry])
    assert [one.entry for one in claim(joined, exclude=["mail"])] == [entry]


# On a connection of Django's, which is set up in its own way


def test_stores_connection_is_left_as_it_was(alias: str) -> None:
    queue = PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection())
    entry = an_entry(preferred=new_id())
    queue.enqueue([entry], delay=timedelta(hours=1))
    queue.stats()
    raw = django_connections[alias].connection
    assert (raw.autocommit, raw.prepare_threshold) == (True, None)
    with django_connections[alias].cursor() as cursor:
        cursor.execute("SHOW enable_sort")
        assert cursor.fetchone() == ("on",)
        cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE '%durable_queue%'")
        assert cursor.fetchone() == (0,)
