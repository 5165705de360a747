"""Short words for what tests do with a queue again and again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.ports import Claim, Entry, EntryKind, new_id

if TYPE_CHECKING:
    from durable_redis_queue import RedisTaskQueue

STREAM = "s:run:0:default"  # of entries that nothing else is said of, without what all keys begin with
HOUR = timedelta(hours=1)


def an_entry(**changes: Any) -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")._replace(**changes)


def enqueue(queue: RedisTaskQueue, count: int = 1, /, **changes: Any) -> list[Entry]:
    entries = [an_entry(**changes) for _ in range(count)]
    queue.enqueue(entries)
    return entries


def claim(queue: RedisTaskQueue, worker_id: UUID | None = None, /, *, limit: int = 1000, **options: Any) -> list[Claim]:
    limits = {EntryKind.RUN: limit, EntryKind.ACTIVITY: limit}
    return queue.claim(worker_id or new_id(), limits, **{"queues": (), "exclude": (), **options})


def refs(claims_or_entries: list[Claim] | list[Entry]) -> list[UUID]:
    return [item.entry.ref if isinstance(item, Claim) else item.ref for item in claims_or_entries]


def totals(queue: RedisTaskQueue) -> tuple[int, int, int]:
    """Entries ready, claimed and delayed."""
    stats = queue.stats()
    return sum(s.ready for s in stats), sum(s.claimed for s in stats), sum(s.delayed for s in stats)


class Bell:
    """Counts wake-ups."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self.count = 0

    def ring(self) -> None:
        self.count += 1
        self._rung.set()

    def answers(self, seconds: float) -> bool:
        heard = self._rung.wait(seconds)
        self._rung.clear()
        return heard


@contextmanager
def listening(queue: RedisTaskQueue) -> Iterator[Bell]:
    """Watching; the wake-up of the first contact is over."""
    bell = Bell()
    with queue.watch(bell.ring):
        assert bell.answers(5)
        yield bell


@contextmanager
def fake_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """The port of a server that says *answer* of what it reads, and hangs up where that is nothing."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                while (data := connection.recv(100_000)) and (said := answer(data)):
                    connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
