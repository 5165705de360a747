"""A plugin of pytest that writes down how each test ended: a line of JSON, as soon as it is known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

REPORT = "DURABLE_TEETH_REPORT"  # the file's path


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # What goes wrong around a test (a server that does not start, for instance) proves nothing about the code.
    if report.when == "call":
        with Path(os.environ[REPORT]).open("a") as file:
            file.write(json.dumps([report.nodeid, report.outcome]) + "\n")
