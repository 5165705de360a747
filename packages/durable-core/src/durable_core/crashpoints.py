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

_place, _, _count = os.environ.get("DURABLE_CRASH_AT", "").partition(":")
_left = int(_count or 1)

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


def _crash(name: str) -> None:
    global _left  # noqa: PLW0603 - one countdown per process is what it is
    if name == _place:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_watcher: Callable[[str], None] | None = _crash if _place else None
