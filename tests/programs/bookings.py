"""What transactional activities write into the store's own transactions: once for each that succeeded, nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from durable_core.activity import current_activity
from durable_core.retry import RetryPolicy
from tests.programs.activities import Effect, Scripted, message_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from durable_core.definitions import Registry
    from durable_core.testing import InMemoryHistoryStore
    from tests.programs.activities import Ledger
    from tests.programs.model import Judgement

BOOKED = "booked"
ATTEMPTS = 2
TIME_LIMIT = 30.0  # seconds: the product's own


class Books:
    """A table of the store."""

    def __init__(self, store: InMemoryHistoryStore) -> None:
        self._store = store
        self.keys: list[str] = []

    def book(self, key: str) -> None:
        assert self._store.in_transaction(), "a transactional activity runs in no transaction"
        self._store.journal.undo_with(self._forget_last)  # transactions run one by one, and are undone backwards
        self.keys.append(key)

    def _forget_last(self) -> None:
        self.keys.pop()


def install_books(registry: Registry, ledger: Ledger, books: Books | None) -> None:
    """Register the activity; without *books* it is for code that is replayed, and never called."""

    def booked(key: str, value: Any, fails: int) -> Any:
        current = current_activity()
        effect = Effect(key, current.idempotency_key, current.attempt)
        ledger.begin(effect)
        assert books is not None
        books.book(key)
        if current.attempt <= fails:
            raise Scripted(message_of(current.attempt))
        ledger.end(effect)
        return value

    policy = RetryPolicy(initial_interval=0.01, maximum_interval=0.05, maximum_attempts=ATTEMPTS)
    registry.activity(name=BOOKED, retry_policy=policy, transactional=True)(booked)


def judge_bookings(judgements: Collection[Judgement], keys: Collection[str]) -> Iterator[str]:
    """All runs that booked anything must be judged."""
    allowed = {key: times for judgement in judgements for key, times in judgement.bookings.items()}
    unseen = tuple(f"{path}:" for judgement in judgements for path in judgement.unseen)
    there = Counter(keys)
    for key in sorted(allowed.keys() | there.keys()):
        if there[key] > 1:
            yield f"booking {key} is there {there[key]} times"
        elif not key.startswith(unseen) and (key not in allowed or not allowed[key].permits(there[key])):
            yield f"booking {key} is there {there[key]} times; expected {allowed.get(key, 'none')}"
