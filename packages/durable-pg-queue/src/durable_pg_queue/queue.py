"""`PostgresTaskQueue`: a table that is read with SKIP LOCKED, and a channel that says when to look."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from durable_core.errors import ConfigurationError
from durable_core.options import DEFAULT_QUEUE
from durable_core.ports import (
    LEASE,
    PREFERENCE,
    AuditedEntry,
    Claim,
    Entry,
    EntryKind,
    EntryState,
    QueueStats,
    private_queue,
)
from durable_pg_queue.database import OwnDatabase, StoreDatabase
from durable_pg_queue.diagnosis import examine
from durable_pg_queue.frontier import ACTIVITIES, RUNS, Frontier, Snapshot
from durable_pg_queue.grants import grants
from durable_pg_queue.listening import listen
from durable_pg_queue.schema import SET_UP, Names, check, set_up
from durable_pg_queue.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from durable_core.ports import Duty, Finding, StoreConnection
    from durable_pg_queue.database import Database, Raw
    from durable_pg_queue.frontier import Range

SURVEY_EVERY = 0.5  # seconds; some thousand entries die meanwhile at the most, and a claim passes over those in a ms
FORGET_AFTER = 600.0  # seconds after which what was changed by hand behind our back is found
AUDITED_AT_ONCE = 5_000  # entries in memory while an audit reads them
MOST_VIEWS = 16  # sets of queues, of which a worker has one


class Handle(NamedTuple):
    worker: UUID
    id: int
    number: int  # of the delivery; another one belongs to somebody else


class Filter(NamedTuple):
    """Which queues a claim is for."""

    is_named: bool  # only *queues*, or all but these and the private ones
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is known of a set of queues, and since when (monotonic seconds)."""

    begun_at: float
    frontier: Frontier = field(default_factory=Frontier)
    surveyed_at: float = -inf

    def is_stale(self, now: float) -> bool:
        return now - self.surveyed_at > SURVEY_EVERY


class PostgresTaskQueue:
    """`TaskQueue` on Postgres 15 or newer.

    Without a *dsn* it lives in the store's database and joins the store's transactions: *connection* is the store's,
    which the framework hands over. With one it lives in that database and joins nothing.

    *notify* False leaves out LISTEN and NOTIFY: new entries are then found by polling alone, which is always enough,
    and all there is behind a pooler of transactions. *lease*, for which a claim holds, and *preference*, for which only
    the preferred worker may claim an entry, are seconds or timedeltas. *table* and *schema* are names for the table.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        connection: StoreConnection | None = None,
        notify: bool = True,
        lease: float | timedelta = LEASE,
        preference: float | timedelta = PREFERENCE,
        table: str = "durable_queue",
        schema: str | None = None,
    ) -> None:
        self._database = _database(dsn, connection)
        self._names = Names(table, schema)
        self.transactional = self._database.transactional
        self.wakeup = notify
        self._lease = _seconds("lease", lease)
        self._preference = _seconds("preference", preference)
        self._statements = Statements(self._names)
        self._is_checked = False  # whether the table has been seen to be there
        self._views: dict[Filter, View] = {}  # values are replaced as a whole, so threads need no lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._names} in {self._database.name}>"

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        distinct = dict.fromkeys(entries)
        if not distinct:
            return
        kinds, refs, queues, priorities, preferred = zip(*distinct, strict=True)
        with self._session() as raw:
            self._rows(
                raw,
                self._statements.enqueue,
                _array(kind.value for kind in kinds),
                _array(ref.hex for ref in refs),
                list(queues),
                _array(map(str, priorities)),
                _array("NULL" if worker is None else worker.hex for worker in preferred),
                _seconds_of(delay),
                self._database.is_settled(raw),
                self.wakeup,
            )

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        filter_ = Filter(bool(queues), tuple(sorted(queues or exclude)))
        with self._session() as raw:
            view = self._view(raw, filter_)
            rows = self._rows(
                raw,
                self._statements.claim,
                worker_id,
                max(limits.get(EntryKind.RUN, 0), 0),
                max(limits.get(EntryKind.ACTIVITY, 0), 0),
                _ranges(view.frontier.ranges(RUNS)),
                _ranges(view.frontier.ranges(ACTIVITIES)),
                filter_.is_named,
                list(filter_.queues),
                self._lease,
                self._preference,
                self._database.is_settled(raw),
            )
        if rows:
            self._remember(filter_, replace(view, frontier=view.frontier.with_ranks(row[0] for row in rows)))
        return [Claim(_entry(row[2:7]), Handle(worker_id, row[1], row[7]), row[7]) for row in rows]

    def complete(self, claims: Collection[Claim]) -> None:
        if claims:
            with self._session() as raw:
                self._rows(raw, self._statements.complete, *_handles(claims))

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        if claims:
            with self._session() as raw:
                self._rows(raw, self._statements.release, *_handles(claims), _seconds_of(delay), self.wakeup)

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        if not worker_ids:
            return []
        ids, private = _array(worker.hex for worker in worker_ids), [private_queue(worker) for worker in worker_ids]
        with self._session() as raw:
            rows = self._rows(raw, self._statements.release_dead, ids, private, DEFAULT_QUEUE, self.wakeup)
        return [_entry(row) for row in rows]

    def stats(self) -> list[QueueStats]:
        with self._session() as raw:
            rows = self._rows(raw, self._statements.stats)
        return [
            QueueStats(
                queue=queue,
                ready=ready,
                claimed=claimed,
                delayed=delayed,
                oldest_ready=None if oldest is None else timedelta(seconds=oldest),
            )
            for queue, ready, claimed, delayed, oldest in rows
        ]

    def audited(self) -> Iterator[AuditedEntry]:
        last = 0
        while rows := self._audited_behind(last):
            for number, *entry, worker, is_delayed in rows:
                last = number
                state = EntryState.CLAIMED if worker else EntryState.DELAYED if is_delayed else EntryState.READY
                yield AuditedEntry(_entry(tuple(entry)), state, worker)

    def _audited_behind(self, last: int) -> list[tuple[Any, ...]]:
        with self._session() as raw:
            return self._rows(raw, self._statements.audited, last, AUDITED_AT_ONCE)

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        if not self.wakeup:
            yield
            return
        with listen(self._database.connect, self._names.channel, wake):
            yield

    def setup(self) -> list[str]:
        """Make or upgrade the table; answers what was done. Again, or twice at once, is fine."""
        with self._database.use() as raw:
            return set_up(raw, self._names)

    def close(self) -> None:
        """Close idle connections of the queue's own; the next call opens new ones."""
        self._database.close()

    def diagnose(self) -> list[Finding]:
        return list(examine(self._database, self._names, is_loud=self.wakeup))

    def grants(self, duty: Duty) -> list[str]:
        with self._session() as raw:
            return grants(raw, self._names, duty)

    # Inside

    @contextmanager
    def _session(self) -> Iterator[Raw]:
        with self._database.use() as raw:
            try:
                if not self._is_checked:
                    check(raw, self._names)
                    self._is_checked = True
                yield raw
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
                self._is_checked = False
                raise ConfigurationError(
                    f"The Postgres queue's table {self._names} is gone, or too old. {SET_UP}"
                ) from error
            except psycopg.errors.InsufficientPrivilege as error:
                raise ConfigurationError(
                    f"The Postgres queue may not use what it needs: {error.diag.message_primary}. Its user wants "
                    f"SELECT, INSERT, UPDATE and DELETE on {self._names}, and SELECT and UPDATE on the sequence "
                    f"{self._names}_bell."
                ) from error

    def _rows(self, raw: Raw, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        # A cursor of our own: somebody else's connection may make rows of another kind.
        with Cursor(raw, row_factory=tuple_row) as cursor:
            cursor.execute(sql.SQL(statement), params)
            return cursor.fetchall()

    def _view(self, raw: Raw, filter_: Filter) -> View:
        now = time.monotonic()
        view = self._views.get(filter_)
        if view is None or now - view.begun_at > FORGET_AFTER:
            view = View(begun_at=now)
        # Within a transaction, what it writes itself is neither running nor over.
        if view.is_stale(now) and self._database.is_settled(raw):
            view = replace(view, frontier=self._survey(raw, view.frontier, filter_), surveyed_at=now)
            self._remember(filter_, view)
        return view

    def _survey(self, raw: Raw, frontier: Frontier, filter_: Filter) -> Frontier:
        ranges = frontier.ranges(RUNS) + frontier.ranges(ACTIVITIES)
        rows = self._rows(raw, self._statements.survey, _ranges(ranges), filter_.is_named, list(filter_.queues))
        found, snapshots, servers = zip(*rows, strict=True)
        return frontier.moved(found, Snapshot.parse(snapshots[0], servers[0]))

    def _remember(self, filter_: Filter, view: View) -> None:
        if len(self._views) >= MOST_VIEWS and filter_ not in self._views:
            self._views.clear()
        self._views[filter_] = view


def _database(dsn: str | None, connection: StoreConnection | None) -> Database:
    if dsn is not None:
        return OwnDatabase(dsn)
    if connection is not None:
        return StoreDatabase(connection)
    raise ConfigurationError(
        "The Postgres queue has no database: the store has none to share, so name one: "
        '"OPTIONS": {"dsn": "postgresql://user:password@host:5432/name"}'
    )


def _seconds(option: str, value: float | timedelta) -> float:
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise ConfigurationError(
            f'The option "{option}" of the Postgres queue is {value!r}: it should be seconds, over 0.'
        )
    return float(seconds)


def _seconds_of(delay: timedelta | None) -> float:
    return 0.0 if delay is None else max(delay.total_seconds(), 0.0)


# Values. Literals of arrays take a third of the time of the driver's; only names of queues may hold anything.


def _array(items: Iterable[str]) -> str:
    return f"{{{','.join(items)}}}"


def _ranges(ranges: Iterable[Range]) -> str:
    return _array(f"{{{start},{end}}}" for start, end in ranges)


def _handles(claims: Iterable[Claim]) -> tuple[str, str, str]:
    handles = sorted(claim.handle for claim in claims)  # in one order, whoever locks them
    return (
        _array(handle.worker.hex for handle in handles),
        _array(str(handle.id) for handle in handles),
        _array(str(handle.number) for handle in handles),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    kind, ref, queue, priority, preferred = row
    return Entry(EntryKind(kind), ref, queue, priority, preferred)
