"""About who is given what."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from durable_core.ports import DEFAULT_QUEUE, PRIVATE, Claim, Entry, EntryKind
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.core.lying import AT_ONCE, found_by

# Claims


@found_by("test_claimed_entry_is_not_claimed_twice", "test_eight_threads_claim_every_entry_once")
class GivesOneEntryToTwoWorkers(InMemoryTaskQueue):
    _given: Claim | None = None

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        claims = super().claim(worker_id, limits, **options)
        again, self._given = self._given, next(iter(claims), None)
        return claims or ([again] if again else [])


@found_by(
    "test_eight_threads_claim_every_entry_once",
    "test_entries_of_many_processes_are_claimed_once_by_many",
    "test_queue_goes_on_in_a_process_that_forked_and_in_its_child",
)
class LooksFirstAndTakesThen(InMemoryTaskQueue):
    """A SELECT and an UPDATE without a lock."""

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        now = self._clock.now()
        self._refresh(now)
        with self._journal.transaction():
            seen = [
                item
                for kind, limit in limits.items()
                for item in self._take(kind, limit, worker_id, now, options["queues"], options["exclude"])
            ]
            for item in seen:
                self._push_ready(item)
        time.sleep(0.001)
        with self._journal.transaction():
            return [self._give(item, worker_id, now) for item in seen]


@found_by("test_what_is_over_the_limit_is_left_for_the_next", "test_limit_of_zero_takes_nothing")
class ExceedsItsLimit(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, {kind: limit + 1 for kind, limit in limits.items()}, **options)


@found_by("test_each_kind_has_its_own_limit")
class AddsLimitsUp(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, dict.fromkeys(limits, sum(limits.values())), **options)


@found_by("test_kind_that_is_not_asked_for_is_not_taken")
class TakesKindsThatNobodyAskedFor(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, {**dict.fromkeys(EntryKind, 1), **limits}, **options)


@found_by("test_entries_of_other_queues_do_not_use_up_the_limit")
class SortsOutAfterwards(InMemoryTaskQueue):
    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        claims = super().claim(worker_id, limits, queues=(), exclude=exclude)
        unwanted = [claim for claim in claims if queues and claim.entry.queue not in queues]
        self.release(unwanted)
        return [claim for claim in claims if claim not in unwanted]


@found_by("test_no_names_mean_all_queues")
class ServesOneQueueWhereNoneIsNamed(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, limits, **{**options, "queues": options["queues"] or [DEFAULT_QUEUE]})


@found_by("test_only_the_named_queues_are_served")
class IgnoresTheNamesOfQueues(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, limits, **{**options, "queues": ()})


@found_by("test_excluded_queues_are_left_alone")
class IgnoresWhatIsExcluded(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return super().claim(worker_id, limits, **{**options, "exclude": ()})


@found_by("test_priority_and_age_count_across_queues")
class EmptiesOneQueueAfterTheOther(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        names = options["queues"] or sorted(stats.queue for stats in self.stats())
        claims: list[Claim] = []
        for name in names:
            if name not in options["exclude"] and (options["queues"] or not name.startswith(PRIVATE)):
                left = {k: limit - sum(c.entry.kind is k for c in claims) for k, limit in limits.items()}
                claims += super().claim(worker_id, left, queues=[name], exclude=())
        return claims


@found_by("test_empty_queue_gives_nothing_at_once")
class WaitsForEntries(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        if not len(self._items):
            time.sleep(1.5 * AT_ONCE)
        return super().claim(worker_id, limits, **options)


@found_by("test_deliveries_are_counted", "test_entry_is_delivered_again_when_its_lease_ends")
class CountsEveryDeliveryAsTheFirst(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        return [claim._replace(deliveries=1) for claim in super().claim(worker_id, limits, **options)]


@found_by(
    "test_entry_is_delivered_again_when_its_lease_ends",
    "test_process_killed_in_the_middle_of_its_claims_holds_up_nothing_for_longer_than_a_lease",
)
class NeverRedelivers(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **{**options, "lease": timedelta(days=1)})


@found_by("test_claim_holds_until_its_lease_ends")
class RedeliversTooSoon(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **{**options, "lease": timedelta(seconds=1)})


# Preferred workers


@found_by("test_others_leave_an_entry_to_its_preferred_worker")
class HandsPreferredEntriesToOthersAtOnce(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **{**options, "preference": timedelta()})


@found_by("test_others_may_claim_when_the_preference_is_over")
class NeverHandsPreferredEntriesToOthers(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, **options: Any) -> None:
        super().__init__(clock, **{**options, "preference": timedelta(days=1)})


@found_by("test_preference_counts_from_when_the_entry_is_ready")
class ForgetsThePreferenceOfDelayedEntries(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        super().enqueue([entry._replace(preferred=None) for entry in entries] if delay else entries, delay=delay)


@found_by("test_entry_is_left_to_its_preferred_worker_once", "test_released_entry_can_be_claimed_by_anybody_at_once")
class PrefersAgainAndAgain(InMemoryTaskQueue):
    def _is_kept_for_another(self, item: Any, worker_id: UUID, now: Any) -> bool:
        return super()._is_kept_for_another(replace(item, deliveries=0), worker_id, now)


@found_by("test_preferred_worker_that_does_not_serve_the_queue_does_not_get_the_entry")
class TakesPreferenceForService(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        mine = {item.entry.queue for item in self._items if item.entry.preferred == worker_id}
        queues = {*options["queues"], *mine} if options["queues"] else ()
        return super().claim(worker_id, limits, **{**options, "queues": queues})


@found_by("test_what_another_worker_is_preferred_for_does_not_use_up_the_limit")
class LooksAtTheFirstTenOnly(InMemoryTaskQueue):
    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        now = self._clock.now()
        first = sorted((item for item in self._items if item.is_ready), key=lambda i: (-i.entry.priority, i.id))[:10]
        if first and all(self._is_kept_for_another(item, worker_id, now) for item in first):
            return []
        return super().claim(worker_id, limits, **options)
