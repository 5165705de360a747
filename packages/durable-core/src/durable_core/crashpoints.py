"""Places where a test may kill the process, to prove that no place is special.

    DURABLE_CRASH_AT=decision-committed     at the first time that place is reached
    DURABLE_CRASH_AT=decision-committed:3   at the third

Costs a comparison with None where the variable is not set.
"""

from __future__ import annotations

import os
import signal

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


def _crash(name: str) -> None:
    global _left  # noqa: PLW0603 - one countdown per process is what it is
    assert name in CRASHPOINTS, name
    if name == _place:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _pass(name: str) -> None:
    """Nothing happens here."""


crashpoint = _crash if _place else _pass
