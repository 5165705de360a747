"""The runs that a worker has in memory, or is working on."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from durable_core.execution import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set
    from uuid import UUID

    from durable_core.commands import RunLocalActivity
    from durable_core.events import EventRecord, HistoryEvent
    from durable_core.ports import Claim, Commit, Mail, RunRecord, TaskOutcome, TaskRecord
    from durable_core.replay import WorkflowRun


@dataclass(slots=True)
class Proposal:
    """A decision on its way to the store, and what it was made of."""

    commit: Commit
    outcomes: list[TaskOutcome]  # of activities that ran here; their facts are among the commit's events
    claims: list[Claim]  # done once it is committed
    eager: list[TaskRecord] = field(default_factory=list)  # tasks to be begun here once it is committed
    ended: list[HistoryEvent] = field(default_factory=list)  # facts of local activities, among the commit's events


@dataclass(slots=True, eq=False)
class Slot:
    """One run. Without *run* it must be loaded before it can go on."""

    run_id: UUID
    run: WorkflowRun | None = None
    record: RunRecord | None = None  # None: closed, or unknown to the store
    end: HistoryEvent | None = None  # that it comes to, if its code cannot be asked
    children: list[UUID] = field(default_factory=list)  # that end with it then
    history: list[EventRecord] | None = None  # loaded, to be replayed first
    version: int = 0
    status: Status = Status.PENDING
    failures: int = 0  # decisions in a row that ended BLOCKED
    crashes: int = 0  # workers in a row that died over it
    history_length: int = 0  # as committed, like the version; *record* is as it was loaded
    mail: list[Mail] = field(default_factory=list)  # to be applied at the next step
    outcomes: list[TaskOutcome] = field(default_factory=list)  # of activities that ran here
    ended: list[HistoryEvent] = field(default_factory=list)  # how local activities ended that ran here
    local: list[RunLocalActivity] = field(default_factory=list)  # that its code waits for
    claims: list[Claim] = field(default_factory=list)
    proposal: Proposal | None = None  # decided, but somebody held the row
    must_read_mail: bool = False

    @property
    def is_idle(self) -> bool:
        return not (self.mail or self.outcomes or self.ended or self.claims or self.proposal)

    @property
    def has_news(self) -> bool:
        """Whether there is something to decide. Claims that are kept for a local activity are nothing new."""
        if self.mail or self.outcomes or self.ended or self.must_read_mail:
            return True
        return bool(self.claims) and not self.local

    def evict(self) -> None:
        """Drop the code; what it has not committed is decided again from the store."""
        if self.run is not None:
            self.run.close()
        self.run = self.record = self.history = self.end = None
        self.failures = self.crashes = 0
        self.mail = []

    def take_back(self, proposal: Proposal) -> None:
        """What a proposal was made of is to be decided on again."""
        self.outcomes = proposal.outcomes + self.outcomes
        self.ended = proposal.ended + self.ended
        self.claims = proposal.claims + self.claims
        self.proposal = None


class SlotTable:
    """Slots by run, least recently used first. Idle ones over the limit lose their memory."""

    def __init__(self, cache_size: int) -> None:
        self._cache_size = cache_size
        self._keeps_running_ones = cache_size > 0  # 0 means replay at every step, without exception
        self._slots: OrderedDict[UUID, Slot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def get(self, run_id: UUID) -> Slot | None:
        return self._slots.get(run_id)

    def touch(self, run_id: UUID) -> Slot:
        slot = self._slots.get(run_id)
        if slot is None:
            slot = self._slots[run_id] = Slot(run_id)
        else:
            self._slots.move_to_end(run_id)
        return slot

    def drop(self, slot: Slot) -> None:
        slot.evict()
        self._slots.pop(slot.run_id, None)

    def shrink(self, going_on_soon: Callable[[], Set[UUID]]) -> None:
        """Evict idle runs, the longest unused first, until the rest fit; but none of *going_on_soon*."""
        surplus = len(self._slots) - self._cache_size
        if surplus <= 0:
            return
        needed = going_on_soon() if self._keeps_running_ones else frozenset()
        for slot in list(self._slots.values()):
            if surplus <= 0:
                return
            if slot.is_idle and slot.run_id not in needed:
                self.drop(slot)
                surplus -= 1
