"""Postgres, by psycopg 3: row locks, and many rows as one JSON parameter.

Measured per event inserted, 100 runs to a commit: 6 us as one jsonb parameter or as array literals, 17 us as psycopg's
arrays, and as many as 100 us as a statement each.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import DataError, Error, IntegrityError, NotSupportedError, transaction

from durable_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_durable.store.dialect import Query


USES_TO_PREPARE = 5  # units of work on a connection: a web request's are over before planning ahead would pay

REPLAN = 5.0  # seconds for which plans are kept: tables grow by a thousand times within minutes
# Plans are kept, and were made when tables were small: a worker that began on an empty database would go on reading
# whole tables until they are analyzed. All its statements are look-ups by index, so its connection may do nothing else.
STEERING = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material")


def require_psycopg3() -> None:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        raise ConfigurationError(
            "Django Durable needs psycopg 3, and this project runs on psycopg2: "
            "pip install 'durable-django[postgres]' (Django prefers psycopg 3 when both are there)."
        )


class Postgres:
    among = "= ANY(%s::uuid[])"
    own = "FOR NO KEY UPDATE"  # not FOR UPDATE: that would make every insert of a child row wait
    own_free = "FOR NO KEY UPDATE SKIP LOCKED"
    hold = "FOR SHARE"
    hold_free = "FOR SHARE SKIP LOCKED"
    instant = "%s::timestamptz"
    # Another process may know the time more exactly than we do: what it has just made would be in our future.
    by_now = "GREATEST(%s::timestamptz, statement_timestamp())"
    uuid = "%s::uuid"
    notify = "SELECT pg_notify(%s, '')"
    without_waiting = "(SELECT set_config('synchronous_commit', 'off', true))"
    peeks = False
    clock = "SELECT clock_timestamp()"

    def one_of(self, query: str) -> str:
        # As an array they can only be looked up. A join may be made the other way round, by a plan for a table that was
        # empty, and then every claim goes through all entries.
        return f"= ANY(ARRAY({query}))"

    def insert(self, table: str, columns: Mapping[str, str], *, conflict: str = "") -> str:
        # In the order given, so that ids follow the order of mail.
        return (
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {_values(columns)} "
            f"FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY e(e, n) ORDER BY n {conflict}"
        )

    def update(self, table: str, columns: Mapping[str, str], change: str, where: str = "", *, lock: str = "") -> str:
        key, on = next(iter(columns)), next(iter(columns))
        values = f"SELECT {_values(columns, named=True)} FROM jsonb_array_elements(%s::jsonb) e"
        if lock:
            values = (
                f"SELECT v.*, {table}.id AS locked FROM ({values}) v JOIN {table} ON {table}.{key} = v.{key} {where} "
                f"ORDER BY {table}.id {lock.replace('UPDATE', f'UPDATE OF {table}')}"
            )
            key, on = "id", "locked"
        return f"UPDATE {table} SET {change} FROM ({values}) v WHERE {table}.{key} = v.{on} {where}"

    def delete(self, table: str, columns: Mapping[str, str]) -> str:
        matches = " AND ".join(f"{table}.{name} = v.{name}" for name in columns)
        return (
            f"DELETE FROM {table} USING (SELECT {_values(columns, named=True)} "
            f"FROM jsonb_array_elements(%s::jsonb) e) v WHERE {matches}"
        )

    def text_of(self, instant: datetime) -> str:
        return instant.isoformat()

    def key(self, of: UUID) -> UUID:
        return of

    def ids(self, ids: list[str]) -> str:
        return f"{{{','.join(ids)}}}"

    def texts(self, texts: list[str]) -> list[str]:
        return texts  # psycopg knows how to quote them

    def fetch(self, raw: Any, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = session(raw).execute(sql, params).fetchall()
        return rows

    def fetch_all(self, raw: Any, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """In one round trip."""
        if len(queries) == 1:  # a pipeline of one takes twice as long as the statement by itself
            return [self.fetch(raw, *queries[0])]
        ours = session(raw)
        with raw.pipeline():
            cursors = [ours.execute(sql, params, ours.cursor(n)) for n, (sql, params) in enumerate(queries)]
            return [cursor.fetchall() for cursor in cursors]

    def execute(self, raw: Any, sql: str, params: Sequence[Any]) -> None:
        session(raw).execute(sql, params)

    def execute_many(self, raw: Any, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        count: int = session(raw).execute(sql, (json.dumps(rows),)).rowcount
        return count

    def execute_all(self, raw: Any, changes: Sequence[Query]) -> None:
        """One statement: a round trip and its system calls take longer than the work of a small commit."""
        session(raw).execute(_one_of(tuple(sql for sql, _ in changes)), [json.dumps(rows) for _, rows in changes])

    @contextmanager
    def beginning(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        yield

    @contextmanager
    def looking(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        with transaction.atomic(connection.alias):
            session(connection.connection).execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", ())
            yield

    def settle(self, connection: BaseDatabaseWrapper, *, worker: bool) -> None:
        pooled = connection.settings_dict["OPTIONS"].get("pool")  # goes to other threads with what is set on it
        session(connection.connection).settle(worker and not pooled)

    def is_outage(self, error: Error) -> bool:
        return not isinstance(error, IntegrityError | DataError | NotSupportedError)

    def is_lost(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        raw = connection.connection
        # A server that shuts down says so first, and psycopg sees the closed socket only at the next statement.
        return raw is None or raw.closed or str(getattr(error.__cause__, "sqlstate", "")).startswith(("08", "57P"))


def _values(columns: Mapping[str, str], *, named: bool = False) -> str:
    return ", ".join(
        (f"(e->>{n})::{kind}" if kind != "text" else f"e->>{n}") + (f" AS {name}" if named else "")
        for n, (name, kind) in enumerate(columns.items())
    )


@cache
def _one_of(statements: tuple[str, ...]) -> str:
    """Statements that write, as parts of the last of them."""
    *parts, last = statements
    parts = [f"w{n} AS ({sql})" for n, sql in enumerate(parts)]
    return f"WITH {', '.join(parts)} {last}" if parts else last


class Session:
    """Our side of one connection: parameters bound by the server, times read by psycopg's C code, plans kept."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._cursors: list[Any] = []
        self._uses = 0
        self._prepare = False
        self._steered = False
        self._replan_at = 0.0  # monotonic seconds

    def cursor(self, n: int) -> Any:
        """The *n*-th of our cursors; in a pipeline every statement needs its own."""
        while len(self._cursors) <= n:
            import psycopg
            from psycopg.types.datetime import TimestamptzLoader

            cursor = psycopg.Cursor(self._raw)
            cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
            self._cursors.append(cursor)
        return self._cursors[n]

    def execute(self, sql: str, params: Sequence[Any], cursor: Any = None) -> Any:
        cursor = cursor or self.cursor(0)
        if not self._prepare:
            return cursor.execute(sql, params, prepare=False)
        # Django turns preparing off for the connection; cursors of others find it as they left it.
        threshold, self._raw.prepare_threshold = self._raw.prepare_threshold, 0
        try:
            return cursor.execute(sql, params, prepare=True)
        except self._raw.NotSupportedError:
            self._prepare = False  # a migration changed what a kept plan answers with
            raise
        finally:
            self._raw.prepare_threshold = threshold

    def settle(self, steer: bool) -> None:
        """Outside of a transaction: decide how plans are made."""
        self._uses += 1
        if self._prepare and time.monotonic() >= self._replan_at:
            self._replan_at = time.monotonic() + REPLAN
            self._raw.execute("DISCARD PLANS")
        if self._uses == USES_TO_PREPARE or steer is not self._steered:
            self._prepare = self._is_alone()
            if steer is not self._steered and self._prepare:
                for switch in STEERING:
                    self._raw.execute(f"SET {switch} = off" if steer else f"RESET {switch}")
            self._steered = steer

    def _is_alone(self) -> bool:
        """Whether this is a connection to the server itself. A pooler of transactions gives us another backend's number
        than it told us at first, and what is prepared or set on one backend is not there on the next."""
        [(pid,)] = self.cursor(0).execute("SELECT pg_backend_pid()", prepare=False).fetchall()
        return bool(pid == self._raw.info.backend_pid)


def session(raw: Any) -> Session:
    ours: Session | None = getattr(raw, "durable_session", None)
    if ours is None:
        ours = raw.durable_session = Session(raw)
    return ours


POSTGRES = Postgres()
