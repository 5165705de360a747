"""The statements that a thread sends to its database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOCK = "SELECT clock_timestamp()"  # looked at once a second at most, whoever works


@contextmanager
def counted(alias: str) -> Iterator[list[str]]:
    """Those of the block, on this thread's connection."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql != CLOCK:
            seen.append(sql)
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(note):
        yield seen
