"""The table and its functions: made and upgraded by numbered SQL, `versions/1.sql` and so on.

The version is the table's comment. Each step leaves what older code calls in place, so that a deployment may upgrade
the database first and its processes one by one.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from durable_core.errors import ConfigurationError
from durable_core.ports import PRIVATE

if TYPE_CHECKING:
    from durable_pg_queue.database import Raw

VERSION = 1  # the newest
TABLE = re.compile(r"[a-z_][a-z0-9_]{0,44}")  # Postgres has 63 characters, and "_release_dead" and more follow
# Stands in quotes everywhere, and beside placeholders.
SCHEMA = re.compile(r"""[^"'$\\{}%\x00-\x1f\x7f\ud800-\udfff]{1,63}""")
COMMENT = re.compile(r"durable-pg-queue, version (\d+)")
SET_UP = "Run `manage.py durable_queue_setup`, or PostgresTaskQueue.setup()."

QUIET = 10  # ms between two notifications, of all processes together

# What leaves a planner nothing but the indexes. What it thinks of the costs is so wrong then that it would compile a
# claim of a tenth of a millisecond for some hundred.
STEERED = (
    "SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off "
    "SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off"
)


@dataclass(frozen=True)
class Names:
    """Of the table, and of what goes with it. Without a *schema* the search path decides."""

    table: str
    schema: str | None = None

    def __post_init__(self) -> None:
        if not TABLE.fullmatch(self.table):
            raise ConfigurationError(
                f'The option "table" of the Postgres queue is {self.table!r}: it should be a name of small letters, '
                "digits and _ that begins with a letter, 45 characters at most."
            )
        if self.schema is not None and not SCHEMA.fullmatch(self.schema):
            raise ConfigurationError(
                f'The option "schema" of the Postgres queue is {self.schema!r}: it should be the name of a schema.'
            )

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @cached_property
    def quoted(self) -> str:
        return f'"{self.schema}"."{self.table}"' if self.schema else f'"{self.table}"'

    @property
    def channel(self) -> str:
        return self.table  # of the whole database, whatever the schema

    def function(self, what: str) -> str:
        return f'"{self.schema}".{self.table}_{what}' if self.schema else f"{self.table}_{what}"


def check(raw: Raw, names: Names) -> None:
    """Raises `ConfigurationError` if the table is missing or too old. A newer one is fine."""
    version = version_of(raw, names)
    if version is None:
        raise ConfigurationError(f"The Postgres queue has no table {names}. {SET_UP}")
    if version < VERSION:
        raise ConfigurationError(
            f"The table {names} of the Postgres queue has version {version}, and {VERSION} is needed. {SET_UP}"
        )


def version_of(raw: Raw, names: Names) -> int | None:
    """None where there is no such table. Raises `ConfigurationError` for a table that is somebody else's."""
    [(exists, comment)] = _run(
        raw,
        "SELECT to_regclass(%s) IS NOT NULL, obj_description(to_regclass(%s), 'pg_class')",
        names.quoted,
        names.quoted,
    )
    if not exists:
        return None
    if found := COMMENT.fullmatch(comment or ""):
        return int(found[1])
    raise ConfigurationError(
        f"There is a table {names}, and its comment does not say that it is the queue's. Choose another name with the "
        'option "table"; or, if it came out of a dump without comments: '
        f"COMMENT ON TABLE {names.quoted} IS 'durable-pg-queue, version {VERSION}'"
    )


def set_up(raw: Raw, names: Names) -> list[str]:
    """Bring the table to the newest version; answers what was done."""
    # Without autocommit we are in the caller's transaction, also where no statement has begun it.
    with raw.transaction() if raw.autocommit else nullcontext():
        # One at a time, also of those who find no table to lock. Released with the transaction, as poolers want it.
        _run(raw, "SELECT pg_advisory_xact_lock(hashtextextended('durable-pg-queue setup', 0))")
        version = version_of(raw, names) or 0
        steps = range(version + 1, VERSION + 1)
        if not steps:
            return []
        there = located(raw, names)
        if not _run(raw, "SELECT to_regnamespace(%s)", f'"{there.schema}"')[0][0]:
            _run(raw, f'CREATE SCHEMA IF NOT EXISTS "{there.schema}"')
        for step in steps:
            _run(raw, _filled_in(statements_of(step), there))
        _run(raw, f"COMMENT ON TABLE {there.quoted} IS 'durable-pg-queue, version {VERSION}'")
    if version:
        return [f"Upgraded the queue's table {there} from version {version} to {VERSION}."]
    return [f"Made the queue's table {there} (version {VERSION})."]


def located(raw: Raw, names: Names) -> Names:
    """The same names, with their schema."""
    return Names(names.table, names.schema or _schema_of(raw, names))


def _schema_of(raw: Raw, names: Names) -> str:
    """Where the search path leads: to the table if there is one, else to where it would be made."""
    [(schema,)] = _run(
        raw,
        "SELECT coalesce((SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE pg_class.oid = to_regclass(%s)), current_schema())",
        names.quoted,
    )
    if schema is None:
        raise ConfigurationError('No schema of the search_path exists: name one with the option "schema".')
    return str(schema)


@cache
def statements_of(version: int) -> str:
    return (files("durable_pg_queue") / "versions" / f"{version}.sql").read_text()


def _filled_in(statements: str, names: Names) -> str:
    values = {
        "table": names.quoted,
        "schema": f'"{names.schema}"',
        "name": names.table,
        "channel": names.channel,
        "private": PRIVATE,
        "quiet": str(QUIET),
        "steered": STEERED,
    }
    return re.sub(r"\{(\w+)\}", lambda token: values[token[1]], statements)


def _run(raw: Raw, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with Cursor(raw, row_factory=tuple_row) as cursor:
        # Without parameters the driver sends a text of many statements as it is.
        cursor.execute(sql.SQL(statement), params or None)
        return cursor.fetchall() if cursor.description else []
