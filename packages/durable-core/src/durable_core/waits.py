"""What code waits for: things that are not there yet, each of which comes once.

A `Future` is one of them; a `Wait` is a strand of code that has suspended itself until enough of its futures are done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from durable_core.codec import encode
from durable_core.errors import BranchCanceled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from durable_core import events as e
    from durable_core.branch import Branch
    from durable_core.places import Place
    from durable_core.scopes import Scope

# Only compared within a run, whose facts come one after the other: which of two was done first, the log says.
_moments = count(1)


def next_moment() -> int:
    return next(_moments)


class Waiter(Protocol):
    """Whoever is told when a future is done."""

    def one_is_done(self) -> None: ...


class Future:
    """Something that a call waits for."""

    __slots__ = ("call_id", "done_at", "fact", "waits")

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.fact: e.HistoryEvent | None = None  # that it came with; what is done without one says so itself
        self.done_at = 0  # its moment among all futures of the run; 0: not yet
        self.waits: tuple[Waiter, ...] = ()

    def hears(self, scope: Scope) -> bool:
        """Whether it is code that hears of a cancel of *scope* itself."""
        return False

    def resolve(self, fact: e.HistoryEvent | None, moment: int | None = None) -> None:
        self.fact = fact
        self.done_at = moment or next_moment()
        for wait in self.waits:
            wait.one_is_done()
        self.waits = ()


class BranchEnd(Future):
    """How a branch ended: with a value, or with an error that left its function."""

    __slots__ = ("error", "scope", "value", "was_asked")

    def __init__(self, call_id: str, scope: Scope) -> None:
        super().__init__(call_id)
        self.scope = scope  # the whole branch
        self.value: Any = None
        self.error: BaseException | None = None
        self.was_asked = False  # whether anybody has heard of it

    @property
    def has_failed(self) -> bool:
        """Whether an error left its function; a cancel was asked for, and is no failure."""
        return self.error is not None and not isinstance(self.error, BranchCanceled)

    def hears(self, scope: Scope) -> bool:
        return scope.holds(self.scope)


class Waiting(NamedTuple):
    """What code waits for, as `waiting_for` tells it."""

    kind: str  # activity, local activity, child, signal, timer, branch, several or condition
    what: str


@dataclass(slots=True, eq=False)
class Wait:
    """Code that goes on when *missing* more of its futures are done."""

    branch: Branch
    futures: Sequence[Future]
    missing: int
    waiting: Waiting
    since: datetime
    until: datetime | None  # when it gives up

    def is_ended_by(self, scope: Scope) -> bool:
        """Whether a cancel of *scope* is raised here, and not only behind it: branches that are in there too may have
        something to clear up."""
        return not self.futures or any(not future.done_at and not future.hears(scope) for future in self.futures)

    def begin(self) -> None:
        for future in self.futures:
            future.waits += (self,)

    def end(self) -> None:
        for future in self.futures:
            if not future.done_at:
                future.waits = tuple(wait for wait in future.waits if wait is not self)

    def one_is_done(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.branch.be_ready()

    def told(self, place: Place) -> str:
        """`waiting_for`, a JSON object. *place* is where the code waits."""
        until = "null" if self.until is None else f'"{self.until.isoformat()}"'
        return f'{_told_alike(*self.waiting, *place)},"since":"{self.since.isoformat()}","until":{until}}}'


@lru_cache(maxsize=4096)
def _told_alike(kind: str, what: str, file: str, line: int) -> str:
    """The part that is the same for all runs that wait at one place; its brace is left open."""
    return encode({"kind": kind, "what": what, "at": f"{file}:{line}"})[:-1]
