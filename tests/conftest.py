"""Django, set up once for each process of a test run, on a database file of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import django
import pytest

from tests.promises import pytest_configure, pytest_itemcollected

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_file", "pytest_configure", "pytest_itemcollected"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
django.setup()


@pytest.fixture(scope="session", autouse=True)
def own_file() -> Iterator[None]:
    """Leave nothing in the directory of temporary files."""
    yield
    for suffix in ("", "-wal", "-shm"):
        Path(tempfile.gettempdir(), f"durable-tests-{os.getpid()}.sqlite3{suffix}").unlink(missing_ok=True)
