"""The queue under test, and what is done with it again and again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.ports import LEASE, PREFERENCE, Claim, Entry, EntryKind, QueueStats, TaskQueue, new_id
from durable_core.testing.contracts.base import Contract

if TYPE_CHECKING:
    from collections.abc import Collection

DELAY = 0.3  # seconds, for cases that wait until an entry is ready


def an_entry(**changes: Any) -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")._replace(**changes)


class QueueCases(Contract):
    lease: float = LEASE  # seconds; a queue on real time is made with a lease of a second or so
    preference: float = PREFERENCE

    def make_queue(self) -> TaskQueue:
        """A queue with nothing in it."""
        raise NotImplementedError(f"{type(self).__name__} must say how its queue is made")

    @cached_property
    def queue(self) -> TaskQueue:
        return self.make_queue()

    @cached_property
    def me(self) -> UUID:
        """The worker that claims, where it does not matter which."""
        return new_id()

    def enqueue(self, **changes: Any) -> Entry:
        entry = an_entry(**changes)
        self.queue.enqueue([entry])
        return entry

    def claim(
        self,
        worker_id: UUID | None = None,
        *,
        queues: Collection[str] = (),
        exclude: Collection[str] = (),
        runs: int = 1000,
        activities: int = 1000,
    ) -> list[Claim]:
        limits = {EntryKind.RUN: runs, EntryKind.ACTIVITY: activities}
        return self.queue.claim(worker_id or self.me, limits, queues=queues, exclude=exclude)

    def claimed_refs(self, worker_id: UUID | None = None, **options: Any) -> list[UUID]:
        return [claim.entry.ref for claim in self.claim(worker_id, **options)]

    def stats(self) -> dict[str, QueueStats]:
        return {stats.queue: stats for stats in self.queue.stats()}

    def totals(self) -> tuple[int, int, int]:
        """Entries ready, claimed and delayed, over all queues."""
        stats = self.queue.stats()
        return sum(s.ready for s in stats), sum(s.claimed for s in stats), sum(s.delayed for s in stats)
