from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from django_durable import RetryPolicy, activity_heartbeat, current_activity, register

from .gates import is_open, pass_gate

ONCE = RetryPolicy(maximum_attempts=1)
SOON = RetryPolicy(initial_interval=0.01, maximum_interval=0.05)


@register.activity(retry_policy=SOON)
def greet(name: str, *, mark: str = "!") -> dict[str, Any]:
    return {"text": f"hello {name}{mark}", "attempt": current_activity().attempt}


@register.activity(retry_policy=SOON)
def echo(value: Any) -> Any:
    return value


@register.activity(retry_policy=SOON)
def stumbles() -> int:
    attempt = current_activity().attempt
    if attempt < 3:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


@register.activity(retry_policy=RetryPolicy(initial_interval=20))
def fails_until_open(gate: str) -> str:
    """Its next attempt is some way off."""
    if not is_open(gate):
        raise ConnectionError("not yet")
    return "at last"


@register.activity(retry_policy=ONCE)
def refuses_until_open(gate: str) -> str:
    if not is_open(gate):
        raise ConnectionError("not yet")
    return "at last"


@register.activity(retry_policy=ONCE)
def refuses(message: str) -> None:
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        raise ValueError(message) from cause


@register.activity(retry_policy=ONCE)
def lingers(gate: str) -> None:
    """Says nothing, until it is wanted no more."""
    pass_gate(gate)


@register.activity(retry_policy=SOON)
def gated(gate: str, value: Any = None) -> Any:
    pass_gate(gate)
    return value


@register.activity(retry_policy=SOON)
def goes_on(gate: str) -> Any:
    """Dies with its worker at first; afterwards it knows how far it had come."""
    found = current_activity().heartbeat_details
    if found is None:
        activity_heartbeat({"at": 7})
        pass_gate(gate)
        time.sleep(60)
    return found


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Line(NamedTuple):
    size: Size
    net: Decimal


@dataclass(frozen=True)
class Order:
    id: UUID
    lines: tuple[Line, ...]
    due: date
    by: time_of_day | None = None
    marks: frozenset[str] = frozenset()
    counts: dict[int, Decimal | str] = field(default_factory=dict)


@register.activity
def total_of(order: Order, at: datetime) -> dict[Size, Decimal]:
    assert at.tzinfo is not None
    return {line.size: line.net * 2 for line in order.lines}
