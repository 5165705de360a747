"""What all contracts share: time that passes, and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cached_property
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

from durable_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

T = TypeVar("T")

PATIENCE = 60.0  # seconds after which a thread counts as stuck


class Interrupted(Exception):
    """Raised by cases to make a transaction fail."""


class Contract:
    """Base of the suites."""

    @cached_property
    def clock(self) -> ManualClock:
        """For backends whose time a test can move; the others override `pass_time`."""
        return ManualClock()

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the backend; one that runs on real time sleeps. No case asks for two leases at once."""
        self.clock.advance(seconds)

    def session(self) -> AbstractContextManager[object]:
        """Around all that a thread does; for backends that must close a thread's connection at its end."""
        return nullcontext()

    def in_threads(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What each of *works* answers, all of them begun at the same moment."""
        start = Barrier(len(works))

        def perform(work: Callable[[], T]) -> T:
            with self.session():
                start.wait(PATIENCE)
                return work()

        with ThreadPoolExecutor(len(works)) as pool:
            return [future.result(PATIENCE) for future in [pool.submit(perform, work) for work in works]]
