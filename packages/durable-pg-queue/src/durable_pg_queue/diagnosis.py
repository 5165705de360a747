"""What `durable_doctor` is told of the queue's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from durable_core.ports import Finding, Level
from durable_pg_queue.schema import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import LiteralString

    from durable_pg_queue.database import Database, Raw
    from durable_pg_queue.schema import Names

LEAST = 150_000
PATIENCE = 2.0  # seconds for a notification, which takes a millisecond
DEAD_ROWS = 50_000  # vacuum begins at 2,000
OLD = 600  # seconds for which a transaction may be open


def examine(database: Database, names: Names, *, is_loud: bool) -> Iterator[Finding]:
    try:
        with database.use() as raw:
            yield from _server(raw, database)
            check(raw, names)
            yield from _table(raw, names)
            yield from _snapshots(raw)
        if is_loud:
            yield _wake_ups(database)
    except Exception as error:  # noqa: BLE001 - the store's connection has errors of its own, and all are findings
        yield Finding(Level.PROBLEM, "queue", str(error).strip())


def _server(raw: Raw, database: Database) -> Iterator[Finding]:
    [(version, fsync, pages, synchronous)] = _rows(
        raw,
        "SELECT current_setting('server_version_num')::integer, current_setting('fsync'), "
        "current_setting('full_page_writes'), current_setting('synchronous_commit')",
    )
    name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < LEAST:
        yield Finding(Level.PROBLEM, "queue", f"{database.name} is {name}", "PostgreSQL 15 or newer is needed.")
    else:
        yield Finding(Level.OK, "queue", f"{database.name} ({name}) answers")
    if "off" in (fsync, pages):
        yield Finding(
            Level.WARNING,
            "queue durability",
            f"fsync is {fsync}, full_page_writes is {pages}",
            "A power cut may destroy the whole server's data: turn both on.",
        )
    elif synchronous == "off" and database.transactional:
        yield Finding(
            Level.WARNING,
            "queue durability",
            "synchronous_commit is off",
            "A crash of the server may lose the last commits, those of the store too.",
        )
    else:
        yield Finding(Level.OK, "queue durability", f"fsync is on, synchronous_commit is {synchronous}")


def _table(raw: Raw, names: Names) -> Iterator[Finding]:
    [(dead, live, size, vacuumed, is_enabled)] = _rows(
        raw,
        "SELECT n_dead_tup, n_live_tup, pg_size_pretty(pg_total_relation_size(relid)), "
        "extract(epoch FROM clock_timestamp() - GREATEST(last_autovacuum, last_vacuum))::double precision, "
        "current_setting('autovacuum') = 'on' AND NOT EXISTS (SELECT FROM pg_class WHERE oid = relid "
        "AND 'autovacuum_enabled=false' = ANY (reloptions)) "
        "FROM pg_stat_user_tables WHERE relid = to_regclass(%s)",
        names.quoted,
    )
    when = "never yet" if vacuumed is None else f"{vacuumed / 60:.0f} minutes ago"
    found = f"{names} has {live:,} rows and {dead:,} dead ones in {size}, vacuumed {when}"
    if not is_enabled:
        hint = "It grows with every entry, and claims get slower: turn autovacuum on."
        yield Finding(Level.PROBLEM, "queue table", f"autovacuum is off; {found}", hint)
    elif dead > DEAD_ROWS and dead > live:
        hint = f"Is an old transaction open, or autovacuum short of workers? VACUUM {names} helps at once."
        yield Finding(Level.WARNING, "queue table", found, hint)
    else:
        yield Finding(Level.OK, "queue table", found)


def _snapshots(raw: Raw) -> Iterator[Finding]:
    """What keeps vacuum from removing dead rows; of other users' sessions only a superuser sees the age."""
    holders = _rows(
        raw,
        "SELECT * FROM ("
        "SELECT format('backend %%s (%%s, %%s)', pid, application_name, state), "
        "extract(epoch FROM clock_timestamp() - xact_start)::double precision AS age FROM pg_stat_activity "
        "WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' UNION ALL "
        "SELECT format('prepared transaction %%L', gid), extract(epoch FROM clock_timestamp() - prepared) "
        "FROM pg_prepared_xacts) holders WHERE age > %s ORDER BY age DESC LIMIT 3",
        OLD,
    )
    for holder, age in holders:
        yield Finding(
            Level.WARNING,
            "queue vacuum",
            f"{holder} holds a snapshot of {age / 60:.0f} minutes ago",
            "Nothing that died since can be removed, and the table grows until it ends.",
        )
    if not holders:
        yield Finding(Level.OK, "queue vacuum", f"nobody holds a snapshot older than {OLD // 60} minutes")


def _wake_ups(database: Database) -> Finding:
    """Whether a notification gets through."""
    channel = f"durable_probe_{uuid4().hex}"
    with database.connect() as listener, database.connect() as sender:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        sender.execute("SELECT pg_notify(%s, '')", [channel])
        heard = any(True for _ in listener.notifies(timeout=PATIENCE, stop_after=1))
    if heard:
        return Finding(Level.OK, "queue wake-ups", "a notification gets through")
    return Finding(
        Level.WARNING,
        "queue wake-ups",
        f"no notification within {PATIENCE:.0f} s",
        "Behind a pooler of transactions (PgBouncer) none ever comes, and workers find entries by polling, once per "
        "tick. Connect to the server itself, or leave the listening out with the option notify=False.",
    )


def _rows(raw: Raw, statement: LiteralString, *params: Any) -> list[tuple[Any, ...]]:
    with Cursor(raw, row_factory=tuple_row) as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall()
