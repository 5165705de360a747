"""The store's database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from django_durable.conf import conf
from django_durable.store.database import Database
from django_durable.store.sql.tables import EVENT, MAIL, RUN, TASK
from django_durable.wording import span_in_words
from durable_core.ports import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "django_durable"
ENTRY = "django_durable_queueentry"
SLOW = 0.1  # seconds for a statement that does nothing
SKEW = timedelta(seconds=2)  # between this host's clock and the database's
OLD_SNAPSHOT = timedelta(minutes=10)  # vacuum removes nothing that such a transaction might still see
DEAD_ROWS = 50_000  # autovacuum begins at 2,000 in the tables that live fast
LEAST_POSTGRES = 150_000


def examine() -> Iterator[Finding]:
    alias = conf().database
    connection: Any = connections[alias]
    _ = Database(alias).dialect  # raises for one we have no SQL for
    yield from _connectivity(connection, alias)
    yield from _migrations(connection, alias)
    if connection.vendor == "postgresql":
        yield from _clock(connection)
        yield from _vacuum(connection)
        yield from _snapshots(connection)
    else:
        yield from _pragmas(connection)


def _connectivity(connection: Any, alias: str) -> Iterator[Finding]:
    connection.ensure_connection()
    began = time.perf_counter()
    _rows(connection, "SELECT 1")
    took = time.perf_counter() - began
    if connection.vendor == "postgresql":
        version = connection.pg_version
        name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
        if version < LEAST_POSTGRES:
            yield Finding(
                Level.PROBLEM, "database", f"{alias!r} is {name}", "Django Durable needs PostgreSQL 15 or newer."
            )
    else:
        name = f"SQLite {connection.Database.sqlite_version}"
    level = Level.WARNING if took > SLOW else Level.OK
    yield Finding(level, "database", f"{alias!r} ({name}) answers in {took * 1000:.1f} ms")


def _migrations(connection: Any, alias: str) -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP]
    missing = [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(leaves)]
    if missing:
        hint = f"python manage.py migrate --database {alias}"
        yield Finding(Level.PROBLEM, "migrations", f"not applied: {', '.join(missing)}", hint)
    else:
        yield Finding(Level.OK, "migrations", "applied")


def _clock(connection: Any) -> Iterator[Finding]:
    before = datetime.now(UTC)
    [(at,)] = _rows(connection, "SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8")
    after = datetime.now(UTC)
    theirs = datetime.fromtimestamp(at, UTC)
    skew = theirs - after if theirs > after else before - theirs if theirs < before else timedelta()
    words = f"the database's clock and this host's are {span_in_words(skew)} apart"
    if skew > SKEW:
        yield Finding(
            Level.WARNING,
            "clock",
            words,
            "Timers follow the database's. Log lines of this host do not: run NTP on both.",
        )
    else:
        yield Finding(Level.OK, "clock", words)


def _vacuum(connection: Any) -> Iterator[Finding]:
    [(enabled,)] = _rows(connection, "SELECT current_setting('autovacuum')")
    if enabled != "on":
        yield Finding(
            Level.PROBLEM, "vacuum", "autovacuum is off", "Queue and mail get slower with every entry: turn it on."
        )
    lagging = [
        f"{table} ({dead:,} dead, {live:,} live rows)"
        for table, dead, live in _rows(
            connection,
            "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables "
            f"WHERE relname IN ('{RUN}', '{EVENT}', '{TASK}', '{MAIL}', '{ENTRY}') "
            f"AND n_dead_tup > {DEAD_ROWS} AND n_dead_tup > n_live_tup ORDER BY relname",
        )
    ]
    if lagging:
        hint = "Is an old transaction open, or autovacuum short of workers? VACUUM of these tables helps at once."
        yield Finding(Level.WARNING, "vacuum", f"lags behind: {', '.join(lagging)}", hint)
    elif enabled == "on":
        yield Finding(Level.OK, "vacuum", "keeps up")


def _snapshots(connection: Any) -> Iterator[Finding]:
    rows = _rows(
        connection,
        "SELECT pid, COALESCE(application_name, ''), state, EXTRACT(EPOCH FROM clock_timestamp() - xact_start)::float8 "
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        f"AND clock_timestamp() - xact_start > interval '{OLD_SNAPSHOT.total_seconds():.0f} s' "
        "ORDER BY xact_start LIMIT 3",
    )
    for pid, name, state, seconds in rows:
        yield Finding(
            Level.WARNING,
            "transactions",
            f"backend {pid} {name!r} has had one open for {span_in_words(timedelta(seconds=seconds))} ({state})",
            "Vacuum cannot remove what it might still see, and runs that it signaled wait for it.",
        )
    if not rows:
        yield Finding(Level.OK, "transactions", f"none is open for over {span_in_words(OLD_SNAPSHOT)}")


def _pragmas(connection: Any) -> Iterator[Finding]:
    if connection.is_in_memory_db():
        yield Finding(Level.WARNING, "SQLite", "the database is in memory", "No other process sees it: name a file.")
        return
    [(mode,)] = _rows(connection, "PRAGMA journal_mode")
    [(patience,)] = _rows(connection, "PRAGMA busy_timeout")
    [(synchronous,)] = _rows(connection, "PRAGMA synchronous")
    if mode.lower() != "wal":
        yield Finding(
            Level.PROBLEM,
            "SQLite",
            f"journal_mode is {mode}",
            "Readers and writers stop each other: PRAGMA journal_mode=WAL",
        )
    if patience < 1_000:
        yield Finding(
            Level.PROBLEM,
            "SQLite",
            f"busy_timeout is {patience} ms",
            'Writers meet "database is locked": OPTIONS = {"timeout": 20}',
        )
    if synchronous == 0:
        yield Finding(
            Level.WARNING, "SQLite", "synchronous is OFF", "A power cut may destroy the file: PRAGMA synchronous=NORMAL"
        )
    if mode.lower() == "wal" and patience >= 1_000 and synchronous:
        yield Finding(Level.OK, "SQLite", f"journal_mode WAL, busy_timeout {patience} ms, synchronous {synchronous}")


def _rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
