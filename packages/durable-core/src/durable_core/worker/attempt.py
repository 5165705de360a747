"""An attempt at an activity that a worker has claimed, and how it ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from durable_core.activity import CurrentActivity
    from durable_core.codec import Payload
    from durable_core.definitions import ActivityDefinition
    from durable_core.ports import TaskRecord
    from durable_core.worker.eventloop import EventLoop


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt that this process has claimed."""

    task: TaskRecord
    definition: ActivityDefinition
    current: CurrentActivity
    held_since: float = 0.0  # monotonic seconds
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread_id: int = 0
    is_starting: bool = False  # what it will run in is being set up
    begun: float | None = None  # monotonic seconds; None: waits for a thread
    done: bool = False
    interrupted: float | None = None  # monotonic seconds
    lost: bool = False  # it did not stop: another has its place
    is_left: bool = False  # somebody else completes it
    is_settling: bool = False  # it commits its outcome by itself, and an interruption would leave that half done
    loop: EventLoop | None = None  # that it runs in, if it is async
    on_cancel: Callable[[], None] | None = None  # what tells code of a cancel that does not ask

    def cancel(self) -> None:
        """Nobody wants its result any more. Said often, told once: what the code does about it is its own matter."""
        if not self.current.canceled:
            self.current.cancel()
            if self.on_cancel is not None:
                self.on_cancel()

    def settle(self) -> bool:
        """From now on it is not interrupted; False: it was."""
        with self.lock:
            self.is_settling = self.interrupted is None
        return self.is_settling

    def unsettle(self) -> None:
        """It must be done again."""
        self.is_settling = False


@dataclass(slots=True)
class Ending:
    """How an attempt ended, in the terms of `attempts`."""

    attempt: Attempt
    result: Payload | None  # None: it failed
    failure: dict[str, Any] | None = None
    type_names: tuple[str, ...] = ()
    retryable: bool = True
    next_delay: timedelta | None = None
    canceled: bool = False
    seconds: float = 0.0
    is_recorded: bool = False  # the store has its outcome
    crashed: bool = False  # its process died of it
