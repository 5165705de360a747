"""What an attempt at an activity has published, and nobody has stored yet."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from durable_core.ports import AttemptItems

if TYPE_CHECKING:
    from durable_core.codec import Payload
    from durable_core.ports import TaskRecord

BATCH = 500  # items that are stored at once
BATCH_BYTES = 256_000
MOST = 4 * BATCH  # items in a box before whoever fills it has to wait


class Outlet(Protocol):
    """Who empties boxes."""

    def notice(self, box: Unpublished, *, is_full: bool) -> None:
        """There is something in it. Of one that is full, wait a little until it is not."""


class Unpublished:
    """Filled by the activity's threads, emptied by another.

    Items are numbered by their streams, each attempt beginning anew: that is how an item is known that an earlier
    attempt has published.
    """

    def __init__(self, task: TaskRecord, outlet: Outlet | None) -> None:
        self._task = task
        self._outlet = outlet
        self._lock = threading.Lock()
        self._items: deque[tuple[str, int, Payload]] = deque()
        self._numbers: dict[str, int] = {}
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        return not self._items

    @property
    def is_full(self) -> bool:
        return len(self._items) > MOST

    def put(self, stream: str, item: Payload, number: int | None = None) -> None:
        """*number* is which one of its stream it is; None: the one behind the last."""
        with self._lock:
            if self._is_closed:
                return
            number = self._numbers.get(stream, 0) if number is None else number
            self._numbers[stream] = number + 1
            self._items.append((stream, number, item))
            waiting = len(self._items)
        if self._outlet is not None and (waiting == 1 or waiting > MOST):
            self._outlet.notice(self, is_full=waiting > MOST)

    def restart(self) -> None:
        """As if nothing had been published: what was is undone."""
        with self._lock:
            self._items.clear()
            self._numbers.clear()

    # For the outlet

    def batch(self) -> AttemptItems:
        """The oldest items, as many as are stored at once."""
        with self._lock:
            batch: list[tuple[str, int, Payload]] = []
            size = 0
            for item in islice(self._items, BATCH):
                size += len(item[2])
                if batch and size > BATCH_BYTES:
                    break
                batch.append(item)
        task = self._task
        return AttemptItems(task.run_id, task.id, task.token, task.call_id, batch)

    def sent(self, count: int) -> None:
        """The oldest *count* items are stored."""
        with self._lock:
            for _ in range(min(count, len(self._items))):
                self._items.popleft()

    def close(self) -> None:
        """Nobody wants what the attempt publishes."""
        with self._lock:
            self._is_closed = True
            self._items.clear()
