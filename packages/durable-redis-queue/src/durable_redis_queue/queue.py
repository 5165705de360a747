"""The queue: each method runs one script."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from durable_core.errors import ConfigurationError
from durable_core.ports import (
    DEFAULT_QUEUE,
    LEASE,
    PREFERENCE,
    PRIVATE,
    AuditedEntry,
    Claim,
    Entry,
    EntryKind,
    EntryState,
    QueueStats,
    private_queue,
)
from durable_redis_queue.connection import Server
from durable_redis_queue.diagnosis import diagnose, evicts
from durable_redis_queue.keys import GROUP, Keys, parts_of, quoted, stream_name
from durable_redis_queue.lua.entries import CLAIM, COMPLETE, ENQUEUE, RELEASE
from durable_redis_queue.lua.reading import DELAYED, ENTRIES, STREAMS
from durable_redis_queue.lua.upkeep import RELEASE_DEAD, STATS, TICK
from durable_redis_queue.watcher import watching

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from durable_core.ports import Finding

logger = logging.getLogger("durable.queue")

BATCH = 500  # entries that go to the server in one script; it serves nobody else for the 2 ms that they take
SWEEPS = 10  # looks for claims whose lease is over, in the time of a lease; at least one a second
CLEAR_EVERY = 60  # seconds between two looks for what nobody uses any more
EMPTY_FOR = 60  # seconds after which an empty stream goes
IDLE_FOR = 600  # seconds after which a consumer goes that holds nothing; one that lives comes back by itself


class Handle(NamedTuple):
    stream: str  # its name, without what all keys begin with
    id: str
    worker: str
    token: int  # deliveries in the group at the time of the claim


class RedisTaskQueue:
    """`TaskQueue` on Redis Streams: one per kind, queue and priority, with one consumer group.

    Durations are seconds or `timedelta`s. What else redis-py takes may stand in the query of the *url*
    (``?max_connections=50``). *ssl_...* are for a url that begins with ``rediss://``.
    """

    transactional = False
    wakeup = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "durable",
        username: str | None = None,
        password: str | None = None,
        cluster: bool = False,
        lease: float | timedelta = LEASE,
        preference: float | timedelta = PREFERENCE,
        socket_timeout: float = 5,
        socket_connect_timeout: float = 5,
        health_check_interval: int = 30,
        ssl_ca_certs: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_check_hostname: bool | None = None,
    ) -> None:
        self._keys = Keys(prefix)
        self._lease, self._preference = _ms("lease", lease), _ms("preference", preference)
        if self._lease == 0:
            raise ConfigurationError("lease of the Redis queue must be longer than nothing")
        self._broken: set[str] = set()  # streams that there was a complaint about
        self._sweep_every = min(max(self._lease // SWEEPS, 1), 1000)
        tls = {
            "ssl_ca_certs": ssl_ca_certs,
            "ssl_certfile": ssl_certfile,
            "ssl_keyfile": ssl_keyfile,
            "ssl_check_hostname": ssl_check_hostname,
        }
        self._server = Server(
            url,
            cluster=cluster,
            username=username,
            password=password,
            settings={
                "socket_timeout": socket_timeout,
                "socket_connect_timeout": socket_connect_timeout,
                "health_check_interval": health_check_interval,
                **{name: value for name, value in tls.items() if value is not None},
            },
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._server.name!r}, prefix={self._keys.root[1:-2]!r})"

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        words = [
            word
            for kind, ref, queue, priority, preferred in entries
            for word in (stream_name(kind, priority, queue), ref.hex, _hex(preferred))
        ]
        for first in range(0, len(words), 3 * BATCH):
            self._run(ENQUEUE, [_wait(delay), *words[first : first + 3 * BATCH]])

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        room = [max(limits.get(kind, 0), 0) for kind in (EntryKind.RUN, EntryKind.ACTIVITY)]
        if not any(room):
            return []
        times = (self._preference, self._lease, self._sweep_every)
        named = [quoted(queue) for queue in queues or exclude]
        # Not repeated when the reply was lost: what was claimed would stay claimed for the time of a lease.
        claims, buried, mended, broken = self._run(
            CLAIM,
            [worker_id.hex, *times, *room, "only" if queues else "not", PRIVATE, *named],
            repeatable=False,
        )
        self._tell(buried, mended, broken)
        claimed = [_claim_of(worker_id.hex, *found) for found in claims]
        return sorted(claimed, key=lambda claim: (-claim.entry.priority, *map(int, claim.handle.id.split("-"))))

    def complete(self, claims: Collection[Claim]) -> None:
        words = [word for claim in claims for word in claim.handle]
        for first in range(0, len(words), 4 * BATCH):
            self._run(COMPLETE, words[first : first + 4 * BATCH])

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        words = [
            word
            for entry, handle, deliveries in claims
            for word in (*handle, deliveries, entry.ref.hex, _hex(entry.preferred))
        ]
        for first in range(0, len(words), 7 * BATCH):
            self._run(RELEASE, [_wait(delay), *words[first : first + 7 * BATCH]])

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        if not worker_ids:
            return []
        workers = [word for worker in worker_ids for word in (worker.hex, quoted(private_queue(worker)))]
        released, buried = self._run(RELEASE_DEAD, [self._lease, quoted(DEFAULT_QUEUE), *workers])
        self._tell(buried)
        return [_entry_of(*found) for found in released]

    def stats(self) -> list[QueueStats]:
        rows, stones = self._run(STATS, [self._lease])
        by_queue: dict[str, list[tuple[int, int, int, int]]] = {}
        for name, *numbers in rows:
            by_queue.setdefault(parts_of(name)[2], []).append(tuple(numbers))
        dead = [parts_of(name)[2] for name in stones]
        found = [_stats_of(queue, by_queue.get(queue, []), dead.count(queue)) for queue in {*by_queue, *dead}]
        return sorted((stats for stats in found if _has_entries(stats)), key=lambda stats: stats.queue)

    def audited(self) -> Iterator[AuditedEntry]:
        for name in self._run(STREAMS, []):
            try:
                parts_of(name)
            except ValueError:
                continue  # not of our making
            yield from self._audited_entries(name)
            yield from self._audited_delayed(name)

    def _audited_entries(self, name: str) -> Iterator[AuditedEntry]:
        last = "-"
        while last:
            last, rows = self._run(ENTRIES, [name, last, BATCH, self._lease])
            for ref, preferred, worker in rows:
                state = EntryState.CLAIMED if worker else EntryState.READY
                yield AuditedEntry(_entry_of(name, ref, preferred), state, _uuid(worker))

    def _audited_delayed(self, name: str) -> Iterator[AuditedEntry]:
        first, count = 0, BATCH
        while count == BATCH:
            count, rows = self._run(DELAYED, [name, first, BATCH])
            first += count
            for ref, preferred, is_over in rows:
                state = EntryState.READY if is_over else EntryState.DELAYED
                yield AuditedEntry(_entry_of(name, ref, preferred), state, None)

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        with watching(self._server, self._keys.wake, wake=wake, tick=self._tick, greet=self._warn_of_eviction):
            yield

    def diagnose(self) -> list[Finding]:
        return diagnose(self._server, self._keys)

    def _tick(self) -> float | None:
        """What is due, and what is to be cleared away; the seconds until more is due, None for never."""
        times = [round(1000 * seconds) for seconds in (CLEAR_EVERY, EMPTY_FOR, IDLE_FOR)]
        wait, buried, mended = self._run(TICK, times)
        self._tell(buried, mended)
        return None if wait < 0 else wait / 1000

    def _warn_of_eviction(self) -> None:
        if policy := evicts(self._server, self._keys):
            logger.warning(
                "Redis at %s deletes keys when it is full (maxmemory-policy %s); the queue loses entries then, and "
                "they come late. Set maxmemory-policy to noeviction",
                self._server.name,
                policy,
            )

    def _run(self, script: str, args: Sequence[str | int], *, repeatable: bool = True) -> Any:
        return self._server.run(script, self._keys.registry, args, repeatable=repeatable)

    def _tell(self, buried: Iterable[Sequence[str]], mended: Iterable[str] = (), broken: Iterable[str] = ()) -> None:
        for name, entry_id, text in buried:
            logger.error("unreadable entry %s of stream %s kept in %s: %s", entry_id, name, self._keys.dead, text)
        for name in mended:
            logger.warning(
                "stream %s had lost its consumer group %r, which was made again: entries that were claimed come twice",
                name,
                GROUP,
            )
        for name in set(broken) - self._broken:
            self._broken.add(name)
            logger.error("key of stream %s holds something else; its queue is not served", name)


def _ms(name: str, duration: float | timedelta) -> int:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not 0 <= seconds < 10**9:
        raise ConfigurationError(f"{name} of the Redis queue is {duration!r}; it takes seconds, 0 or more")
    return round(1000 * seconds)


def _wait(delay: timedelta | None) -> int:
    """In milliseconds, rounded up: an entry is never early."""
    return 0 if delay is None else max(-(-delay // timedelta(milliseconds=1)), 0)


def _hex(worker_id: UUID | None) -> str:
    return "" if worker_id is None else worker_id.hex


def _entry_of(stream: str, ref: str, preferred: str) -> Entry:
    kind, priority, queue = parts_of(stream)
    return Entry(kind, UUID(ref), queue, priority, _uuid(preferred))


def _uuid(text: str) -> UUID | None:
    return UUID(text) if text else None


def _claim_of(worker: str, stream: str, entry_id: str, token: int, deliveries: int, ref: str, preferred: str) -> Claim:
    return Claim(_entry_of(stream, ref, preferred), Handle(stream, entry_id, worker, token), deliveries)


def _stats_of(queue: str, rows: Sequence[tuple[int, int, int, int]], dead: int) -> QueueStats:
    ready, claimed, delayed = (sum(row[i] for row in rows) for i in range(3))
    ages = [row[3] for row in rows if row[3] >= 0]
    return QueueStats(
        queue=queue,
        ready=ready,
        claimed=claimed,
        delayed=delayed,
        oldest_ready=timedelta(milliseconds=max(ages)) if ages else None,
        dead=dead,
    )


def _has_entries(stats: QueueStats) -> bool:
    return bool(stats.ready or stats.claimed or stats.delayed or stats.dead)
