"""The same on Postgres: Django's settings name one database per process, so this is another process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness import ROOT
from tests.servers import postgres, run_directory


@pytest.mark.parametrize("module", ["test_api", "test_commands", "test_admin", "test_operations"])
def test_on_postgres(module, tmp_path_factory):
    # Not the variables of pytest and xdist: they would make that process take itself for a part of this run.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with postgres(shared=run_directory(tmp_path_factory)) as server, server.database() as database:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", f"tests/django/{module}.py"],
            cwd=ROOT,
            env={**inherited, "DURABLE_TEST_DB": database.url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout
