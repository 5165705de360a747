"""Migrated databases under aliases of their own, whatever the settings of the test run name."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from tests.servers import postgres, run_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

if not settings.configured:
    settings.configure(
        INSTALLED_APPS=["django_durable"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        USE_TZ=True,
    )
    django.setup()

_numbers = count(1)  # an alias that was given up may still be on somebody's mind
TABLES = (
    "queueentry",
    "mail",
    "message",
    "humantask",
    "historyevent",
    "activitytask",
    "eventvalue",
    "publisheditem",
    "workflowexecution",
    "worker",
)
WAL = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"


@contextmanager
def database(vendor: str, factory: pytest.TempPathFactory) -> Iterator[str]:
    """The alias of a fresh, migrated database."""
    if vendor == "sqlite":
        path = factory.mktemp("sqlite") / "durable.sqlite3"
        with registered(sqlite_settings(path)) as alias:
            call_command("migrate", database=alias, verbosity=0)
            yield alias
        return
    with (
        postgres(shared=run_directory(factory)) as server,
        server.database() as fresh,
        registered(fresh.django()) as alias,
    ):
        call_command("migrate", database=alias, verbosity=0)
        yield alias


def sqlite_settings(path: Path) -> dict[str, Any]:
    """WAL, as the docs ask for; transactions are DEFERRED, as Django has it when nobody says otherwise."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"init_command": WAL}}


@contextmanager
def registered(entry: dict[str, Any]) -> Iterator[str]:
    """An alias for an entry of ``DATABASES``."""
    alias = f"durable_{entry['ENGINE'].rsplit('.', 1)[1]}_{next(_numbers)}"
    default = {"ENGINE": "django.db.backends.dummy"}
    connections.databases[alias] = connections.configure_settings({"default": default, alias: entry})[alias]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.databases[alias]


def empty(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM django_durable_{table}")


@contextmanager
def session(alias: str) -> Iterator[None]:
    """Around what a thread does: connections are per thread, and Postgres drops no database that has one."""
    try:
        yield
    finally:
        connections[alias].close()


def column(alias: str, table: str, name: str, row: Any) -> Any:
    """A stored value, as text."""
    with connections[alias].cursor() as cursor:
        key = row.hex if connections[alias].vendor == "sqlite" else row
        cursor.execute(f"SELECT {name} FROM django_durable_{table} WHERE id = %s", [key])
        return cursor.fetchone()[0]
