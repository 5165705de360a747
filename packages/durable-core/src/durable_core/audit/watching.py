"""A watch over code that an audit replays: code that never comes back would keep it for ever."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from durable_core.ports import SystemClock
from durable_core.worker.liveness import CodeWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_INTERVAL = 0.2  # seconds


@contextmanager
def watch(stuck_after: float) -> Iterator[CodeWatch]:
    """Over code that the calling thread replays: interrupted after so many seconds without a call. Another thread
    looks at it for as long as the block lasts."""
    watched, is_over = CodeWatch(SystemClock(), stuck_after), threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_INTERVAL):
            watched.look()

    thread = threading.Thread(target=look, name="durable-audit-watch", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        is_over.set()
        thread.join()
