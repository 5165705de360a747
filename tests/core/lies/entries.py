"""About what is enqueued."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from durable_core.ports import Claim, Entry, EntryKind
from durable_core.testing import InMemoryTaskQueue
from tests.core.lying import found_by


@found_by("test_entries_of_one_call_keep_their_order")
class LosesTheLastOfMany(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        entries = list(entries)
        super().enqueue(entries[:-1] if len(entries) > 5 else entries, delay=delay)


@found_by("test_thousands_of_entries_may_come_and_go_at_once")
class TakesAThousandAtMost(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue(list(entries)[:1000], delay=delay)


@found_by("test_enqueueing_nothing_is_fine")
class WantsSomething(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        first, *others = entries
        super().enqueue([first, *others], delay=delay)


@found_by("test_threads_may_enqueue_side_by_side", "test_entries_of_many_processes_are_claimed_once_by_many")
class CountsWithoutALock(InMemoryTaskQueue):
    _count = 0

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        first = self._count
        time.sleep(0.001)
        self._ids = count(first + 1)
        super().enqueue(entries := list(entries), delay=delay)
        self._count = first + len(entries)


@found_by("test_entries_may_come_from_a_generator")
class LooksTwiceAtItsArgument(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        if any(entries):
            super().enqueue(entries, delay=delay)


@found_by("test_entry_is_claimed_as_it_was_enqueued")
class ForgetsTheKind(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue([entry._replace(kind=EntryKind.RUN) for entry in entries], delay=delay)


@found_by("test_names_of_queues_are_text_and_nothing_else")
class CleansNames(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        cleaned = [entry._replace(queue=entry.queue.translate({ord("*"): None})) for entry in entries]
        super().enqueue(cleaned, delay=delay)


@found_by("test_names_of_queues_may_have_200_characters")
class CutsNames(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue([entry._replace(queue=entry.queue[:199]) for entry in entries], delay=delay)


@found_by("test_higher_priority_comes_first", "test_priority_wins_when_there_is_room_for_one")
class IgnoresPriority(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue([entry._replace(priority=0) for entry in entries], delay=delay)


@found_by("test_priorities_have_16_bits")
class KeepsPriorityInAByte(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        kept = [entry._replace(priority=max(min(entry.priority, 127), -128)) for entry in entries]
        super().enqueue(kept, delay=delay)


@found_by("test_oldest_entry_comes_first", "test_equal_priorities_keep_their_order")
class ReturnsTheNewestFirst(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, limits, **options)[::-1]


@found_by("test_delayed_entry_is_claimed_after_its_delay")
class KnowsNoDelay(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue(entries)


@found_by("test_delayed_entry_does_not_hold_up_others")
class WaitsForTheFirstInLine(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        self._refresh(self._clock.now())
        waiting = [item for item in self._items if item.worker_id is None]
        first = min(waiting, key=lambda item: (-item.entry.priority, item.id), default=None)
        return super().claim(worker_id, limits, **options) if first is None or first.is_ready else []


@found_by("test_no_delay_is_no_delay")
class TakesNoDelayForOne(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue(entries, delay=None if delay is None else max(delay, timedelta(milliseconds=1)))


@found_by("test_same_entry_may_be_enqueued_twice")
class RefusesTwins(InMemoryTaskQueue):
    """As a unique index does where nobody looks after it."""

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        for entry in entries:
            if any(item.entry[:2] == entry[:2] for item in self._items):
                raise LookupError(entry)
            super().enqueue([entry], delay=delay)


@found_by("test_twin_of_a_claimed_entry_can_be_claimed", "test_completing_one_twin_leaves_the_other")
class KeepsOneOfEachId(InMemoryTaskQueue):
    """As a unique index on kind and ref does."""

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        known = {(item.entry.kind, item.entry.ref) for item in self._items}
        super().enqueue([entry for entry in entries if (entry.kind, entry.ref) not in known], delay=delay)


@found_by("test_twin_of_a_delayed_entry_is_ready_at_once")
class DropsTwinsOfAllThatIsUnclaimed(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        waiting = {item.entry[:2] for item in self._items if item.worker_id is None}
        super().enqueue([entry for entry in entries if entry[:2] not in waiting], delay=delay)


@found_by("test_run_and_activity_of_one_id_are_no_twins")
class TellsTwinsByIdAlone(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue({entry.ref: entry for entry in entries}.values(), delay=delay)


@found_by(
    "test_twin_of_an_entry_whose_lease_ended_outlives_its_late_completion",
    "test_twin_of_an_entry_of_a_dead_worker_outlives_its_late_completion",
)
class MergesTwinsAndForgetsWhoIsLate(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        self._refresh(self._clock.now())
        ready = {item.entry[:2] for item in self._items if item.is_ready}
        super().enqueue([entry for entry in entries if entry[:2] not in ready], delay=delay)
