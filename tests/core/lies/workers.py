"""About dead workers, and what was theirs alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from durable_core.ports import DEFAULT_QUEUE, PRIVATE, Claim, Entry, EntryKind, private_queue
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.core.lying import found_by

# The dead


@found_by("test_entries_of_dead_workers_are_given_back_and_answered", "test_dead_worker_is_relieved_once")
class ForgetsTheDead(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        return []


@found_by("test_claims_of_a_killed_process_are_given_back_with_its_worker")
class GivesBackAndSaysNothing(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        super().release_dead(worker_ids)
        return []


@found_by(
    "test_what_a_dead_worker_had_done_is_not_given_back", "test_what_a_dead_worker_had_lost_stays_with_its_new_holder"
)
class AnswersTooMuch(InMemoryTaskQueue):
    """All that dead workers ever had."""

    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **options)
        self._had: dict[UUID, list[Entry]] = {}

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        claims = super().claim(worker_id, limits, **options)
        self._had.setdefault(worker_id, []).extend(claim.entry for claim in claims)
        return claims

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        super().release_dead(worker_ids)
        return [entry for worker_id in worker_ids for entry in self._had.pop(worker_id, [])]


@found_by("test_entries_of_the_living_stay_with_them")
class TakesFromTheLiving(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        everybody = {item.worker_id for item in self._items if item.worker_id is not None}
        return super().release_dead([*everybody, *worker_ids] if worker_ids else [])


@found_by("test_unknown_workers_have_nothing_to_give_back")
class TakesNobodyForEverybody(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        everybody = {item.worker_id for item in self._items if item.worker_id is not None}
        return super().release_dead(worker_ids or everybody)


@found_by("test_entry_of_a_dead_worker_counts_as_delivered_before")
class ForgetsThatTheDeadHadIt(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        entries = super().release_dead(worker_ids)
        for item in [item for item in self._items if item.entry in entries]:
            self._items.remove(item.id)
        self.enqueue(entries)
        return entries


# Private queues


@found_by("test_private_queue_is_served_only_by_those_that_name_it")
class OpensPrivateQueuesToAll(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        all_but = {stats.queue for stats in self.stats()} - {*options["exclude"]}
        return super().claim(worker_id, limits, queues=options["queues"] or all_but or [""], exclude=())


@found_by("test_private_queue_of_a_dead_worker_goes_to_the_default_queue")
class LeavesThePrivateQueueOfTheDead(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        with self._journal.transaction():
            held = [item for worker_id in worker_ids for item in self._items.group("worker", worker_id)]
            for item in held:
                self._items.put(item.id, item.ready(self._clock.now()))
        return [item.entry for item in held]


@found_by("test_delayed_entry_in_the_private_queue_of_a_dead_worker_is_not_forgotten")
class LosesTheDelayedInThePrivateQueueOfTheDead(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        private = [private_queue(worker_id) for worker_id in worker_ids]
        for item in list(self._items):
            if item.entry.queue in private and not item.is_ready and item.worker_id is None:
                self._items.remove(item.id)
        return super().release_dead(worker_ids)


@found_by("test_private_queue_of_a_dead_worker_goes_to_the_default_queue")
class OpensThePrivateQueuesOfTheLiving(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        entries = super().release_dead(worker_ids)
        for item in list(self._items):
            if item.entry.queue.startswith(PRIVATE):
                self._items.put(item.id, replace(item, entry=item.entry._replace(queue=DEFAULT_QUEUE)))
        return entries
