"""Time as the worker's loop sees it."""

from __future__ import annotations

import time
from typing import Protocol


class Event(Protocol):
    """A flag that one thread sets and others wait for: `threading.Event`, or a simulation's own."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set, or for *timeout* seconds; whether it is set."""


class Clock(Protocol):
    """Time as the worker's loop sees it; a test moves it by hand."""

    def monotonic(self) -> float:
        """Seconds."""

    def wait(self, event: Event, timeout: float) -> None:
        """Until *event* is set, or for *timeout* seconds."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: Event, timeout: float) -> None:
        event.wait(timeout)
