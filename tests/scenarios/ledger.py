"""What scenarios leave behind outside of any transaction: effects, and gates that tests open."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "DURABLE_TEST_LEDGER"  # a folder


def folder() -> Path:
    return Path(os.environ[VARIABLE])


def note(key: str, text: str = "") -> int:
    """Append a line to the effects of *key*; how many there are now."""
    path = folder() / f"{key}.effects"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{os.getpid()} {text}\n".encode())
    finally:
        os.close(descriptor)
    return len(effects(key))


def effects(key: str) -> list[str]:
    """The lines that were noted for *key*: pid and text."""
    path = folder() / f"{key}.effects"
    return path.read_text().splitlines() if path.exists() else []


def open_gate(key: str) -> None:
    (folder() / f"{key}.gate").touch()


def is_open(key: str) -> bool:
    return (folder() / f"{key}.gate").exists()


def pass_gate(key: str, patience: float = 60.0) -> None:
    """Wait until a test opens the gate."""
    _wait_until(lambda: is_open(key), f"nobody opened the gate {key!r}", patience)


def meet(key: str, parties: int, patience: float = 60.0) -> None:
    """Wait until so many processes have come here."""
    note(key)
    came = f"not all of {parties} processes came to {key!r}"
    _wait_until(lambda: len({line.split()[0] for line in effects(key)}) >= parties, came, patience)


def _wait_until(condition: Callable[[], bool], what_if_not: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what_if_not)
        time.sleep(0.005)
