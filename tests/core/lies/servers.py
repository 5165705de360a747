"""About a server that may be away, and what a queue offers to those who look after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from durable_core.errors import QueueUnavailable
from durable_core.ports import Claim, Entry, EntryKind, Finding, Level, QueueStats
from durable_core.testing import InMemoryTaskQueue, ManualClock
from tests.core.lying import found_by


class QueueWithServer(InMemoryTaskQueue):
    """An honest one."""

    def __init__(self, clock: ManualClock, *, away: bool = False, **options: Any) -> None:
        super().__init__(clock, **options)
        self._is_away = away

    def ask(self) -> None:
        """Raises where the server is away."""
        if self._is_away:
            raise QueueUnavailable("no answer")

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        self.ask()
        super().enqueue(entries, delay=delay)

    def claim(self, worker_id: UUID, limits: Mapping[EntryKind, int], **options: Any) -> list[Claim]:
        self.ask()
        return super().claim(worker_id, limits, **options)

    def complete(self, claims: Collection[Claim]) -> None:
        self.ask()
        super().complete(claims)

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        self.ask()
        super().release(claims, delay=delay)

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        self.ask()
        return super().release_dead(worker_ids)

    def stats(self) -> list[QueueStats]:
        self.ask()
        return super().stats()

    def setup(self) -> list[str]:
        self.ask()
        return ["made the table"]

    def diagnose(self) -> list[Finding]:
        try:
            self.ask()
        except QueueUnavailable as error:
            return [Finding(Level.PROBLEM, "server", str(error), "Start it.")]
        return [Finding(Level.OK, "server", "answers")]


@found_by("test_server_that_does_not_answer_is_told_by_our_own_errors")
class LetsErrorsOfItsDriverOut(QueueWithServer):
    def ask(self) -> None:
        if self._is_away:
            raise ConnectionRefusedError


@found_by("test_server_that_does_not_answer_is_told_by_our_own_errors")
class KeepsQuietAboutItsServer(QueueWithServer):
    def stats(self) -> list[QueueStats]:
        return [] if self._is_away else super().stats()


@found_by("test_server_that_does_not_answer_is_told_by_our_own_errors")
class CannotBeWatchedWithoutItsServer(QueueWithServer):
    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        if self._is_away:
            raise ConnectionRefusedError
        with super().watch(wake):
            yield


@found_by("test_server_that_does_not_answer_is_told_by_our_own_errors")
class IsAwayWithoutAServer(InMemoryTaskQueue):
    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        raise QueueUnavailable("no answer")


@found_by("test_setup_may_be_done_again_and_twice_at_once")
class SetsUpOnce(QueueWithServer):
    _is_done = False

    def setup(self) -> list[str]:
        if self._is_done:
            raise LookupError("the table is there already")
        self._is_done = True
        return super().setup()


@found_by("test_setup_may_be_done_again_and_twice_at_once")
class SetsUpFromScratch(QueueWithServer):
    def setup(self) -> list[str]:
        for item in list(self._items):
            self._items.remove(item.id)
        return super().setup()


@found_by("test_diagnosis_finds_a_server_that_is_away_and_raises_nothing")
class RaisesWhenItIsDiagnosed(QueueWithServer):
    def diagnose(self) -> list[Finding]:
        self.ask()
        return []


@found_by("test_diagnosis_finds_a_server_that_is_away_and_raises_nothing")
class FindsNothing(QueueWithServer):
    def diagnose(self) -> list[Finding]:
        return []
