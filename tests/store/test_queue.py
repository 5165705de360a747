"""What the suite of all queues does not ask: wake-ups by each database's own means, leases, private queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from django_durable.queue import DatabaseTaskQueue
from durable_core.ports import Entry, EntryKind, new_id
from tests.servers import Postgres
from tests.store.databases import registered, session


class Bell:
    """Counts wake-ups."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def ring(self) -> None:
        self.rung.set()

    def answers(self, seconds: float) -> bool:
        heard = self.rung.wait(seconds)
        self.rung.clear()
        return heard


@contextmanager
def settled(queue: DatabaseTaskQueue) -> Iterator[Bell]:
    """Watching, and what made the bell ring at first is over."""
    bell = Bell()
    with queue.watch(bell.ring):
        bell.answers(5)
        while bell.answers(0.3):
            pass
        yield bell


def enqueue_elsewhere(alias: str, queue: DatabaseTaskQueue) -> None:
    def work() -> None:
        with session(alias):
            queue.enqueue([Entry(EntryKind.RUN, new_id(), "default")])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_entry_of_another_connection_rings_within_milliseconds(alias: str, queue: DatabaseTaskQueue) -> None:
    with settled(queue) as bell:
        begun = time.monotonic()
        enqueue_elsewhere(alias, queue)
        assert bell.answers(5)
        assert time.monotonic() - begun < 0.5
        assert not bell.answers(0.2)


def test_watch_ends_at_once(queue: DatabaseTaskQueue) -> None:
    with queue.watch(lambda: None):
        begun = time.monotonic()
    assert time.monotonic() - begun < 1


def test_entry_rings_when_its_transaction_commits(alias: str, queue: DatabaseTaskQueue) -> None:
    with settled(queue) as bell:
        with queue.db.transaction():
            queue.enqueue([Entry(EntryKind.RUN, new_id(), "default")])
            assert not bell.answers(0.2)
        assert bell.answers(5)


def test_notify_can_be_turned_off(postgres: str) -> None:
    queue = DatabaseTaskQueue(postgres, notify=False)
    assert not queue.wakeup
    with DatabaseTaskQueue(postgres).watch((bell := Bell()).ring):
        bell.answers(5)
        enqueue_elsewhere(postgres, queue)
        assert not bell.answers(0.3)


def test_listener_comes_back_after_its_connection_was_killed(postgres: str) -> None:
    queue = DatabaseTaskQueue(postgres)
    settings = connections[postgres].settings_dict
    server = Postgres(
        host=settings["HOST"],
        port=int(settings["PORT"]),
        user=settings["USER"],
        password=settings["PASSWORD"],
        name="postgres",
    )
    with settled(queue) as bell:
        killed = server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            f"WHERE query LIKE 'LISTEN%' AND datname = '{settings['NAME']}'"
        )
        assert killed == [(True,)]
        assert bell.answers(5)  # whatever came meanwhile was not heard, so it looks
        enqueue_elsewhere(postgres, queue)
        assert bell.answers(5)


def test_memory_has_no_other_processes_to_hear_of() -> None:
    with registered({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}) as alias:
        assert not DatabaseTaskQueue(alias).wakeup
