"""Every test here runs on both databases, unless it names one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from tests.store.databases import database, empty


@pytest.fixture(scope="session")
def sqlite_alias(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database("sqlite", tmp_path_factory) as alias:
        yield alias


@pytest.fixture(scope="session")
def postgres_alias(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database("postgres", tmp_path_factory) as alias:
        yield alias


@pytest.fixture(params=["sqlite", "postgres"])
def alias(request: pytest.FixtureRequest) -> str:
    """A database with nothing in it."""
    name: str = request.getfixturevalue(f"{request.param}_alias")
    empty(name)
    return name


@pytest.fixture
def sqlite(sqlite_alias: str) -> str:
    empty(sqlite_alias)
    return sqlite_alias


@pytest.fixture
def postgres(postgres_alias: str) -> str:
    empty(postgres_alias)
    return postgres_alias


@pytest.fixture
def store(alias: str) -> DjangoHistoryStore:
    return DjangoHistoryStore(alias)


@pytest.fixture
def queue(alias: str) -> DatabaseTaskQueue:
    return DatabaseTaskQueue(alias)
