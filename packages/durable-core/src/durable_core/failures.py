"""Exceptions as records: text that survives any exception, and never becomes a class again.

A record is ``{"type", "bases", "message", "traceback", "attempt", "cause"}``; *cause* is the next record of the chain
or None. Reading one back gives an `ActivityError` or a `WorkflowFailed` with these parts, never the class it names.
"""

from __future__ import annotations

import traceback
from typing import Any

MAX_MESSAGE = 10_000  # characters; a 5 MB message must not become a 5 MB row
MAX_TRACEBACK = 20_000  # characters, of the end, where the error is
MAX_CAUSES = 10


def describe(error: BaseException, *, attempt: int = 0) -> dict[str, Any]:
    """The record of *error*. Never raises, whatever the exception's own methods do."""
    record: dict[str, Any] | None = None
    for link in reversed(_chain(error)):
        names = type_names(type(link))
        record = {
            "type": names[0],
            "bases": names[1:],
            "message": message_of(link),
            "traceback": _traceback_of(link),
            "attempt": attempt if link is error else 0,
            "cause": record,
        }
    assert record is not None
    return record


def invented(type_name: str, message: str, *, attempt: int = 0, cause: dict[str, Any] | None = None) -> dict[str, Any]:
    """A record of something that no exception stands for: a timeout, a dead worker."""
    return {"type": type_name, "bases": [], "message": message, "traceback": "", "attempt": attempt, "cause": cause}


def summary(failure: dict[str, Any]) -> str:
    """``TypeName: message``, as `WorkflowExecution.error` has it."""
    return ": ".join(part for part in (failure.get("type"), failure.get("message")) if part)


def type_names(kind: type[BaseException]) -> list[str]:
    """The names of an exception's class and of its bases, as retry policies match them."""
    return [cls.__name__ for cls in kind.__mro__ if cls is not object]


def message_of(error: BaseException) -> str:
    """``str(error)`` if it works, and at most 10,000 characters of it."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - user code of any kind runs in __str__
        text = f"<{type(error).__name__} whose __str__ raised {type(broken).__name__}>"
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}... ({len(text):,} characters)"
    return text


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    # By identity and `is None`: an exception's own __eq__ and __bool__ are user code.
    while link is not None and not any(link is seen for seen in links) and len(links) < MAX_CAUSES:
        links.append(link)
        if link.__cause__ is not None or link.__suppress_context__:
            link = link.__cause__
        else:
            link = link.__context__
    return links


def _traceback_of(error: BaseException) -> str:
    try:
        # Not format_exception: it would call a broken __str__, and repeat the chain that we keep as records.
        text = "".join(traceback.format_tb(error.__traceback__))
    except Exception:  # noqa: BLE001 - source lines come from the file system
        return ""
    return text[-MAX_TRACEBACK:]
