"""A task queue in a folder, one file per entry: `ls` shows how it does.

A file's text is the entry, written once. What changes is its name, by `os.rename`, which only one process can do to a
file of that name: whoever renames an entry to a claim has it, and the others find it gone.

    rank  number                             ready at         deliveries, worker
    32767.01764000000000000000-4711-00000001.1764000060000000.1.8f14e45fceea467fa8a10d1e2f1c3b5a
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from durable_core import ports
from durable_core.errors import QueueUnavailable
from durable_core.ports import Claim, Entry, EntryKind, QueueStats

DONE = "~done"  # what is renamed to this is gone when the next one is


class Name(NamedTuple):
    rank: int  # 32767 - priority: names sort as entries are claimed, highest priority first, then oldest
    number: str  # when and by whom it was enqueued; no two entries have the same
    ready_at: int  # microseconds; from then on anybody may claim it. Of a claim: the end of its lease
    deliveries: int = 0  # claims so far; it only grows, so no name comes twice, and a lost claim names no file
    worker: str = ""  # who holds it

    def __str__(self) -> str:
        return f"{self.rank:05}.{self.number}.{self.ready_at}.{self.deliveries}.{self.worker}"


@contextmanager
def as_ours() -> Iterator[None]:
    """A disk that is full or gone is to a folder what a server that does not answer is to others."""
    try:
        yield
    except OSError as error:
        raise QueueUnavailable(f"the folder of the queue: {error}") from error


class ToyQueue:
    transactional = False  # a file is there at once, whatever becomes of the store's transaction
    wakeup = False  # workers look once per tick

    def __init__(self, path: str, *, lease: float = ports.LEASE, preference: float = ports.PREFERENCE) -> None:
        self.folder = Path(path)  # not touched before it is needed
        self.lease, self.preference = timedelta(seconds=lease), timedelta(seconds=preference)
        self.count = count()

    @as_ours()
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        for entry in entries:
            number = f"{time.time_ns():020}-{os.getpid()}-{next(self.count):08}"
            self._write(Name(32767 - entry.priority, number, _now(delay)), entry)

    @as_ours()
    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        claims: list[Claim] = []
        room, now, a_second_ago, lease_end = dict(limits), _now(), _now(-self.preference), _now(self.lease)
        for name, entry in self._files():
            is_open = entry.queue not in exclude and not entry.queue.startswith(ports.PRIVATE)
            is_kept = entry.preferred not in (None, worker_id) and not name.deliveries and name.ready_at > a_second_ago
            if name.ready_at > now or is_kept or not (entry.queue in queues if queues else is_open):
                continue
            held = name._replace(ready_at=lease_end, deliveries=name.deliveries + 1, worker=worker_id.hex)
            if room.get(entry.kind) and self._move(name, held):  # or somebody else was faster
                claims.append(Claim(entry, held, held.deliveries))
                room[entry.kind] -= 1
        return claims

    @as_ours()
    def complete(self, claims: Collection[Claim]) -> None:
        for claim in claims:
            self._move(claim.handle, DONE)

    @as_ours()
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        for claim in claims:
            self._move(claim.handle, claim.handle._replace(ready_at=_now(delay), worker=""))

    @as_ours()
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        dead, private = {worker.hex for worker in worker_ids}, {ports.private_queue(worker) for worker in worker_ids}
        now, released = _now(), []
        for name, entry in self._files():
            if name.worker in dead and name.ready_at > now:
                held, name = name, name._replace(ready_at=now, worker="")
                released += [entry] * self._move(held, name)
            if entry.queue in private and self._move(name, DONE):  # a crash here loses the entry, and costs time
                self._write(name, entry._replace(queue=ports.DEFAULT_QUEUE))
        return released

    @as_ours()
    def stats(self) -> list[QueueStats]:
        names: dict[str, list[Name]] = {}
        for name, entry in self._files():
            names.setdefault(entry.queue, []).append(name)
        return [_numbers(queue, names[queue], _now()) for queue in sorted(names)]

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        yield  # a queue whose `wakeup` is False calls nobody

    def _files(self) -> Iterator[tuple[Name, Entry]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(self.folder.glob("[!~]*")):
            with suppress(FileNotFoundError):  # renamed or removed since the folder was read
                kind, ref, queue, priority, preferred = json.loads(file.read_text())
                rank, number, ready_at, deliveries, worker = file.name.split(".")
                entry = Entry(EntryKind(kind), UUID(ref), queue, priority, preferred and UUID(preferred))
                yield Name(int(rank), number, int(ready_at), int(deliveries), worker), entry

    def _write(self, name: Name, entry: Entry) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        half_written = self.folder / f"~{name}"
        parts = (entry.kind.value, entry.ref.hex, entry.queue, entry.priority, entry.preferred and entry.preferred.hex)
        half_written.write_text(json.dumps(parts))
        half_written.rename(self.folder / str(name))

    def _move(self, old: Name, new: Name | str) -> bool:
        """Every race is decided here: False if there is no file *old* any more."""
        with suppress(FileNotFoundError):
            (self.folder / str(old)).rename(self.folder / str(new))
            return True
        return False


def _now(shift: timedelta | None = None) -> int:
    return (time.time_ns() // 1000) + (shift or timedelta()) // timedelta(microseconds=1)


def _numbers(queue: str, names: list[Name], now: int) -> QueueStats:
    ready = [name.ready_at for name in names if name.ready_at <= now]
    claimed = sum(name.ready_at > now and name.worker != "" for name in names)
    delayed = len(names) - len(ready) - claimed
    age = timedelta(microseconds=now - min(ready)) if ready else None
    return QueueStats(queue=queue, ready=len(ready), claimed=claimed, delayed=delayed, oldest_ready=age)
