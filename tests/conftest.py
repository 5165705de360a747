"""Django, set up once for each process of a test run, on a database file of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import django
import pytest
from django.conf import settings

from tests.promises import pytest_configure, pytest_itemcollected

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_file", "own_settings", "pytest_configure", "pytest_itemcollected"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
django.setup()
SETTINGS = settings.DURABLE


@pytest.fixture(scope="session", autouse=True)
def own_file() -> Iterator[None]:
    """Leave nothing in the directory of temporary files."""
    yield
    for suffix in ("", "-wal", "-shm"):
        Path(tempfile.gettempdir(), f"durable-tests-{os.getpid()}.sqlite3{suffix}").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def own_settings() -> None:
    """What lives longer than a test keeps no settings: the next test of the process may be anybody's.

    Which one it is, is up to xdist and the speed of the machine.
    """
    assert settings.DURABLE is SETTINGS, "a fixture of a module or of the session has left its settings behind"
