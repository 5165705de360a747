"""A queue that lies: whatever it loses, repeats, delays or reorders may cost time, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core.testing import InMemoryTaskQueue
from tests.simulation.weather import Lie

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from random import Random
    from uuid import UUID

    from durable_core.ports import Claim, Entry, EntryKind
    from durable_core.testing import InMemoryHistoryStore
    from durable_core.testing.clock import TimeSource
    from tests.simulation.weather import Weather

LONGEST_DELAY = 6.0  # seconds


class LyingQueue(InMemoryTaskQueue):
    """Until `calm`, it does only now and then what it is told."""

    def __init__(self, clock: TimeSource, weather: Weather, random: Random, store: InMemoryHistoryStore) -> None:
        super().__init__(
            clock,
            store=store if weather.transactional else None,
            lease=weather.lease,
            preference=weather.preference,
        )
        self._lies = dict(weather.lies)
        self._random = random

    def calm(self) -> None:
        self._lies.clear()

    def is_empty(self) -> bool:
        return not len(self._items)

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        if self._tells(Lie.FLUSH):
            for item in list(self._items):
                with self._journal.transaction():
                    self._items.remove(item.id)
        for entry in entries:
            if self._tells(Lie.LOSE):
                continue
            for _ in range(2 if self._tells(Lie.REPEAT) else 1):
                super().enqueue([entry], delay=self._delay(delay))

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        claims = super().claim(worker_id, limits, queues=queues, exclude=exclude)
        if len(claims) > 1 and self._tells(Lie.REORDER):
            self._random.shuffle(claims)
        return claims

    def complete(self, claims: Collection[Claim]) -> None:
        super().complete([claim for claim in claims if not self._tells(Lie.FORGET)])

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        for claim in claims:
            if not self._tells(Lie.FORGET):
                super().release([claim], delay=self._delay(delay))

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        return [] if self._tells(Lie.FORGET) else super().release_dead(worker_ids)

    def _wake_watchers(self) -> None:
        if not self._tells(Lie.SILENCE):
            super()._wake_watchers()

    def _delay(self, asked: timedelta | None) -> timedelta | None:
        if not self._tells(Lie.DELAY):
            return asked
        return (asked or timedelta()) + timedelta(seconds=self._random.uniform(0, LONGEST_DELAY))

    def _tells(self, lie: Lie) -> bool:
        return lie in self._lies and self._random.random() < self._lies[lie]
