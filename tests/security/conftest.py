from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests.sites import PAIRS, Site, entered, queue, site_on
from tests.store.databases import database, empty

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["queue"]

DIFFERENT = [pair for pair in PAIRS if pair not in ("postgres-with-other-postgres", "sqlite-with-redis")]


@pytest.fixture(scope="session")
def migrated() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


@pytest.fixture
def here(migrated: None) -> None:
    """The database of this process, with nothing in it."""
    empty("default")


@pytest.fixture(scope="session", params=DIFFERENT)
def open_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory, HEARTBEAT_INTERVAL=0.3, WORKER_TIMEOUT=1.5) as site:
        yield site


@pytest.fixture
def open_site(open_site_on: Site) -> Iterator[Site]:
    """A site on each pair of store and queue, without a worker."""
    with entered(open_site_on) as site:
        yield site


@pytest.fixture(scope="session")
def postgres_alias(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database("postgres", tmp_path_factory) as alias:
        yield alias


@pytest.fixture(params=["sqlite", "postgres"])
def alias(request: pytest.FixtureRequest, here: None) -> Iterator[str]:
    """An empty database, which is the project's."""
    name = "default" if request.param == "sqlite" else request.getfixturevalue("postgres_alias")
    empty(name)
    with override_settings(DURABLE={"DATABASE": name}):
        yield name
    connections[name].close()
