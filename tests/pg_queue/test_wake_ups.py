"""Wake-ups of one run are merged, and none is lost: not by a merge, a claim, a completion or another transaction."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import transaction

from django_durable.store import DjangoHistoryStore
from durable_core.ports import Claim, Entry, EntryKind, new_id
from durable_pg_queue import PostgresTaskQueue
from tests.pg_queue.stores import Connections
from tests.servers import Postgres
from tests.waiting import wait_until

LIMITS = {EntryKind.RUN: 100, EntryKind.ACTIVITY: 100}


@pytest.fixture
def connections(other: Postgres) -> Iterator[Connections]:
    with Connections(other.url) as connections:
        yield connections


@pytest.fixture
def joined(connections: Connections) -> PostgresTaskQueue:
    return PostgresTaskQueue(connection=connections.shared)


def a_wake_up(**changes: Any) -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")._replace(**changes)


def claim(queue: PostgresTaskQueue, worker: UUID | None = None, *, limit: int = 100) -> list[Claim]:
    return queue.claim(worker or new_id(), {EntryKind.RUN: limit, EntryKind.ACTIVITY: limit}, queues=(), exclude=())


def rows(connections: Connections) -> int:
    (count,) = connections.raw.execute("SELECT count(*) FROM durable_queue").fetchone() or (0,)
    return int(count)


# Outside of a transaction: what the wake-up stands for is committed


def test_wake_up_with_a_ready_twin_is_left_out(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    for _ in range(3):
        queue.enqueue([entry, a_wake_up(), entry])
    assert [stats.ready for stats in queue.stats()] == [4]


@pytest.mark.parametrize(
    "changes",
    [{"queue": "other"}, {"priority": 1}, {"kind": EntryKind.ACTIVITY}, {"ref": new_id()}],
    ids=lambda changes: next(iter(changes)),
)
def test_entry_that_differs_is_no_twin(queue: PostgresTaskQueue, changes: dict[str, Any]) -> None:
    entry = a_wake_up()
    queue.enqueue([entry])
    queue.enqueue([entry._replace(**changes)])
    assert sum(stats.ready for stats in queue.stats()) == 2


def test_twin_that_is_left_to_another_worker_is_not_enough(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    queue.enqueue([entry._replace(preferred=new_id())])
    queue.enqueue([entry])
    assert [one.entry for one in claim(queue)] == [entry]


def test_twin_that_anybody_may_claim_is_enough(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    queue.enqueue([entry])
    queue.enqueue([entry._replace(preferred=new_id())])
    assert [stats.ready for stats in queue.stats()] == [1]


def test_delayed_wake_up_is_kept_beside_a_ready_twin(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    queue.enqueue([entry])
    queue.enqueue([entry], delay=timedelta(hours=1))
    assert [(stats.ready, stats.delayed) for stats in queue.stats()] == [(1, 1)]


def test_delayed_twin_is_no_substitute(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    queue.enqueue([entry], delay=timedelta(hours=1))
    queue.enqueue([entry])
    assert [(stats.ready, stats.delayed) for stats in queue.stats()] == [(1, 1)]


def test_claimed_twin_is_no_substitute_even_when_its_lease_is_over(other: Postgres) -> None:
    queue = PostgresTaskQueue(other.url, lease=0.01)
    entry = a_wake_up()
    queue.enqueue([entry])
    claim(queue)
    wait_until(lambda: [stats.ready for stats in queue.stats()] == [1])
    queue.enqueue([entry])
    assert [stats.ready for stats in queue.stats()] == [2]
    queue.close()


def test_what_was_given_back_is_a_twin_again(queue: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    queue.enqueue([entry])
    queue.release(claim(queue))
    queue.enqueue([entry])
    assert [stats.ready for stats in queue.stats()] == [1]


# Within a transaction: what the wake-up stands for is not committed yet


def test_twin_of_the_same_transaction_is_enough(connections: Connections, joined: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    with connections.transaction():
        for _ in range(3):
            joined.enqueue([entry])
    assert rows(connections) == 1


def test_twin_that_a_savepoint_took_back_is_not(connections: Connections, joined: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    with connections.transaction():
        with suppress(ZeroDivisionError), connections.transaction():
            joined.enqueue([entry])
            raise ZeroDivisionError
        joined.enqueue([entry])
    assert rows(connections) == 1


def test_twin_of_another_transaction_is_claimed_meanwhile_and_ours_afterwards(
    connections: Connections, joined: PostgresTaskQueue, queue: PostgresTaskQueue
) -> None:
    entry = a_wake_up()
    queue.enqueue([entry])
    with connections.transaction():
        joined.enqueue([entry])
        first = claim(queue)  # in nobody's way
        queue.complete(first)
    second = claim(queue)
    assert [one.entry for one in first] == [one.entry for one in second] == [entry]


def test_first_statement_of_djangos_transaction_is_part_of_it(alias: str) -> None:
    queue = PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection())
    entry = a_wake_up()
    queue.enqueue([entry])
    with transaction.atomic(alias):
        queue.enqueue([entry])
    assert [stats.ready for stats in queue.stats()] == [2]


def test_claim_takes_all_twins_there_are(
    connections: Connections, joined: PostgresTaskQueue, queue: PostgresTaskQueue
) -> None:
    entry, later = a_wake_up(), a_wake_up()
    for _ in range(5):
        with connections.transaction():
            joined.enqueue([entry])
    queue.enqueue([later])
    assert rows(connections) == 6
    queue.complete(claim(queue, limit=1))
    assert rows(connections) == 1
    assert [one.entry for one in claim(queue, limit=1)] == [later]


def test_claim_that_is_rolled_back_gives_the_twins_back(connections: Connections, joined: PostgresTaskQueue) -> None:
    entry = a_wake_up()
    for _ in range(2):
        with connections.transaction():
            joined.enqueue([entry])
    with suppress(ZeroDivisionError), connections.transaction():
        assert len(claim(joined, limit=1)) == 1
        raise ZeroDivisionError
    assert rows(connections) == 2


def test_worker_that_was_buried_does_not_take_a_later_wake_up_with_it(queue: PostgresTaskQueue) -> None:
    """It had read the mailbox before; the twin that was merged into its entry stands for what came later."""
    entry, zombie = a_wake_up(), new_id()
    queue.enqueue([entry])
    held = claim(queue, zombie)
    queue.release_dead([zombie])
    queue.enqueue([entry])
    queue.complete(held)
    assert [one.entry for one in claim(queue)] == [entry]


def test_nobody_waits_for_a_long_transaction(
    connections: Connections, joined: PostgresTaskQueue, queue: PostgresTaskQueue
) -> None:
    entry, activity = a_wake_up(), a_wake_up(kind=EntryKind.ACTIVITY)
    queue.enqueue([entry, activity])
    held = claim(queue, worker := new_id())
    with ThreadPoolExecutor(1) as pool, connections.transaction():
        joined.complete(held[:1])
        joined.enqueue([entry])
        calls: list[Callable[[], object]] = [
            lambda: queue.enqueue([entry]),
            lambda: claim(queue),
            lambda: queue.release_dead([worker]),
            queue.stats,
        ]
        for call in calls:
            pool.submit(call).result(timeout=20)
    assert [stats.ready for stats in queue.stats()] == [2]


# All at once


class Mailboxes:
    """Mail in a table, as the store has it, and workers that read it."""

    RUNS = 4

    def __init__(self, url: str, queue: PostgresTaskQueue, connections: Connections) -> None:
        self.queue = queue
        self.connections = connections
        self.refs = [new_id() for _ in range(self.RUNS)]
        self.stopped = threading.Event()
        self.sent = 0
        with psycopg.connect(url) as raw:
            raw.execute("DROP TABLE IF EXISTS mail")
            raw.execute("CREATE TABLE mail (id bigint GENERATED ALWAYS AS IDENTITY, run uuid)")

    def send(self, seed: int) -> None:
        """Letters to some runs in a transaction each, which sometimes takes its time, and sometimes fails."""
        dice = random.Random(seed)
        while not self.stopped.is_set():
            refs = dice.choices(self.refs, k=dice.choice([1, 1, 3]))
            entries = [Entry(EntryKind.RUN, ref, "default") for ref in refs]
            with suppress(ZeroDivisionError), self.connections.transaction() as raw:
                for ref in refs:
                    raw.execute("INSERT INTO mail (run) VALUES (%s)", [ref])
                if self.queue.transactional:
                    self.queue.enqueue(entries)
                self.stopped.wait(dice.choice([0, 0, 0.002, 0.02]))
                if dice.random() < 0.2:
                    raise ZeroDivisionError
                self.sent += 1
            if not self.queue.transactional:
                self.queue.enqueue(entries)

    def work(self, seed: int) -> None:
        """Claim, read the mail, complete; sometimes give back, sometimes die."""
        dice = random.Random(seed)
        while not self.stopped.is_set():
            worker = new_id()
            claims = claim(self.queue, worker, limit=dice.choice([1, 3, 10]))
            if claims and (fate := dice.random()) < 0.2:
                if fate < 0.1:
                    self.queue.release(claims)
                else:
                    self.queue.release_dead([worker])
                    self.queue.complete(claims)  # a zombie's
                continue
            self.read(claims)

    def read(self, claims: list[Claim]) -> None:
        refs = [one.entry.ref for one in claims]
        seen = self.connections.raw.execute("SELECT id FROM mail WHERE run = ANY(%s)", [refs]).fetchall()
        self.stopped.wait(0.001)
        with self.connections.transaction() as raw:
            raw.execute("DELETE FROM mail WHERE id = ANY(%s)", [[letter for (letter,) in seen]])
            self.queue.complete(claims)

    def unread(self) -> int:
        (count,) = self.connections.raw.execute("SELECT count(*) FROM mail").fetchone() or (0,)
        return int(count)


@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
def test_no_letter_is_forgotten(other: Postgres, connections: Connections, apart: bool) -> None:
    """Neither deadlocks nor lost wake-ups: when no entry is left, no letter is."""
    queue = PostgresTaskQueue(other.url) if apart else PostgresTaskQueue(connection=connections.shared)
    boxes = Mailboxes(other.url, queue, connections)
    for part in range(4):  # a wake-up that is lost is made good by the next one, so there must be many last ones
        boxes.stopped.clear()
        works = [(boxes.send, part * 10 + n) for n in range(3)] + [(boxes.work, part * 10 + n) for n in range(3)]
        with ThreadPoolExecutor(len(works)) as pool:
            futures = [pool.submit(work, seed) for work, seed in works]
            wait_until(lambda: boxes.sent >= 40 * (part + 1))  # noqa: B023 - called at once
            boxes.stopped.set()
            for future in futures:
                future.result()
        while claims := claim(queue):
            boxes.read(claims)
        assert boxes.unread() == 0
    queue.close()
