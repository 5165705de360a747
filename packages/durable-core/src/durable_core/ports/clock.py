"""Time as the worker's loop sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


class Clock(Protocol):
    """Time as the worker's loop sees it; a test moves it by hand."""

    def monotonic(self) -> float:
        """Seconds."""

    def wait(self, event: threading.Event, timeout: float) -> None:
        """Until *event* is set, or for *timeout* seconds."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float) -> None:
        event.wait(timeout)
