"""The runs in this worker's hands: which have something to decide, and what goes back out of its hands.

Whatever goes wrong with a run has one answer: forget it, hand the outcomes of the activities that ran here to the
store (which refuses what it has already), and let the queue bring the run back. Fencing makes that safe even when
nobody knows whether a commit arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.worker.activities import UNKNOWN_NAME_DELAY
from durable_core.worker.slots import SlotTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta
    from uuid import UUID

    from durable_core.events import HistoryEvent
    from durable_core.ports import Claim, HistoryStore, TaskQueue
    from durable_core.worker.activities import ActivityDesk
    from durable_core.worker.slots import Slot


class Holdings:
    """Slots of runs, and claims and notes that are handed over at the next `flush`."""

    def __init__(self, store: HistoryStore, queue: TaskQueue, activities: ActivityDesk, cache_size: int) -> None:
        self._store = store
        self._queue = queue
        self._activities = activities
        self._slots = SlotTable(cache_size)
        self._dirty: dict[UUID, Slot] = {}  # to be worked on in this round
        self._spent: list[Claim] = []  # claims that lead to nothing more
        self._released: list[tuple[timedelta | None, list[Claim]]] = []
        self._notes: dict[UUID, str] = {}  # what runs wait for that this worker cannot go on with

    # Runs

    @property
    def dirty(self) -> int:
        """How many runs have something to decide."""
        return len(self._dirty)

    @property
    def is_busy(self) -> bool:
        """Whether a decision waits for a row that somebody holds."""
        return any(slot.proposal is not None for slot in self._dirty.values())

    def undecided(self) -> Iterator[tuple[UUID, int]]:
        """Attempts (task id, token) that have ended here, and whose outcomes wait to be committed with their runs."""
        for slot in self._slots:
            yield from ((outcome.task_id, outcome.token) for outcome in slot.outcomes)
            if slot.proposal is not None:
                yield from ((outcome.task_id, outcome.token) for outcome in slot.proposal.outcomes)

    def get(self, run_id: UUID) -> Slot | None:
        return self._slots.get(run_id)

    def claimed(self, claim: Claim) -> None:
        """A queue entry says that a run wants attention."""
        slot = self._slots.touch(claim.entry.ref)
        slot.claims.append(claim)
        slot.must_read_mail = True
        self.mark(slot)

    def accept_local(self, run_id: UUID, fact: HistoryEvent) -> None:
        slot = self._slots.touch(run_id)
        slot.ended.append(fact)
        self.mark(slot)

    def mark(self, slot: Slot) -> None:
        """It has something to decide."""
        self._dirty[slot.run_id] = slot

    def take_dirty(self) -> list[Slot]:
        """Those that have something to decide, which is up to the caller from now on."""
        slots, self._dirty = list(self._dirty.values()), {}
        return slots

    def put_back(self, slots: Iterable[Slot]) -> None:
        """The caller was interrupted. Those of its slots that are held still go first next time."""
        left = {slot.run_id: slot for slot in slots if self._slots.get(slot.run_id) is slot}
        self._dirty = left | self._dirty

    def shrink(self) -> None:
        self._slots.shrink(lambda: self._activities.runs_here)

    # Letting go

    def report(self, slot: Slot) -> None:
        """What has ended here is not decided on with the run: let it hear by mail."""
        for outcome in slot.outcomes:
            self._activities.report(outcome)
        slot.outcomes = []

    def spend(self, slot: Slot) -> None:
        """The claims of a run have done their work."""
        self._spent += slot.claims
        slot.claims = []

    def retire(self, slot: Slot) -> None:
        """Nothing is to be done for a run."""
        self.report(slot)
        self.spend(slot)
        self._slots.drop(slot)

    def leave(self, slot: Slot, waiting_for: str) -> None:
        """This worker cannot go on with a run; another may."""
        self._notes[slot.run_id] = waiting_for
        self.disown(slot, delay=UNKNOWN_NAME_DELAY)

    def disown(self, slot: Slot, *, delay: timedelta | None = None) -> None:
        """Forget a run, and let the queue bring it back, to this worker or another."""
        if slot.proposal is not None:
            slot.take_back(slot.proposal)
        self.report(slot)
        if slot.claims:
            self._released.append((delay, slot.claims))
        slot.claims = []
        self._dirty.pop(slot.run_id, None)
        self._slots.drop(slot)

    def forget_all(self) -> None:
        """Drop every run and give back every claim; the store knows all that was committed."""
        for slot in self._slots:
            self.disown(slot)
        self._dirty = {}

    # Handing over

    def release(self, claims: list[Claim]) -> None:
        """Hand claims back at the next opportunity."""
        self._released.append((None, claims))

    def flush(self) -> None:
        """Tell the store and the queue what is due to them."""
        if self._notes:
            self._store.annotate(self._notes)
            self._notes = {}
        if self._spent:
            self._queue.complete(self._spent)
            self._spent = []
        while self._released:
            delay, claims = self._released[-1]
            self._queue.release(claims, delay=delay)
            self._released.pop()
