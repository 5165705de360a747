"""Hearing of entries that other processes have made: a thread with a connection of its own.

Only a hint: whoever is not told looks for himself, once per tick.
"""

from __future__ import annotations

import logging
import os
import random
import select
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("durable.queue")

ALERT, IDLE = 0.003, 0.010  # seconds between two looks at an SQLite file; a look takes some 10 us
IDLE_AFTER = 2.0  # seconds without a change
ABSENT = 1.0  # seconds between two attempts to open a file that is not there
RECONNECT = (0.2, 30.0)  # seconds to the first attempt, and at most
HEARD_WITHIN = 2.0  # seconds
LOG_INTERVAL = 10.0  # seconds between two complaints
CHANNEL = "django_durable_queueentry"
LISTEN = "LISTEN {}"


@contextmanager
def _thread(name: str, work: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(5)


@contextmanager
def watch_sqlite(connection: BaseDatabaseWrapper, wake: Callable[[], None]) -> Iterator[None]:
    """``PRAGMA data_version`` changes when another connection has committed, and costs no lock."""
    parameters = connection.get_connection_params()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                raw = sqlite3.connect(parameters["database"], uri=True, timeout=0, isolation_level=None)
            except sqlite3.Error:
                stopped.wait(ABSENT)
                continue
            try:
                _look(raw, wake, stopped)
            finally:
                raw.close()

    with _thread("durable-wakeup", work, stopped.set):
        yield


def _look(raw: sqlite3.Connection, wake: Callable[[], None], stopped: threading.Event) -> None:
    seen = None
    pause, changed_at = ALERT, time.monotonic()
    while not stopped.is_set():
        try:
            [version] = raw.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            version = None  # locked, by somebody who is changing something
        if version != seen:
            pause, changed_at, seen = ALERT, time.monotonic(), version
            wake()
        elif pause == ALERT and time.monotonic() - changed_at > IDLE_AFTER:
            pause = IDLE
        time.sleep(pause)


@contextmanager
def watch_postgres(connection: BaseDatabaseWrapper, wake: Callable[[], None]) -> Iterator[None]:
    """LISTEN on a connection outside of any pool. Through a pooler of transactions nothing is ever heard."""
    parameters = connection.get_connection_params()
    ours, theirs = socket.socketpair()

    def stop() -> None:
        ours.close()  # the other end turns readable

    shortest, longest = RECONNECT
    pause = shortest
    last_complaint = -LOG_INTERVAL

    def heard() -> None:
        nonlocal pause
        pause = shortest
        wake()

    def work() -> None:
        nonlocal pause, last_complaint
        while True:
            try:
                if _listen(parameters, theirs, heard):
                    return
            except Exception as exc:  # noqa: BLE001 - whatever it is, polling goes on and this is tried again
                if time.monotonic() - last_complaint >= LOG_INTERVAL:
                    last_complaint = time.monotonic()
                    logger.warning("no wake-ups from Postgres, trying again in %.1f s: %s", pause, exc)
            if select.select([theirs], [], [], pause * random.uniform(0.5, 1.0))[0]:
                return
            pause = min(pause * 2, longest)

    try:
        with _thread("durable-wakeup", work, stop):
            yield
    finally:
        theirs.close()


def is_listening_possible(connection: BaseDatabaseWrapper) -> bool:
    """Whether a session hears what another sends. Takes `HEARD_WITHIN` seconds to say no."""
    import psycopg

    parameters: Any = {**connection.get_connection_params(), "autocommit": True}
    word = f"{os.getpid()}.{time.monotonic_ns()}"
    try:
        with psycopg.connect(**parameters) as ear, psycopg.connect(**parameters) as mouth:
            ear.execute(LISTEN.format(CHANNEL))
            mouth.execute("SELECT pg_notify(%s, %s)", (CHANNEL, word))
            ear.execute("SELECT 1")  # a pooler may give this session another backend now
            return any(notify.payload == word for notify in ear.notifies(timeout=HEARD_WITHIN, stop_after=1))
    except psycopg.Error as error:
        logger.debug("LISTEN failed: %s", error)
        return False


def _listen(parameters: dict[str, Any], stopped: socket.socket, wake: Callable[[], None]) -> bool:
    """True when told to stop; raises when the connection is lost."""
    import psycopg

    with psycopg.connect(**{**parameters, "autocommit": True}) as raw:
        raw.execute(LISTEN.format(CHANNEL))
        wake()  # what came while nobody listened
        while True:
            if stopped.fileno() in select.select([raw.fileno(), stopped.fileno()], [], [])[0]:
                return True
            if any(True for _ in raw.notifies(timeout=0)):
                wake()
