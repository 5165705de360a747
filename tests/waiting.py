"""Waiting for a condition: what tests do instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 30.0  # seconds; generous, because the machines of CI are slow and shared


def wait_until(
    condition: Callable[[], T | None], what: str | Callable[[], str] = "", *, patience: float = PATIENCE
) -> T:
    """The first truthy answer of *condition*. Fails the test when there is none in time."""
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            text = what() if callable(what) else what or condition
            raise AssertionError(f"waited {patience} s in vain for {text}; the last answer was {answer!r}")
        time.sleep(0.01)
