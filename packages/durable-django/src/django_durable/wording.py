"""What people read of a run: in the admin, in `durable_status`, in errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def waiting_in_words(waiting_for: Mapping[str, Any] | None, now: datetime | None = None) -> str:
    """``signal 'approved', for 2 min, until 2026-05-01 12:00:00 UTC (in 3 min)``; *waiting_for* as the row has it."""
    if not waiting_for:
        return "nothing"
    now = now or datetime.now(UTC)
    kind, what = waiting_for.get("kind"), waiting_for.get("what")
    words = str(what) if kind in ("code", "worker", "timer") else f"{kind} {what!r}"
    since, until = _instant(waiting_for.get("since")), _instant(waiting_for.get("until"))
    if since is not None:
        words += f", for {span_in_words(now - since)}"
    if until is not None:
        words += f", until {instant_in_words(until)}"
        words += f" (in {span_in_words(until - now)})" if until > now else " (now)"
    return words


def span_in_words(span: timedelta) -> str:
    """``2 min``, ``3 h 5 min``; less than a second in milliseconds, never negative."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts = []
    for name, length in UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
    return " ".join(parts[:2])


def instant_in_words(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def json_in_words(value: Any, *, limit: int = 0, indent: int | None = None) -> str:
    """JSON for people: not ASCII, and no more than *limit* characters (0: all)."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    # A lone surrogate is JSON, and cannot be printed.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if not limit or len(text) <= limit else f"{text[: limit - 1]}…"


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
