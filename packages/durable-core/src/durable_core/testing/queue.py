"""A `TaskQueue` in memory.

An entry is delayed until its time, then ready; a claim holds it until it is completed, released or its lease
runs out. Ready entries lie in one heap per kind and queue. A heap may also hold entries that are ready no
more; they are dropped when met, as in `tables`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

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
from durable_core.testing.tables import Journal, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from durable_core.testing.clock import TimeSource
    from durable_core.testing.store import InMemoryHistoryStore


class _Handle(NamedTuple):
    """Which delivery of which item a claim is; an older one is good for nothing."""

    item: int
    deliveries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    id: int  # from 1, in order of arrival
    entry: Entry
    since: datetime  # when it became, or becomes, ready
    deliveries: int = 0
    is_ready: bool = False
    worker_id: UUID | None = None  # who has claimed it
    leased_until: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """When it becomes ready without anybody's doing."""
        if self.worker_id is not None:
            return self.leased_until
        return None if self.is_ready else self.since

    def audited(self, now: datetime) -> AuditedEntry:
        if self.is_ready or (self.due_at is not None and self.due_at <= now):
            return AuditedEntry(self.entry, EntryState.READY, None)
        state = EntryState.DELAYED if self.worker_id is None else EntryState.CLAIMED
        return AuditedEntry(self.entry, state, self.worker_id)

    def is_held_by(self, handle: _Handle) -> bool:
        return self.deliveries == handle.deliveries

    def ready(self, since: datetime) -> _Item:
        return replace(self, since=since, is_ready=True, worker_id=None, leased_until=None)


class InMemoryTaskQueue:
    """Entries in this process, gone with it.

    Given a *store*, the queue is transactional: what is done inside `store.transaction()` is undone with it.
    May be used from many threads.
    """

    wakeup = True

    def __init__(
        self,
        clock: TimeSource,
        *,
        store: InMemoryHistoryStore | None = None,
        lease: timedelta = timedelta(seconds=LEASE),
        preference: timedelta = timedelta(seconds=PREFERENCE),
    ) -> None:
        self.transactional = store is not None
        self._clock = clock
        self._lease = lease
        self._preference = preference
        self._journal = Journal() if store is None else store.journal
        self._items: Table[int, _Item] = Table(
            self._journal,
            groups={"worker": lambda item: item.worker_id},
            due_at=lambda item: item.due_at,
            when_set=self._push_ready,
        )
        self._ids = count(1)
        self._ready: dict[tuple[EntryKind, str], list[tuple[int, int]]] = {}  # heaps of (-priority, id)
        self._watchers: list[Callable[[], None]] = []

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        with self._journal.transaction():
            for entry in entries:
                self._put(_Item(id=next(self._ids), entry=entry, since=self._clock.now()), delay)
            self._journal.after_commit(self._wake_watchers)

    def claim(
        self,
        worker_id: UUID,
        limits: Mapping[EntryKind, int],
        *,
        queues: Collection[str],
        exclude: Collection[str],
    ) -> list[Claim]:
        with self._journal.transaction():
            now = self._clock.now()
            self._refresh(now)
            return [
                self._give(item, worker_id, now)
                for kind, limit in limits.items()
                for item in self._take(kind, limit, worker_id, now, queues, exclude)
            ]

    def complete(self, claims: Collection[Claim]) -> None:
        with self._journal.transaction():
            for claim in claims:
                if self._held(claim) is not None:
                    self._items.remove(claim.handle.item)

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        with self._journal.transaction():
            for claim in claims:
                if (item := self._held(claim)) is not None:
                    self._put(item, delay)
            self._journal.after_commit(self._wake_watchers)

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        with self._journal.transaction():
            now = self._clock.now()
            self._refresh(now)  # what has run out of its lease is nobody's any more
            held = [item for worker_id in worker_ids for item in self._items.group("worker", worker_id)]
            for item in held:
                self._items.put(item.id, item.ready(now))
            private = {private_queue(worker_id) for worker_id in worker_ids}
            stranded = [item for item in self._items if item.entry.queue in private]
            for item in stranded:
                moved = replace(item, entry=item.entry._replace(queue=DEFAULT_QUEUE))
                self._items.put(item.id, moved)
            if held or stranded:
                self._journal.after_commit(self._wake_watchers)
            return [item.entry for item in held]

    def stats(self) -> list[QueueStats]:
        with self._journal.transaction():
            now = self._clock.now()
            self._refresh(now)
            by_queue: dict[str, list[_Item]] = {}
            for item in self._items:
                by_queue.setdefault(item.entry.queue, []).append(item)
            return [_summary(queue, items, now) for queue, items in sorted(by_queue.items())]

    def audited(self) -> Iterator[AuditedEntry]:
        with self._journal.transaction():
            now = self._clock.now()
            found = [item.audited(now) for item in self._items]
        return iter(found)

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        self._watchers.append(wake)
        try:
            yield
        finally:
            self._watchers.remove(wake)

    def _wake_watchers(self) -> None:
        for wake in tuple(self._watchers):
            wake()

    def _held(self, claim: Claim) -> _Item | None:
        """The item, unless the claim was lost and somebody else's came after it."""
        item = self._items.get(claim.handle.item)
        return item if item is not None and item.is_held_by(claim.handle) else None

    def _put(self, item: _Item, delay: timedelta | None) -> None:
        """Nobody's any more, or not yet; to be claimed after *delay*."""
        now = self._clock.now()
        since = now if delay is None else max(now, now + delay)
        self._items.put(item.id, replace(item.ready(since), is_ready=since == now))

    def _push_ready(self, item: _Item) -> None:
        if item.is_ready:
            heap = self._ready.setdefault((item.entry.kind, item.entry.queue), [])
            heappush(heap, (-item.entry.priority, item.id))

    def _refresh(self, now: datetime) -> None:
        """Make ready whose delay or lease is over."""
        for item in self._items.due(now):
            self._items.put(item.id, item.ready(now if item.worker_id is not None else item.since))

    def _take(
        self,
        kind: EntryKind,
        limit: int,
        worker_id: UUID,
        now: datetime,
        queues: Collection[str],
        exclude: Collection[str],
    ) -> list[_Item]:
        """The first *limit* ready items of a kind that this worker may have."""
        heaps = [
            heap
            for (of_kind, queue), heap in self._ready.items()
            if of_kind is kind
            and (queue in queues if queues else queue not in exclude and not queue.startswith(PRIVATE))
        ]
        taken: dict[int, _Item] = {}
        left: dict[int, _Item] = {}
        while len(taken) < limit and (heap := min(filter(None, heaps), default=None)) is not None:
            item = self._items.get(heappop(heap)[1])
            if item is not None and item.is_ready:
                (left if self._is_kept_for_another(item, worker_id, now) else taken)[item.id] = item
        for item in left.values():
            self._push_ready(item)
        return list(taken.values())

    def _is_kept_for_another(self, item: _Item, worker_id: UUID, now: datetime) -> bool:
        is_new = item.deliveries == 0  # whoever had it once has had the first choice
        return is_new and item.entry.preferred not in (None, worker_id) and now < item.since + self._preference

    def _give(self, item: _Item, worker_id: UUID, now: datetime) -> Claim:
        claimed = replace(
            item,
            is_ready=False,
            worker_id=worker_id,
            leased_until=now + self._lease,
            deliveries=item.deliveries + 1,
        )
        self._items.put(item.id, claimed)
        return Claim(item.entry, _Handle(item.id, claimed.deliveries), claimed.deliveries)


def _summary(queue: str, items: list[_Item], now: datetime) -> QueueStats:
    ready = [item for item in items if item.is_ready]
    claimed = sum(item.worker_id is not None for item in items)
    return QueueStats(
        queue=queue,
        ready=len(ready),
        claimed=claimed,
        delayed=len(items) - len(ready) - claimed,
        oldest_ready=now - min(item.since for item in ready) if ready else None,
    )
