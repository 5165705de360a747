"""The queue in the store's own database.

An entry is ready from `visible_at` on. A claim puts `visible_at` off to the end of its lease and counts a delivery, so
an entry whose worker died is ready again by itself, and the count is the claim's token. Nothing is unique: a conflict
would have to wait for somebody's long transaction, and the worker merges duplicates anyway.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, Error

from django_durable.roles import find
from django_durable.store.database import Database, hex_of, instant, uuid, uuid_or_none
from django_durable.wakeup import is_listening_possible, watch_postgres, watch_sqlite
from durable_core.errors import StoreUnavailable
from durable_core.ports import (
    DEFAULT_QUEUE,
    LEASE,
    PREFERENCE,
    PRIVATE,
    AuditedEntry,
    Claim,
    Duty,
    Entry,
    EntryKind,
    EntryState,
    Finding,
    Level,
    QueueStats,
    private_queue,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from uuid import UUID

    from django_durable.store.database import Row
    from django_durable.store.dialect import Dialect

logger = logging.getLogger("durable.queue")

ENTRY = "django_durable_queueentry"
CHANNEL = ENTRY  # of NOTIFY
AUDITED_AT_ONCE = 5_000  # entries in memory while an audit reads them


class Handle(NamedTuple):
    id: int
    token: int  # deliveries at the time of the claim


# One more; a number that somebody has written there must not make every claim overflow.
_COUNTED = "CASE WHEN deliveries < 2147483647 THEN deliveries + 1 ELSE deliveries END"

# Columns and their types, as they are told to Postgres.
NEW_ENTRY = {
    "kind": "text",
    "ref": "uuid",
    "queue": "text",
    "priority": "smallint",
    "preferred": "uuid",
    "visible_at": "timestamptz",
    "deliveries": "int",
}


class Statements:
    def __init__(self, d: Dialect) -> None:
        names = d.among.replace("uuid", "text")
        self.insert = d.insert(ENTRY, NEW_ENTRY)
        # What a worker may have of a kind.
        # Parameters: kind, now, a second ago, worker, queues or excluded queues, limit.
        ready = (
            f"SELECT id FROM {ENTRY} WHERE kind = %s AND visible_at <= {d.by_now} AND (preferred IS NULL "
            f"OR deliveries > 0 OR visible_at <= {d.instant} OR preferred = {d.uuid})"
        )
        order = f"ORDER BY priority DESC, id LIMIT %s {d.own_free}"
        claim = (
            f"UPDATE {ENTRY} SET worker_id = {d.uuid}, visible_at = {d.instant}, deliveries = {_COUNTED} "
            f"WHERE id {d.one_of('SELECT id FROM a UNION ALL SELECT id FROM b')} "
            "RETURNING id, kind, ref, queue, priority, preferred, deliveries"
        )
        # The same, in a transaction of its own: a claim that a crash of the server loses is ready again, so it need not
        # wait for the disk. What its worker commits later is written behind it, and not without it.
        claim_alone = f"{claim}, {d.without_waiting}" if d.without_waiting else claim
        # Both kinds at once, by whether queues are named or excluded.
        # Parameters: twice those of *ready*, then worker and end of the lease.
        self.claim: dict[tuple[bool, bool], str] = {}
        self.peek: dict[bool, str] = {}
        public = f"substr(queue, 1, {len(PRIVATE)}) <> '{PRIVATE}'"
        for named, of_queues in ((True, f"queue {names}"), (False, f"NOT queue {names} AND {public}")):
            one = f"{ready} AND {of_queues} {order}"
            self.claim[named, False] = f"WITH a AS ({one}), b AS ({one}) {claim}"
            self.claim[named, True] = f"WITH a AS ({one}), b AS ({one}) {claim_alone}"
            # The same, only to look.
            self.peek[named] = f"WITH a AS ({one}), b AS ({one}) SELECT id FROM a UNION ALL SELECT id FROM b LIMIT 1"
        self.delete = d.delete(ENTRY, {"id": "bigint", "deliveries": "int"})
        self.release = d.update(
            ENTRY,
            {"id": "bigint", "deliveries": "int", "visible_at": "timestamptz"},
            "worker_id = NULL, visible_at = v.visible_at",
            f"AND {ENTRY}.deliveries = v.deliveries",
        )
        # Parameters: now, workers, now
        self.release_dead = (
            f"UPDATE {ENTRY} SET worker_id = NULL, visible_at = {d.instant} WHERE id IN (SELECT id FROM {ENTRY} "
            f"WHERE worker_id {d.among} AND visible_at > {d.instant} ORDER BY id {d.own_free}) "
            "RETURNING kind, ref, queue, priority, preferred"
        )
        # Parameters: the new queue, the private ones.
        self.make_public = f"UPDATE {ENTRY} SET queue = %s WHERE queue {names}"
        # A claim whose lease is over counts as ready. One of an unknown kind is claimed by nobody.
        kinds = ", ".join(f"'{kind.value}'" for kind in EntryKind)
        self.stats = (
            "SELECT queue, SUM(CASE WHEN known AND ready THEN 1 ELSE 0 END), "
            "SUM(CASE WHEN known AND NOT ready AND worker_id IS NOT NULL THEN 1 ELSE 0 END), "
            "SUM(CASE WHEN known AND NOT ready AND worker_id IS NULL THEN 1 ELSE 0 END), "
            "MIN(CASE WHEN known AND ready AND visible_at > '1970-01-01' THEN visible_at END), "
            "SUM(CASE WHEN known THEN 0 ELSE 1 END) "
            f"FROM (SELECT queue, worker_id, visible_at, kind IN ({kinds}) AS known, "
            f"visible_at <= {d.instant} AS ready FROM {ENTRY}) entries GROUP BY queue ORDER BY queue"
        )
        # A page of entries. Parameters: now, the last one's id, limit.
        self.audited = (
            f"SELECT id, kind, ref, queue, priority, preferred, worker_id, visible_at <= {d.instant} FROM {ENTRY} "
            "WHERE id > %s ORDER BY id LIMIT %s"
        )


class DatabaseTaskQueue:
    """`TaskQueue` on ``connections[alias]``, in the store's transactions.

    *notify* False leaves out LISTEN and NOTIFY on Postgres: workers then find new entries by polling alone.
    """

    def __init__(
        self,
        alias: str = DEFAULT_DB_ALIAS,
        *,
        notify: bool = True,
        lease: timedelta = timedelta(seconds=LEASE),
        preference: timedelta = timedelta(seconds=PREFERENCE),
    ) -> None:
        self.db = Database(alias)
        self._notify = notify
        self.transactional = True
        self.wakeup = self._hears_of_others()
        self._lease = lease
        self._preference = preference

    @cached_property
    def sql(self) -> Statements:
        return Statements(self.db.dialect)

    def _hears_of_others(self) -> bool:
        connection: Any = self.db.connection
        return not connection.is_in_memory_db() if connection.vendor == "sqlite" else self._notify

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        visible_at = self.db.at(self.db.now() + (delay or timedelta()))
        rows = [
            (kind.value, ref.hex, queue, priority, hex_of(preferred), visible_at, 0)
            for kind, ref, queue, priority, preferred in entries
        ]
        if rows:
            with self.db.transaction():
                self.db.run_many(self.sql.insert, rows)
                self._wake(delay)

    def _wake(self, delay: timedelta | None) -> None:
        if not delay and self._notify and self.db.dialect.notify:
            self.db.run(self.db.dialect.notify, CHANNEL)

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        now = self.db.now()
        nobodys = self.db.at(now - self._preference)
        text, names, named = self.db.at(now), self.db.texts(queues or exclude), bool(queues)
        wanted: list[Any] = []
        for kind in EntryKind:
            wanted += (kind.value, text, nobodys, worker_id.hex, names, max(limits.get(kind, 0), 0))
        # A read first: an idle worker must not take SQLite's write lock several times a second.
        if self.db.dialect.peeks and not self.db.rows(self.sql.peek[named], *wanted):
            return []
        until = self.db.at(now + self._lease)
        taken = self.db.rows(self.sql.claim[named, not self.db.in_transaction()], *wanted, worker_id.hex, until)
        claims = [_claim_of(row) for row in taken]
        if unreadable := [row for row, claim in zip(taken, claims, strict=True) if claim is None]:
            self._discard(unreadable)
        # Highest priority first, then oldest; UPDATE answers in any order.
        return sorted(filter(None, claims), key=lambda claim: (-claim.entry.priority, claim.handle.id))

    def _discard(self, unreadable: Iterable[Row]) -> None:
        """What somebody else has written into the table must be in nobody's way."""
        for number, *_ in unreadable:
            logger.error("unreadable entry %s is thrown away", number)
        with self.db.transaction():
            self.db.run_many(self.sql.delete, sorted((row[0], row[6]) for row in unreadable))

    def complete(self, claims: Collection[Claim]) -> None:
        if claims:
            with self.db.transaction():
                self.db.run_many(self.sql.delete, sorted(claim.handle for claim in claims))

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        if claims:
            visible_at = self.db.at(self.db.now() + (delay or timedelta()))
            with self.db.transaction():
                self.db.run_many(self.sql.release, sorted((*claim.handle, visible_at) for claim in claims))
                self._wake(delay)

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        if not worker_ids:
            return []
        with self.db.transaction():
            now = self.db.stamp()
            private = self.db.texts(private_queue(worker_id) for worker_id in worker_ids)
            self.db.run(self.sql.make_public, DEFAULT_QUEUE, private)
            released = self.db.rows(self.sql.release_dead, now, self.db.ids(worker_ids), now)
            return [entry for row in released if (entry := _read(row)) is not None]

    def stats(self) -> list[QueueStats]:
        now = self.db.now()
        return [
            QueueStats(
                queue=queue,
                ready=int(ready),
                claimed=int(claimed),
                delayed=int(delayed),
                oldest_ready=None if (since := instant(oldest)) is None else now - since,
                dead=int(dead),
            )
            for queue, ready, claimed, delayed, oldest, dead in self.db.rows(self.sql.stats, self.db.at(now))
        ]

    def audited(self) -> Iterator[AuditedEntry]:
        now, last = self.db.at(self.db.now()), 0
        while rows := self.db.rows(self.sql.audited, now, last, AUDITED_AT_ONCE):
            for number, *entry, worker_id, is_ready in rows:
                last = number
                yield _audited_of(_entry_of(tuple(entry)), uuid_or_none(worker_id), is_ready=bool(is_ready))

    def diagnose(self) -> list[Finding]:
        connection: Any = self.db.connection
        try:
            self.stats()
        except (StoreUnavailable, Error) as error:
            return [Finding(Level.PROBLEM, "queue", f"cannot be asked: {error}".strip())]
        words = f"in database {self.db.alias!r}"
        if connection.vendor == "sqlite" or not self._notify:
            how = "watching the file" if self.wakeup else "polling alone"
            return [Finding(Level.OK, "queue", f"{words}; workers hear of entries by {how}")]
        if is_listening_possible(connection):
            return [Finding(Level.OK, "queue", f"{words}; workers hear of entries by LISTEN and NOTIFY")]
        return [
            Finding(
                Level.WARNING,
                "queue",
                f"{words}; what is sent by NOTIFY does not arrive, so workers find entries by polling, once per tick",
                'Is there a pooler that pools transactions? Then save the attempt: OPTIONS = {"notify": False}.',
            )
        ]

    def grants(self, duty: Duty) -> list[str]:
        rights = {Duty.WORK: "SELECT, INSERT, UPDATE, DELETE", Duty.CALL: "INSERT", Duty.LOOK: "SELECT"}
        return [f"{rights[duty]} ON TABLE {find(self.db.connection, ENTRY)}"]

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        if not self.wakeup:
            yield
            return
        connection: Any = self.db.connection
        watcher = watch_sqlite if connection.vendor == "sqlite" else watch_postgres
        with watcher(connection, wake):
            yield


def _claim_of(row: Row) -> Claim | None:
    entry = _read(row[1:6])
    return None if entry is None else Claim(entry, Handle(row[0], row[6]), row[6])


def _read(row: Row) -> Entry | None:
    """None for a row that no `enqueue` has written: SQLite keeps any text in any column."""
    try:
        entry = _entry_of(row)
    except (ValueError, TypeError):
        return None
    return entry if isinstance(row[3], int) else None


def _audited_of(entry: Entry, worker_id: UUID | None, *, is_ready: bool) -> AuditedEntry:
    if is_ready:  # a claim whose lease is over counts as ready
        return AuditedEntry(entry, EntryState.READY, None)
    return AuditedEntry(entry, EntryState.DELAYED if worker_id is None else EntryState.CLAIMED, worker_id)


def _entry_of(row: Row) -> Entry:
    return Entry(EntryKind(row[0]), uuid(row[1]), row[2], row[3], uuid_or_none(row[4]))
