"""About how claims end."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from durable_core.ports import Claim, Entry, EntryKind
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.core.lying import found_by


@found_by("test_completed_entry_is_gone")
class ForgetsNothing(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        pass


@found_by("test_completing_or_releasing_nothing_is_fine")
class WantsAClaim(InMemoryTaskQueue):
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        first, *others = claims
        super().release([first, *others], delay=delay)


@found_by("test_completing_some_claims_leaves_the_others")
class CompletesAllOfAWorker(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        workers = {item.worker_id for claim in claims if (item := self._held(claim)) is not None}
        with self._journal.transaction():
            for item in [item for item in self._items if item.worker_id in workers]:
                self._items.remove(item.id)


def _now(queue: InMemoryTaskQueue, claims: Collection[Claim]) -> list[Claim]:
    """The claims as if they had never been lost."""
    items = [(claim, queue._items.get(claim.handle.item)) for claim in claims]
    return [c._replace(handle=c.handle._replace(deliveries=item.deliveries)) for c, item in items if item is not None]


@found_by(
    "test_completing_a_lost_claim_does_not_take_the_entry_from_its_holder",
    "test_process_that_was_paused_past_its_lease_cannot_end_what_another_holds",
)
class CompletesWhatWasLost(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        super().complete(_now(self, claims))


@found_by(
    "test_releasing_a_lost_claim_does_not_take_the_entry_from_its_holder",
    "test_worker_that_was_taken_for_dead_cannot_end_what_another_holds",
)
class ReleasesWhatWasLost(InMemoryTaskQueue):
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        super().release(_now(self, claims), delay=delay)


@found_by("test_lost_claim_does_not_stop_the_others_of_its_batch")
class StopsAtALostClaim(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        for claim in claims:
            if self._held(claim) is None:
                return
            super().complete([claim])


@found_by("test_completing_twice_is_harmless")
class ComplainsOfWhatWasCompleted(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        for claim in claims:
            if self._items.get(claim.handle.item) is None:
                raise LookupError(claim)
        super().complete(claims)


@found_by("test_claim_of_one_thread_may_be_ended_by_another")
class KeepsClaimsByThread(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **options)
        self._mine = threading.local()

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        claims = super().claim(worker_id, limits, **options)
        self._mine.__dict__.update((claim.handle, claim) for claim in claims)
        return claims

    def complete(self, claims: Collection[Claim]) -> None:
        super().complete([self._mine.__dict__[claim.handle] for claim in claims])


@found_by("test_released_entry_can_be_claimed_by_anybody_at_once")
class LosesWhatIsReleased(InMemoryTaskQueue):
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        self.complete(claims)


@found_by("test_entry_released_with_a_delay_is_claimed_after_it")
class ForgetsTheDelayOfARelease(InMemoryTaskQueue):
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        super().release(claims)


@found_by("test_released_entry_is_the_one_that_was_enqueued", "test_released_entry_counts_as_delivered_before")
class ReleasesByEnqueueing(InMemoryTaskQueue):
    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        held = [claim.entry for claim in claims if self._held(claim) is not None]
        self.complete(claims)
        self.enqueue([Entry(entry.kind, entry.ref, entry.queue) for entry in held], delay=delay)
