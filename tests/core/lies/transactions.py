"""About joining the store's transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from durable_core.ports import Claim, Entry
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from tests.core.lying import LIES_IN_TRANSACTIONS, found_by


@found_by(
    "test_entry_of_a_rolled_back_transaction_does_not_exist",
    "test_entry_and_run_appear_together",
    "test_entry_of_an_open_transaction_is_nobodys",
    "test_rolled_back_claim_leaves_the_entry_ready",
    among=LIES_IN_TRANSACTIONS,
)
class SaysItIsTransactionalAndIsNot(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, *, store: InMemoryHistoryStore) -> None:
        super().__init__(clock)
        self.transactional = True


@found_by("test_transactional_queue_is_held_to_it", among=LIES_IN_TRANSACTIONS)
class IsTransactionalAndSaysItIsNot(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, *, store: InMemoryHistoryStore) -> None:
        super().__init__(clock, store=store)
        self.transactional = False


class _DoesOneThingOutside(InMemoryTaskQueue):
    """The rollback of one method is lost."""

    method: str

    def __init__(self, clock: ManualClock, *, store: InMemoryHistoryStore) -> None:
        super().__init__(clock, store=store)
        honest = getattr(self, self.method)

        def outside(*args: Any, **options: Any) -> Any:
            begun = len(self._journal._undo)
            answer = honest(*args, **options)
            del self._journal._undo[begun:]
            return answer

        setattr(self, self.method, outside)


@found_by("test_entry_of_a_rolled_back_transaction_does_not_exist", among=LIES_IN_TRANSACTIONS)
class EnqueuesOutside(_DoesOneThingOutside):
    method = "enqueue"


@found_by("test_rolled_back_completion_leaves_the_entry_claimed", among=LIES_IN_TRANSACTIONS)
class CompletesOutside(_DoesOneThingOutside):
    method = "complete"


@found_by("test_rolled_back_release_leaves_the_entry_claimed", among=LIES_IN_TRANSACTIONS)
class ReleasesOutside(_DoesOneThingOutside):
    method = "release"


@found_by("test_rolled_back_claim_leaves_the_entry_ready", among=LIES_IN_TRANSACTIONS)
class ClaimsOutside(_DoesOneThingOutside):
    method = "claim"


@found_by("test_watcher_is_woken_when_the_entry_can_be_claimed", among=LIES_IN_TRANSACTIONS)
class CallsBeforeTheCommit(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, *, store: InMemoryHistoryStore) -> None:
        super().__init__(clock, store=store)
        self._journal.after_commit = lambda call: call()  # type: ignore[method-assign]


@found_by("test_twin_of_an_entry_that_is_rolled_back_is_kept", among=LIES_IN_TRANSACTIONS)
class DropsTwinsOfWhatIsNotCommitted(InMemoryTaskQueue):
    def __init__(self, clock: ManualClock, *, store: InMemoryHistoryStore) -> None:
        super().__init__(clock, store=store)
        self._seen: set[UUID] = set()

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        fresh = [entry for entry in entries if entry.ref not in self._seen]
        self._seen.update(entry.ref for entry in fresh)
        super().enqueue(fresh, delay=delay)


@found_by("test_twin_that_was_written_before_a_claim_and_committed_after_it_is_kept", among=LIES_IN_TRANSACTIONS)
class DropsTwinsOfWhatOthersMayClaimBeforeTheCommit(SaysItIsTransactionalAndIsNot):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        ready = {item.entry[:2] for item in self._items if item.is_ready}
        super().enqueue([entry for entry in entries if entry[:2] not in ready], delay=delay)


@found_by("test_entry_of_a_committed_transaction_can_be_claimed", among=LIES_IN_TRANSACTIONS)
class LosesWhatIsEnqueuedInATransaction(InMemoryTaskQueue):
    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        if not self._journal.in_transaction():
            super().enqueue(entries, delay=delay)


@found_by("test_committed_completion_removes_the_entry", among=LIES_IN_TRANSACTIONS)
class ForgetsWhatIsCompletedInATransaction(InMemoryTaskQueue):
    def complete(self, claims: Collection[Claim]) -> None:
        if not self._journal.in_transaction():
            super().complete(claims)
