"""What can be seen from outside of the store: what callers were told, and what activities did. No fault reaches it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from durable_core.activity import current_activity
from durable_core.audit import Effects, End, Performed, SentSignal, Start, Total
from durable_core.codec import encode
from durable_core.execution import Status
from tests.programs.activities import OPENING_BALANCE, MemoryLedger
from tests.programs.generator import ACCOUNTS
from tests.simulation.hub import Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.testing.clock import TimeSource

NOTING = frozenset({"scripted", "withdraw", "deposit"})


class Witness:
    def __init__(self, clock: TimeSource, *, sees_begins: bool) -> None:
        """*sees_begins*: an attempt begins when it is claimed, for nobody stands still between the two."""
        self._clock = clock
        self._sees_begins = sees_begins
        self.ledger = MemoryLedger()
        self.starts: list[Start] = []
        self.signals: list[SentSignal] = []
        self.canceled: set[UUID] = set()  # runs whose caller was told that they are
        self.kept: set[UUID] = set()
        self._performed: list[Performed] = []

    @contextmanager
    def around_activity(self) -> Iterator[None]:
        """Notes that an attempt begins, and that its code came to its end."""
        current = current_activity()
        place = len(self._performed)
        begun_at = self._clock.now() if self._sees_begins else None
        begun = Performed(key=current.idempotency_key, attempt=current.attempt, ended=False, begun_at=begun_at)
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
        begun = self._performed[place]
        self._performed[place] = Performed(key=begun.key, attempt=begun.attempt, ended=True, begun_at=begun.begun_at)

    def started(self, run_id: UUID, workflow_id: str | None) -> None:
        self.starts.append(Start(run_id=run_id, workflow_id=workflow_id))

    def sent(self, run_id: UUID, name: str, payload: Any, sender: str) -> None:
        self.signals.append(SentSignal(run_id=run_id, name=name, payload=encode(payload), sender=sender))

    def effects(self, *, calm_since: datetime | None, bound: timedelta) -> Effects:
        total = sum(map(self.ledger.balance, ACCOUNTS))
        return Effects(
            starts=self.starts,
            signals=self.signals,
            performed=self._performed,
            noting=NOTING,
            kept=self.kept,
            ends={
                start.run_id: [End(Status.CANCELED)]
                if start.run_id in self.canceled
                else [End(status) for status in Status if status.is_closed]
                for start in self.starts
            },
            calm_since=calm_since,
            bound=bound,
            drained=True,
            totals=[Total(name="the balance", found=total, expected=OPENING_BALANCE * len(ACCOUNTS))],
        )
