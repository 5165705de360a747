"""What code waits for: a fact that is not there yet, and perhaps a timer that bounds the wait."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from durable_core.codec import encode

if TYPE_CHECKING:
    from datetime import datetime

    from durable_core import events as e
    from durable_core.places import Place


class Future:
    """The fact that a call waits for, once it is there."""

    __slots__ = ("call_id", "fact")

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.fact: e.HistoryEvent | None = None


class Waiting(NamedTuple):
    """What code waits for, as `waiting_for` tells it."""

    kind: str  # activity, child, signal or timer
    what: str


class Timer(NamedTuple):
    """What ends a wait whose fact does not come."""

    call_id: str
    fire_at: datetime  # aware, UTC


@dataclass(slots=True)
class Wait:
    """A call that suspended the code."""

    future: Future
    waiting: Waiting
    since: datetime
    timer: Timer | None
    timer_fired: bool = False

    @property
    def is_over(self) -> bool:
        return self.timer_fired or self.future.fact is not None

    def told(self, place: Place) -> str:
        """`waiting_for`, a JSON object. *place* is where the code waits."""
        until = "null" if self.timer is None else f'"{self.timer.fire_at.isoformat()}"'
        return f'{_told_alike(*self.waiting, *place)},"since":"{self.since.isoformat()}","until":{until}}}'


@lru_cache(maxsize=4096)
def _told_alike(kind: str, what: str, file: str, line: int) -> str:
    """The part that is the same for all runs that wait at one place; its brace is left open."""
    return encode({"kind": kind, "what": what, "at": f"{file}:{line}"})[:-1]
