"""What must hold, and what an audit says where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class Invariant(IntEnum):
    """By number, in the order in which the documentation tells them."""

    ONE_END = 1  # a closed run has one terminal event, the last, and the row agrees with it
    NO_GAPS = 2  # seq is 1..n, and what was written stays
    OUTCOMES = 3  # starts with its start; an outcome belongs to one earlier call, and a call has one outcome at most
    REPLAY = 4  # the code asks for the same again: from every prefix, and in another process
    SILENCE = 5  # replay writes nothing and calls no activity
    QUIESCENCE = 6  # nothing is left of closed runs; open ones wait for something that exists
    NOTHING_LOST = 7  # whatever waits to be read, begun or fired will be
    ATTEMPTS = 8  # as many as the policy allows; tokens only go up
    FAMILY = 9  # parent and child tell the same story
    SIGNALS = 10  # what was acknowledged is in the history or the mailbox, once, in order
    TIMERS = 11  # fire once, not early
    EFFECTS = 12  # what activities did outside of the database
    STARTS = 13  # an acknowledged start exists; one open run per workflow_id
    MODEL = 14  # ends as a model of the program says
    LIVENESS = 15  # closes in time, once faults have stopped
    CONSERVATION = 16  # what transfers must not change
    UPDATES = 17  # taken once, answered once, and its sender is told what the history says
    OUTPUTS = 18  # what others may read of a run is what its history tells
    FORKS = 19  # a fork begins with what its origin has, and says so
    PEOPLE = 20  # a human task is answered once, and its row says what the history says

    @property
    def title(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that is not as it must be."""

    invariant: Invariant
    run_id: UUID | None  # None: of no single run
    found: str
    expected: str
    seq: int | None = None
    call_id: str | None = None
    task_id: UUID | None = None

    def __str__(self) -> str:
        parts = [
            f"run {self.run_id}" if self.run_id is not None else "",
            f"seq {self.seq}" if self.seq is not None else "",
            f"call {self.call_id}" if self.call_id is not None else "",
            f"task {self.task_id}" if self.task_id is not None else "",
        ]
        where = ", ".join(filter(None, parts))
        about = f"{self.invariant.value} {self.invariant.title}"
        return f"{about}{f' ({where})' if where else ''}: found {self.found}; expected {self.expected}"
