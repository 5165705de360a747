"""The database in which the queue lives: the store's, or one of its own."""

from __future__ import annotations

import os
import select
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from durable_core.errors import ConfigurationError, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from durable_core.ports import StoreConnection

Raw = psycopg.Connection[Any]

MOST_IDLE = 4  # connections kept for the next caller; a worker's loop needs one

# Beneath what was given. A server that went away without a word is noticed after about a minute.
PARAMETERS = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "fallback_application_name": "durable",
}


class Database(Protocol):
    transactional: bool  # whether what is done here may be part of the store's transaction
    name: str  # for people, without a password

    def use(self) -> AbstractContextManager[Raw]:
        """A connection for the calling thread. What the driver raises in the block leaves it as an error of a port."""

    def connect(self) -> Raw:
        """Another connection, in autocommit, for the caller to close. Raises what the driver raises."""

    def is_settled(self, raw: Raw) -> bool:
        """Whether the next statement on *raw* is a transaction of its own."""

    def close(self) -> None:
        """Close what is idle; the next use opens it again."""


class StoreDatabase:
    """The store's own database, on the store's own connections."""

    transactional = True
    name = "the store's database"

    def __init__(self, connection: StoreConnection) -> None:
        if connection.vendor != "postgresql":
            raise ConfigurationError(
                f"The Postgres queue lives in the store's database, and that is a {connection.vendor} database. Keep "
                'the queue in another one: "OPTIONS": {"dsn": "postgresql://user:password@host:5432/name"}'
            )
        self._connection = connection

    @contextmanager
    def use(self) -> Iterator[Raw]:
        with self._connection.use() as raw:
            if not isinstance(raw, psycopg.Connection):
                raise ConfigurationError(
                    f"The Postgres queue needs psycopg 3, and the store's connection is a {type(raw).__module__} one: "
                    "pip install 'psycopg[binary]>=3.2'"
                )
            yield raw

    def connect(self) -> Raw:
        parameters = {**PARAMETERS, **self._connection.parameters(), "autocommit": True}
        raw: Raw = psycopg.connect(**parameters)
        return raw

    def is_settled(self, raw: Raw) -> bool:
        return raw.autocommit and raw.info.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        pass  # nothing is ours


class OwnDatabase:
    """Any database, on a few connections of the queue's own, made when they are needed.

    Not a pool with threads: those do not survive a fork, and make callers wait for a server that is not there without
    telling them why.
    """

    transactional = False

    def __init__(self, dsn: str) -> None:
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.Error:
            # The driver's message would quote the dsn, and a password in it.
            raise ConfigurationError(
                'The option "dsn" of the Postgres queue is no connection string: it should look like '
                "postgresql://user:password@host:5432/name"
            ) from None
        self._parameters: dict[str, Any] = {**PARAMETERS, **given}
        self._secrets = [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]
        self.name = _shown(given)
        self._idle: deque[tuple[int, Raw]] = deque()  # by process: a child of a fork must not use its parent's
        self._parents: list[Raw] = []  # kept, because to drop them would be to complain that they are open
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def use(self) -> Iterator[Raw]:
        raw = None
        try:
            raw = self._idle_one() or self.connect()
            yield raw
        except psycopg.Error as error:
            raise QueueUnavailable(f"Postgres queue at {self.name}: {self._told(error)}") from error
        finally:
            if raw is not None:
                self._keep(raw)

    def connect(self) -> Raw:
        # Nothing is prepared: behind a pooler, the next statement may go to another connection of the server.
        raw: Raw = psycopg.connect(**self._parameters, autocommit=True, prepare_threshold=None)
        return raw

    def is_settled(self, raw: Raw) -> bool:
        return True

    def close(self) -> None:
        _close_all(self._idle)

    def _idle_one(self) -> Raw | None:
        while self._idle:
            try:
                process, raw = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if process != os.getpid():
                self._parents.append(raw)
                continue
            if not raw.closed and not _has_news(raw):
                return raw
            raw.close()
        return None

    def _keep(self, raw: Raw) -> None:
        is_usable = not raw.closed and raw.info.transaction_status == TransactionStatus.IDLE
        if is_usable and len(self._idle) < MOST_IDLE:
            self._idle.append((os.getpid(), raw))
        else:
            raw.close()

    def _told(self, error: psycopg.Error) -> str:
        text = error.diag.message_primary or str(error).strip() or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _has_news(raw: Raw) -> bool:
    """Whether the server has said something unasked: that it is going away, as a rule."""
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _close_all(idle: deque[tuple[int, Raw]]) -> None:
    while idle:
        process, raw = idle.pop()
        if process == os.getpid():
            raw.close()


def _shown(given: dict[str, Any]) -> str:
    """What was given, without passwords: ``host=db.example.com dbname=queue user=app password=***``."""
    shown = {name: "***" if "password" in name else value for name, value in given.items()}
    return " ".join(f"{name}={value}" for name, value in shown.items()) or "the default server"
