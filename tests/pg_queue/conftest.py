"""A migrated database with the queue's table beside the store's, and one with nothing but the queue's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connections

from django_durable.store import DjangoHistoryStore
from durable_pg_queue import PostgresTaskQueue
from tests.servers import postgres, run_directory
from tests.store.databases import database, empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Postgres

TABLE = "durable_queue"
NOWHERE = "postgresql://somebody:s3cr3t@127.0.0.1:1/nothing"  # nobody listens there


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database("postgres", tmp_path_factory) as alias:
        PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection()).setup()
        yield alias


@pytest.fixture
def alias(migrated: str) -> str:
    """Store and queue in one database, with nothing in them."""
    empty(migrated)
    with connections[migrated].cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE}")
    return migrated


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(shared=run_directory(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def prepared(server: Postgres) -> Iterator[Postgres]:
    with server.database() as fresh:
        PostgresTaskQueue(fresh.url).setup()
        yield fresh


@pytest.fixture
def other(prepared: Postgres) -> Postgres:
    """A database with the queue's table, and nothing in it."""
    with psycopg.connect(prepared.url) as raw:
        raw.execute(f"DELETE FROM {TABLE}")
    return prepared


@pytest.fixture
def queue(other: Postgres) -> Iterator[PostgresTaskQueue]:
    """On connections of its own."""
    queue = PostgresTaskQueue(other.url)
    yield queue
    queue.close()


@pytest.fixture
def blank(server: Postgres) -> Iterator[Postgres]:
    """A database without anything."""
    with server.database() as fresh:
        yield fresh
