"""Where in the index of ready entries a worker has to look.

The index is in the order of ranks: by lane (kind and priority), then by place (the number of the transaction that made
the entry ready), both in one number, because before Postgres 18 a search by two columns reads too much. What was
completed is dead, and its index entries stay where they are until vacuum removes them, which it may not while anybody's
snapshot is older: so the head of the index is a graveyard, and a claim that begins there reads every grave. A worker
remembers what it has seen to be empty, and begins behind that.

This is safe, because the number of a transaction says whether it can still come up. In a snapshot, transactions from
`xmax` on have not begun, some before that are running, and all others are over: what those have made ready is visible,
or gone for good. So if no entry of a lane is visible before some place, none will ever stand there but those of
transactions that were running: these are the *pending* ones, and are looked at one by one. What is visible counts
whether it is claimed or not, locked or not, so an entry that is given back, or whose claim is rolled back, has not been
left behind. An entry that is moved to another queue gets a new place. And after a failover, where numbers may be given
away a second time, what was known is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLACES = 1 << 45  # of a lane: as many as there are transactions in 1,000 years at 1,000 a second
RUNS = range(65536)  # the lanes of runs, by falling priority
ACTIVITIES = range(65536, 131072)
USUAL = (32767, 98303)  # the lanes of priority 0

MOST_LANES = 16  # that are remembered; entries of others are found all the same
MOST_PENDING = 32  # transactions for each lane


class Range(NamedTuple):
    """Ranks from *start* on, and before *end*."""

    start: int
    end: int


class Snapshot(NamedTuple):
    running: tuple[int, ...]  # numbers of the transactions that were going on, ascending
    xmax: int  # the first number that was not given away
    server: str  # which one: when it was started

    @classmethod
    def parse(cls, text: str, server: str) -> Snapshot:
        """From what `pg_current_snapshot()` says."""
        _, xmax, running = text.split(":")
        return cls(tuple(sorted(int(number) for number in running.split(",") if number)), int(xmax), server)


class Mark(NamedTuple):
    """Of one lane: entries stand from *place* on, or in the place of a pending transaction."""

    place: int = 0
    pending: tuple[int, ...] = ()  # ascending, before *place*

    @classmethod
    def at(cls, place: int, running: tuple[int, ...]) -> Mark:
        pending = tuple(number for number in running if number < place)
        return cls(pending[0]) if len(pending) > MOST_PENDING else cls(place, pending)


@dataclass(frozen=True, slots=True)
class Frontier:
    """What one process knows of the queues it serves. The first one knows nothing, and looks everywhere."""

    marks: Mapping[int, Mark] = field(default_factory=lambda: dict.fromkeys(USUAL, Mark()))  # by lane
    server: str = ""  # whose numbers these are

    def ranges(self, lanes: range) -> list[Range]:
        """Where to look in these lanes, first things first."""
        ranges = []
        start = lanes.start * PLACES
        for lane in sorted(lanes_of(self.marks, lanes)):
            first, mark = lane * PLACES, self.marks[lane]
            ranges.append(Range(start, first))
            ranges += [Range(first + number, first + number + 1) for number in mark.pending]
            start = first + mark.place
        ranges.append(Range(start, lanes.stop * PLACES))
        return [r for r in ranges if r.start < r.end]

    def with_ranks(self, ranks: Iterable[int]) -> Frontier:
        """The same, knowing that there are entries in the lanes of these."""
        unknown = {rank // PLACES for rank in ranks}.difference(self.marks)
        if not unknown or len(self.marks) >= MOST_LANES:
            return self
        return replace(self, marks={**self.marks, **dict.fromkeys(unknown, Mark())})

    def moved(self, found: Sequence[int | None], snapshot: Snapshot) -> Frontier:
        """What is known after a survey of all its ranges: *found* is the first visible rank of each, or None.

        Every lane that is known begins a range, so one without a visible entry is empty to its end.
        """
        if self.server not in ("", snapshot.server):
            return Frontier()
        ranks = [rank for rank in found if rank is not None]
        visible: dict[int, int] = {}  # the first place, by lane
        for rank in sorted(ranks):
            visible.setdefault(rank // PLACES, rank % PLACES)
        known = self.with_ranks(ranks).marks
        # A dump brings entries whose places are the numbers of another server, and may be far ahead of this one's.
        ends = {lane: min(visible.get(lane, snapshot.xmax), snapshot.xmax) for lane in known}
        marks = {lane: Mark.at(end, snapshot.running) for lane, end in ends.items()}
        return Frontier(marks, snapshot.server)


def lanes_of(marks: Mapping[int, Mark], lanes: range) -> list[int]:
    return [lane for lane in marks if lane in lanes]
