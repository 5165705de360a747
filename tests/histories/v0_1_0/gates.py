"""Files that code of the stories waits for, and that whoever drives a story opens."""

from __future__ import annotations

import os
import time
from pathlib import Path

PATIENCE = 60.0  # seconds


def _file(name: str) -> Path:
    return Path(os.environ["DURABLE_TEST_LEDGER"], f"{name}.gate")


def open_gate(name: str) -> None:
    _file(name).touch()


def is_open(name: str) -> bool:
    return _file(name).exists()


def pass_gate(name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_open(name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {name!r}")
        time.sleep(0.005)
