"""SQLite: one writer at a time, so checks need no locks once the write transaction has begun."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import Error, IntegrityError, NotSupportedError, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_durable.store.dialect import Query


TAKE_LOCK = "DELETE FROM django_durable_mail WHERE 0"


class Sqlite:
    among = "IN (SELECT value FROM json_each(%s))"  # one parameter: a statement takes no more than 32,766
    own = own_free = hold = hold_free = ""
    instant = by_now = uuid = "%s"
    notify = without_waiting = ""
    peeks = True
    clock = ""

    def one_of(self, query: str) -> str:
        return f"IN ({query})"

    def insert(self, table: str, columns: Mapping[str, str], *, conflict: str = "") -> str:
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {conflict}"

    def update(self, table: str, columns: Mapping[str, str], change: str, where: str = "", *, lock: str = "") -> str:
        number = {name: f"?{n}" for n, name in enumerate(columns, 1)}
        key = next(iter(columns))
        statement = f"UPDATE {table} SET {change} WHERE {table}.{key} = v.{key} {where}"
        return re.sub(r"\bv\.(\w+)", lambda match: number[match[1]], statement)

    def delete(self, table: str, columns: Mapping[str, str]) -> str:
        return f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in columns)}"

    def text_of(self, instant: datetime) -> str:
        """As Django writes it, so that columns compare as text."""
        if instant.tzinfo is not UTC:
            instant = instant.astimezone(UTC)
        return instant.replace(tzinfo=None).isoformat(" ")

    def key(self, of: UUID) -> str:
        return of.hex

    def ids(self, ids: list[str]) -> str:
        return json.dumps(ids)

    texts = ids

    def fetch(self, raw: Any, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = raw.execute(_native(sql), params).fetchall()
        return rows

    def fetch_all(self, raw: Any, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        return [self.fetch(raw, sql, params) for sql, params in queries]

    def execute(self, raw: Any, sql: str, params: Sequence[Any]) -> None:
        raw.execute(_native(sql), params)

    def execute_many(self, raw: Any, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        count: int = raw.executemany(sql, rows).rowcount
        return count

    def execute_all(self, raw: Any, changes: Sequence[Query]) -> None:
        for sql, rows in changes:
            raw.executemany(sql, rows)

    def settle(self, connection: BaseDatabaseWrapper, *, worker: bool) -> None:
        pass

    @contextmanager
    def beginning(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """IMMEDIATE, whatever the project's settings: a transaction that reads first cannot wait for the write lock.

        One of the caller's may have been begun otherwise; there the lock is taken by a write that changes nothing.
        """
        if connection.in_atomic_block:
            with connection.wrap_database_errors:
                connection.connection.execute(TAKE_LOCK)
        with _begun(connection, "IMMEDIATE"):
            yield

    @contextmanager
    def looking(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        raw = connection.connection
        with connection.wrap_database_errors:
            raw.execute("PRAGMA query_only = ON")
        try:
            with _begun(connection, "DEFERRED"), transaction.atomic(connection.alias):
                yield
        finally:
            raw.execute("PRAGMA query_only = OFF")

    def is_outage(self, error: Error) -> bool:
        return not isinstance(error, IntegrityError | NotSupportedError)

    def is_lost(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        return False


@contextmanager
def _begun(connection: BaseDatabaseWrapper, mode: str) -> Iterator[None]:
    """How transactions begin meanwhile, whatever the project's settings."""
    chosen = connection.transaction_mode  # type: ignore[attr-defined] # SQLite's own
    connection.transaction_mode = mode  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = chosen  # type: ignore[attr-defined]


@cache
def _native(sql: str) -> str:
    return sql.replace("%s", "?")


SQLITE = Sqlite()
