"""Places where a test may kill the process, to prove that no place is special.

    DURABLE_CRASH_AT=decision-committed     at the first time that place is reached
    DURABLE_CRASH_AT=decision-committed:3   at the third

Costs a comparison with None where the variable is not set.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "DURABLE_CRASH_AT"

CRASHPOINTS = (
    "start-inside",
    "start-committed",
    "run-claimed",
    "run-replayed",
    "decision-inside",
    "decision-committed",
    "activity-dequeued",
    "activity-claimed",
    "activity-returned",
    "outcome-inside",
    "outcome-committed",
    "timer-inside",
    "timer-committed",
    "queue-untold",  # the store has committed, and a queue beside it has not heard of that
    "queue-unacknowledged",  # it has new entries, and still those that led to them
)


def crashpoint(name: str) -> None:
    """A place where a test may step in."""
    if _watcher is not None:
        assert name in CRASHPOINTS, name
        _watcher(name)


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """*watcher* hears of every place that is reached in this process, in the thread that reaches it."""
    global _watcher  # noqa: PLW0603 - the places are all over the code
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


def obey(order: str) -> None:
    """Do as the variable says: with "decision-committed:3", die at the third time. Of a process that was forked by one
    without the variable, too."""
    global _watcher  # noqa: PLW0603 - as above
    place, _, count = order.partition(":")
    left = int(count or 1)

    def crash(name: str) -> None:
        nonlocal left
        if name == place:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    _watcher = crash if place else None


_watcher: Callable[[str], None] | None = None
obey(os.environ.get(VARIABLE, ""))
