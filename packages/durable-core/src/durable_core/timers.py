"""Timers that the code has started and that may still fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from durable_core.waits import Future

if TYPE_CHECKING:
    from datetime import datetime

    from durable_core import events as e


class _Timer(NamedTuple):
    fire_at: datetime  # aware, UTC
    future: Future


class Timers:
    def __init__(self) -> None:
        self._armed: dict[str, _Timer] = {}  # by call_id, in the order in which they were started

    def arm(self, call_id: str, fire_at: datetime, future: Future | None = None) -> Future:
        """What is done when it fires; *future*, if there is one."""
        future = future or Future(call_id)
        self._armed[call_id] = _Timer(fire_at, future)
        return future

    def disarm(self, call_id: str) -> bool:
        """Whether it might still have fired."""
        return self._armed.pop(call_id, None) is not None

    def fire(self, fact: e.TimerFired) -> bool:
        """Whether there is such a timer."""
        timer = self._armed.pop(fact.call_id, None)
        if timer is None:
            return False
        timer.future.resolve(fact)
        return True

    def due(self, now: datetime) -> str | None:
        """Which fires first of those that are due; of two with the same time, the older."""
        if not self._armed:
            return None
        call_id = min(self._armed, key=lambda call_id: self._armed[call_id].fire_at)
        return None if self._armed[call_id].fire_at > now else call_id

    def next(self) -> datetime | None:
        return min(timer.fire_at for timer in self._armed.values()) if self._armed else None
