"""Hearing of new entries: a thread with a connection of its own.

Only a hint: whoever is not told looks for himself, once per tick.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from durable_pg_queue.schema import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable_pg_queue.database import Raw

logger = logging.getLogger("durable.queue")

RECONNECT = (0.2, 30.0)  # seconds to the first attempt, and at most
LOG_INTERVAL = 10.0  # seconds between two complaints
# Seconds after a notification at which to look again: what came in the quiet that it began was not told. The first is
# for those who committed in that time, the second for those who took a little longer.
ECHOES = (1.5 * QUIET / 1000, 5 * QUIET / 1000)


@contextmanager
def listen(connect: Callable[[], Raw], channel: str, wake: Callable[[], None]) -> Iterator[None]:
    """Call *wake* after each notification, and after each time the connection was made or made again."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(
        target=_Listener(connect, channel, wake, theirs).run, name="durable-pg-wakeup", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ours.close()  # the other end turns readable
        thread.join(5)
        theirs.close()


class _Listener:
    def __init__(self, connect: Callable[[], Raw], channel: str, wake: Callable[[], None], stop: socket.socket) -> None:
        self._connect = connect
        self._channel = channel
        self._wake = wake
        self._stop = stop
        self._pause = RECONNECT[0]
        self._last_complaint = -LOG_INTERVAL

    def run(self) -> None:
        while True:
            try:
                self._listen()
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on and this is tried again
                self._complain(error)
            if self._is_stopped_within(self._pause * random.uniform(0.5, 1.0)):
                return
            self._pause = min(self._pause * 2, RECONNECT[1])

    def _listen(self) -> None:
        """Returns when told to stop; raises when the connection is lost."""
        with self._connect() as raw:
            raw.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._wake()  # for what came while nobody listened
            self._pause = RECONNECT[0]
            echoes = _echoes()  # when to look again (monotonic seconds)
            while not self._is_stopped_within(max(echoes[0] - time.monotonic(), 0) if echoes else None, raw):
                if any(True for _ in raw.notifies(timeout=0)):
                    self._wake()
                    echoes = _echoes()
                elif echoes and time.monotonic() >= echoes[0]:
                    del echoes[0]
                    self._wake()

    def _is_stopped_within(self, seconds: float | None, raw: Raw | None = None) -> bool:
        """Waits so long, or without end, or until *raw* has something to say."""
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        if raw is not None:
            poll.register(raw.fileno(), select.POLLIN)
        ready = poll.poll(None if seconds is None else seconds * 1000)
        return any(descriptor == self._stop.fileno() for descriptor, _ in ready)

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._last_complaint >= LOG_INTERVAL:
            self._last_complaint = time.monotonic()
            logger.warning("no wake-ups from Postgres, trying again in %.1f s: %s", self._pause, error)


def _echoes() -> list[float]:
    return [time.monotonic() + echo for echo in ECHOES]
