"""The thread's own connection: statements, transactions, and what a driver's error means.

Statements go past Django's cursor straight to the driver, which halves their cost; `connection.execute_wrappers` and
the query log see them all the same.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import Error, connections
from django.db import transaction as django_transaction

from django_durable.store import postgres, sqlite
from durable_core.errors import ConfigurationError, StoreUnavailable
from durable_core.ports import StoreConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_durable.store.dialect import Dialect, Query

Row = tuple[Any, ...]

RESYNC = 1.0  # seconds for which the distance between the database's clock and ours is believed
TRY_AGAIN = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available: nothing was written


_thread = threading.local()


class Database:
    """What `connections[alias]` is for the calling thread. Shared by threads; holds no connection itself."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @cached_property
    def dialect(self) -> Dialect:
        """Raises `ConfigurationError` for a database we have no SQL for."""
        connection = self.connection
        match connection.vendor:
            case "sqlite":
                return sqlite.SQLITE
            case "postgresql":
                postgres.require_psycopg3()
                return postgres.POSTGRES
            case vendor:
                raise ConfigurationError(
                    f"DATABASES[{self.alias!r}] is a {vendor} database. Django Durable runs on PostgreSQL and SQLite: "
                    "name one of those in DURABLE['DATABASE']."
                )

    @property
    def is_worker(self) -> bool:
        """Whether the calling thread does a worker's work, and runs no statement but ours (the queue's too)."""
        return self.alias in getattr(_thread, "worker_of", ())

    @is_worker.setter
    def is_worker(self, value: bool) -> None:
        aliases: frozenset[str] = getattr(_thread, "worker_of", frozenset())
        _thread.worker_of = aliases | {self.alias} if value else aliases - {self.alias}

    # Statements

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """The rows that a statement answers with."""
        found: list[Row] = self._run(self.dialect.fetch, sql, params)
        return found

    def rows_of_all(self, queries: Sequence[tuple[str, *tuple[Any, ...]]]) -> list[list[Row]]:
        """The rows of each query (a statement and its parameters), in one round trip where there are trips."""
        pairs: list[Query] = [(sql, params) for sql, *params in queries]
        found: list[list[Row]] = self._run_all(self.dialect.fetch_all, self.dialect.fetch, pairs)
        return found

    def run_all(self, *changes: tuple[str, Sequence[Row]]) -> None:
        """`run_many` for each of *changes*, in one statement where that can be; no two may touch the same row."""
        self._run_all(self.dialect.execute_all, self.dialect.execute_many, [c for c in changes if c[1]], many=True)

    def run(self, sql: str, *params: Any) -> None:
        self._run(self.dialect.execute, sql, params)

    def run_many(self, sql: str, rows: Sequence[Row]) -> int:
        """One statement over many rows of plain values, see `Dialect.insert` and `.update`. Nothing for no rows.

        Answers how many rows it wrote.
        """
        if not rows:
            return 0
        count: int = self._run(self.dialect.execute_many, sql, rows, many=True)
        return count

    def _run_all(
        self, together: Callable[..., Any], singly: Callable[..., Any], queries: list[Query], *, many: bool = False
    ) -> Any:
        connection = self.connection
        if connection.execute_wrappers or connection.queries_logged:
            return [self._run(singly, sql, params, many=many) for sql, params in queries]
        return self._run(lambda raw, *_: together(raw, queries), "", ())

    def _run(self, executor: Callable[..., Any], sql: str, params: Sequence[Any], *, many: bool = False) -> Any:
        connection = self.connection
        connection.validate_no_broken_transaction()
        try:
            self._connect(connection)
            if connection.execute_wrappers or connection.queries_logged:
                return self._run_watched(connection, executor, sql, params, many)
            return executor(connection.connection, sql, params)
        except Exception as exc:
            raise self._translated(exc, connection, unanswered=not connection.in_atomic_block) from exc

    def _connect(self, connection: BaseDatabaseWrapper) -> None:
        """Be connected, as Django's own cursors see to it, and settled before a unit of work."""
        connection.close_if_health_check_failed()
        if connection.connection is None:
            connection.ensure_connection()
        if not connection.in_atomic_block:
            self.dialect.settle(connection, worker=self.is_worker)

    def _run_watched(
        self,
        connection: BaseDatabaseWrapper,
        executor: Callable[..., Any],
        sql: str,
        params: Sequence[Any],
        many: bool,
    ) -> Any:
        def execute(sql: str, params: Sequence[Any], many: bool, context: dict[str, Any]) -> Any:
            return executor(connection.connection, sql, params)

        for wrapper in reversed(connection.execute_wrappers):
            execute = partial(wrapper, execute)
        started = time.monotonic()
        try:
            return execute(sql, params, many, {"connection": connection, "cursor": None})
        finally:
            if connection.queries_logged:
                connection.queries_log.append({"sql": sql, "time": f"{time.monotonic() - started:.3f}"})

    # Transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One of ours; a savepoint inside one of the caller's, so that an error caught there leaves nothing of ours."""
        connection = self.connection
        if getattr(connection, "durable_depth", 0):
            yield
            return
        outermost = not connection.in_atomic_block
        block = self.begin()
        connection.durable_depth = 1  # type: ignore[attr-defined] # ours
        try:
            yield
        except BaseException as exc:
            connection.durable_depth = 0  # type: ignore[attr-defined]
            # A rollback that fails closes the connection; Django then opens another, which an outage refuses.
            with suppress(Error):
                block.__exit__(type(exc), exc, exc.__traceback__)
            raise
        connection.durable_depth = 0  # type: ignore[attr-defined]
        try:
            block.__exit__(None, None, None)
        except Error as exc:
            raise self._translated(exc, connection, unanswered=outermost) from exc

    def begin(self) -> django_transaction.Atomic:
        """A transaction, entered; a savepoint inside one that is open."""
        connection = self.connection
        block = django_transaction.atomic(self.alias)
        try:
            self._connect(connection)
            with self.dialect.beginning(connection):
                block.__enter__()
        except Exception as exc:  # the driver's too, of what settles the connection
            raise self._translated(exc, connection, unanswered=False) from exc
        return block

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside are of one moment, and nothing can be written. A caller's transaction stays as it is."""
        connection = self.connection
        if connection.in_atomic_block:
            yield
            return
        try:
            self._connect(connection)
            with self.dialect.looking(connection):
                yield
        except Error as exc:
            raise self._translated(exc, connection, unanswered=False) from exc

    def in_transaction(self) -> bool:
        connection = self.connection
        return connection.in_atomic_block or (connection.connection is not None and not connection.get_autocommit())

    def _translated(self, exc: Exception, connection: BaseDatabaseWrapper, *, unanswered: bool) -> Exception:
        """What a port may raise for *exc*; *unanswered* means that a lost connection leaves open what was written."""
        try:
            with connection.wrap_database_errors:
                raise exc
        except Exception as wrapped:  # noqa: BLE001 - the same exception, as Django's class if it was the driver's
            exc = wrapped
        if not isinstance(exc, Error) or not self.dialect.is_outage(exc):
            return exc  # a bug of ours or a broken transaction of the caller's
        state = getattr(exc.__cause__, "sqlstate", None)
        lost = self.dialect.is_lost(connection, exc)
        if lost and not connection.in_atomic_block:
            connection.close()
        return StoreUnavailable(
            f"database {self.alias!r}: {exc}".strip(), ambiguous=lost and unanswered and state not in TRY_AGAIN
        )

    def shared(self) -> StoreConnection:
        return StoreConnection(vendor=self.connection.vendor, use=self._raw, parameters=self._parameters)

    def _parameters(self) -> dict[str, Any]:
        return self.connection.get_connection_params()

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        connection = self.connection
        connection.validate_no_broken_transaction()
        try:
            self._connect(connection)
            yield connection.connection
        except Exception as exc:
            translated = self._translated(exc, connection, unanswered=not connection.in_atomic_block)
            if translated is exc:
                raise
            raise translated from exc

    # Values

    def now(self) -> datetime:
        return _clocks.setdefault(self.alias, _Clock()).now(self)

    def stamp(self) -> str:
        return self.dialect.text_of(self.now())

    def at(self, instant: datetime | None) -> str | None:
        """An instant as a parameter."""
        return None if instant is None else self.dialect.text_of(instant)

    def ids(self, ids: Iterable[UUID]) -> str:
        """A set of ids as one parameter, for ``{among}``."""
        return self.dialect.ids([i.hex for i in ids])

    def texts(self, texts: Iterable[str]) -> Any:
        """The same for texts of any kind."""
        return self.dialect.texts(list(texts))

    def key(self, of: UUID) -> Any:
        """An id as rows have it."""
        return self.dialect.key(of)

    def numbers(self, numbers: Iterable[int]) -> str:
        return self.dialect.ids([str(n) for n in numbers])


def instant(value: Any) -> datetime | None:
    """A column's value as an aware datetime in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)  # type: ignore[no-any-return]


def uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def uuid_or_none(value: Any) -> UUID | None:
    return None if value is None else uuid(value)


def hex_of(value: UUID | None) -> str | None:
    return None if value is None else value.hex


def seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def seconds_of(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def json_of(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


class _Clock:
    """A lower bound of the database's clock: its time when it answered, plus what has passed since the answer came."""

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None  # replaced as a whole, so threads need no lock

    def now(self, database: Database) -> datetime:
        if not database.dialect.clock:
            return datetime.now(UTC)
        read = self._read
        if read is None or time.monotonic() - read[1] > RESYNC:
            [(at,)] = database.rows(database.dialect.clock)
            read = self._read = (at.astimezone(UTC), time.monotonic())
        return read[0] + timedelta(seconds=time.monotonic() - read[1])


_clocks: dict[str, _Clock] = {}  # by alias: the store's and the queue's are one
