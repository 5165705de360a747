"""Where in user code something is: a file and a line."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import FrameType


_NOT_USERS = ("durable_core.", "contextlib", "asyncio.")  # modules


class Place(NamedTuple):
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def raised_at(error: BaseException) -> Place:
    """The last line of user code on the way to where *error* was raised."""
    place = Place("?", 0)
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not frame.f_globals.get("__name__", "").startswith(_NOT_USERS):
            place = Place(frame.f_code.co_filename, line)
    return place


def caller(innermost: FrameType | None = None) -> Place:
    """Where user code is: the first frame outside this package; of the running code, or from *innermost* outwards."""
    frame: FrameType | None = innermost or sys._getframe(1)  # the only cheap way to ask
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_NOT_USERS):
        frame = frame.f_back
    if frame is None:
        return Place("?", 0)
    return Place(frame.f_code.co_filename, frame.f_lineno)


def suspended_at(work: Any) -> Place:
    """Where a coroutine waits: the innermost line of user code in it."""
    place = Place("?", 0)
    while (frame := getattr(work, "cr_frame", None)) is not None:
        if not frame.f_globals.get("__name__", "").startswith(_NOT_USERS):
            place = Place(frame.f_code.co_filename, frame.f_lineno)
        work = work.cr_await
    return place


def stuck_at(error: BaseException) -> str:
    """A sentence about the line that was interrupted."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f"It was at {frame.filename}:{frame.lineno}." for frame in last)
