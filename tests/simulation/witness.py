"""What can be seen from outside of the store: what callers were told, and what activities did. No fault reaches it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core.activity import current_activity
from durable_core.audit import Effects, End, Performed, SentSignal, Start, Total
from durable_core.codec import encode
from durable_core.execution import Status
from tests.programs.activities import HERE, OPENING_BALANCE, MemoryLedger
from tests.programs.bookings import Books
from tests.programs.generator import ACCOUNTS
from tests.simulation.hub import Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.ports import RunRecord
    from durable_core.testing import InMemoryHistoryStore
    from durable_core.testing.clock import TimeSource
    from tests.programs.answers import Accepted
    from tests.programs.errands import Word
    from tests.programs.trace import Entry
    from tests.simulation.updates import Told

NOTING = frozenset({"scripted", HERE, "withdraw", "deposit"})


class Asked(NamedTuple):
    """A query."""

    run_id: UUID
    length: int  # of its history, then
    answer: list[Entry]  # what it said that it had seen


class Witness:
    def __init__(self, clock: TimeSource, store: InMemoryHistoryStore, *, sees_begins: bool) -> None:
        """*sees_begins*: an attempt begins when it is claimed, for nobody stands still between the two."""
        self._clock = clock
        self._store = store
        self._sees_begins = sees_begins
        self.ledger = MemoryLedger()
        self.books = Books(store)
        self.starts: list[Start] = []
        self.signals: list[SentSignal] = []
        self.canceled: set[UUID] = set()  # runs whose caller was told that they are, or those that went on for them
        self.kept: set[UUID] = set()  # likewise
        self.told: list[Told] = []  # of updates
        self.words: list[Word] = []  # of who had tokens
        self.tried: set[str] = set()  # answers to questions, whatever became of them
        self.accepted: list[Accepted] = []
        self.answers: list[Asked] = []
        self._performed: list[Performed] = []

    @contextmanager
    def around_activity(self) -> Iterator[None]:
        """Notes that an attempt begins, and that its code came to its end."""
        current = current_activity()
        place = len(self._performed)
        begun_at = self._clock.now() if self._sees_begins else None
        begun = Performed(
            key=current.idempotency_key,
            attempt=current.attempt,
            ended=False,
            begun_at=begun_at,
            is_local=current.name == HERE,
        )
        self._performed.append(begun)
        try:
            yield
        except Killed:
            raise
        except BaseException:
            self._end(place)
            raise
        self._end(place)

    def _end(self, place: int) -> None:
        self._performed[place] = replace(self._performed[place], ended=True)

    def started(self, run_id: UUID, workflow_id: str | None) -> None:
        self.starts.append(Start(run_id=run_id, workflow_id=workflow_id))

    def sent(self, run_id: UUID, name: str, payload: Any, sender: str) -> None:
        self.signals.append(SentSignal(run_id=run_id, name=name, payload=encode(payload), sender=sender))

    def newest(self, run_id: UUID) -> UUID:
        """The run, or the one that has ended for it or will."""
        run = self._store.newest(run_id)
        return run_id if run is None else run.id

    def effects(self, *, calm_since: datetime | None, bound: timedelta) -> Effects:
        total = sum(map(self.ledger.balance, ACCOUNTS))
        return Effects(
            starts=self.starts,
            signals=self.signals,
            performed=self._performed,
            noting=NOTING,
            kept={self.newest(run_id) for run_id in self.kept},
            ends=self._ends(),
            calm_since=calm_since,
            bound=bound,
            drained=True,
            totals=[Total(name="the balance", found=total, expected=OPENING_BALANCE * len(ACCOUNTS))],
        )

    def _ends(self) -> dict[UUID, list[End]]:
        canceled = {self.newest(run_id) for run_id in self.canceled}
        ends: dict[UUID, list[End]] = {}
        for start in self.starts:
            newest = self.newest(start.run_id)
            ends[start.run_id] = [End(Status.CONTINUED_AS_NEW)]
            any_end = [End(status) for status in Status if status.is_closed and status is not Status.CONTINUED_AS_NEW]
            ends[newest] = [End(Status.CANCELED)] if newest in canceled else any_end
        return ends


def first_of(run: RunRecord) -> UUID:
    """Of those that go on for each other."""
    return run.chain_id or run.id
