"""The Django face is tested in this process, on its own database, and in subprocesses on the same one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from tests.harness import Project
from tests.project.app.models import Order
from tests.store.databases import empty


@pytest.fixture(scope="session", autouse=True)
def _migrated() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _emptied(_migrated: None) -> None:
    empty("default")
    Order.objects.all().delete()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Commands and workers of real processes, on this process's database."""
    quick = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}
    url = os.environ.get("DURABLE_TEST_DB") or f"sqlite:{connections['default'].settings_dict['NAME']}"
    return Project(url, tmp_path, quick)
