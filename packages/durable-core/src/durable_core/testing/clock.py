"""Clocks that can also tell the date: one that a test moves by hand, and the host's."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from durable_core.ports import SystemClock

if TYPE_CHECKING:
    from durable_core.ports import Event


class TimeSource(Protocol):
    """What the in-memory backends ask for the time."""

    def now(self) -> datetime:
        """Aware, in UTC."""


class ManualClock:
    """A `Clock` and `TimeSource` that stands still until it is told to move.

    Waiting moves it, and takes no time. May be used from many threads.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    def wait(self, event: Event, timeout: float) -> None:
        """Let *timeout* seconds pass at once; none pass when *event* is set already.

        The least that can pass is a microsecond: less would be none, and whoever waits for it would wait for ever.
        """
        if timeout > 0 and not event.is_set():
            self.advance(max(timedelta(seconds=timeout), timedelta.resolution))

    def advance(self, by: timedelta | float) -> None:
        """Move forward by a timedelta or by seconds. Raises `ValueError` for a step back."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta():
            raise ValueError(f"ManualClock cannot go back: advance({by!r}); expected 0 or more.")
        with self._lock:
            self._elapsed += step


class HostClock(SystemClock):
    """The host's time, for backends in memory that serve a running process."""

    def now(self) -> datetime:
        return datetime.now(UTC)
