"""Hearing of entries that other processes have made: a thread with a connection of its own, which blocks on a key.

Only a hint: whoever is not told looks for himself, once per tick.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis

from durable_core.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable_redis_queue.connection import Server

logger = logging.getLogger("durable.queue")

LONGEST_BLOCK = 5.0  # seconds; then it is seen whether the server is still there, and what is due
LOOK = 0.05  # seconds after which a thread that is told to stop notices
PATIENCE = 5.0  # seconds that the server has for an answer after the block has ended
RECONNECT = (0.1, 5.0)  # seconds to the first attempt, and at most
LOG_INTERVAL = 10.0  # seconds between two complaints


@contextmanager
def watching(
    server: Server,
    key: str,
    *,
    wake: Callable[[], None],
    tick: Callable[[], float | None],
    greet: Callable[[], None],
) -> Iterator[None]:
    """Calls *wake* for each new entry of the stream *key*, *tick* when something is due, *greet* at first contact."""
    watcher = _Watcher(server, key, wake, tick, greet)
    thread = threading.Thread(target=watcher.run, name="durable-wakeup", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stopped.set()
        thread.join(PATIENCE)


class _Watcher:
    def __init__(
        self,
        server: Server,
        key: str,
        wake: Callable[[], None],
        tick: Callable[[], float | None],
        greet: Callable[[], None],
    ) -> None:
        self.stopped = threading.Event()
        self._server = server
        self._key = key
        self._wake = wake
        self._tick = tick
        self._greet = greet
        self._has_greeted = False
        self._pause = RECONNECT[0]
        self._last_complaint = -LOG_INTERVAL
        self._is_away = False

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                with self._server.reached():
                    self._listen()
                return
            except QueueUnavailable as error:
                self._complain(error)
            except Exception:  # polling goes on, and this is tried again
                logger.exception("the thread that hears of entries in Redis stumbled; it goes on")
            self.stopped.wait(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(self._pause * 2, RECONNECT[1])

    def _complain(self, error: QueueUnavailable) -> None:
        self._is_away = True
        if time.monotonic() - self._last_complaint >= LOG_INTERVAL:
            self._last_complaint = time.monotonic()
            logger.warning("no wake-ups, trying again: %s", error)

    def _listen(self) -> None:
        """Until told to stop. Raises when the connection is lost."""
        connection = self._server.connection(self._key)
        try:
            seen = self._newest(connection)
            self._on_contact()
            self._wake()  # what came while nobody listened
            due_at = self._next_look()
            while not self.stopped.is_set():
                block = max(due_at - time.monotonic(), 0.001)
                came = self._read(connection, seen, block)
                if came is not None:
                    seen, due = came
                    self._wake()
                    if due:
                        due_at = self._next_look()
                elif not self.stopped.is_set():
                    due_at = self._next_look()
                    if (newest := self._newest(connection)) != seen:
                        seen = newest
                        self._wake()
        finally:
            with suppress(redis.RedisError, OSError):
                connection.disconnect()

    def _next_look(self) -> float:
        wait = self._tick()
        return time.monotonic() + min(LONGEST_BLOCK if wait is None else wait, LONGEST_BLOCK)

    def _on_contact(self) -> None:
        self._pause = RECONNECT[0]
        if self._is_away:
            self._is_away = False
            logger.info("Redis at %s answers again", self._server.name)
        if not self._has_greeted:
            self._has_greeted = True
            with suppress(QueueUnavailable):
                self._greet()

    def _newest(self, connection: Any) -> str:
        """The id of the last wake-up; after a server was emptied and its clock set back, a smaller one than before."""
        connection.send_command("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        found = connection.read_response()
        return found[0][0] if found else "0-0"

    def _read(self, connection: Any, seen: str, block: float) -> tuple[str, str] | None:
        """The next wake-up and what it says is due; None when there was none in time, or when told to stop."""
        arguments = ("COUNT", 1, "BLOCK", max(int(1000 * block), 1), "STREAMS", self._key, seen)
        connection.send_command("XREAD", *arguments)
        give_up = time.monotonic() + block + PATIENCE
        while not connection.can_read(timeout=LOOK):
            if self.stopped.is_set():
                return None
            if time.monotonic() > give_up:
                raise redis.TimeoutError("it does not answer any more")
        found = connection.read_response()
        if not found:
            return None
        [[_, [[entry_id, fields]]]] = found
        return entry_id, fields[1] if len(fields) > 1 else ""
