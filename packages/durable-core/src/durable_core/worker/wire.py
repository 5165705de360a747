"""What a worker and the processes of its activities say to each other: one JSON text per message.

Everything in them is plain data; payloads and failures travel as they are stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


# To the process


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Perform an attempt."""

    task_id: str
    run_id: str
    call_id: str
    activity_name: str
    queue: str
    priority: int
    input: str
    attempt: int
    token: int
    heartbeat_details: str | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the result of this attempt any more."""

    task_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Answer:
    """To what was asked; *error* tells why there is none."""

    value: Any
    error: str | None = None
    is_outage: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """End, once the present attempt has."""


ToProcess = Begin | Cancel | Answer | Leave


# From the process


@dataclass(frozen=True, slots=True)
class Ready:
    """It is set up, and waits for attempts."""


@dataclass(frozen=True, slots=True)
class Broken:
    """It cannot be set up."""

    failure: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alive:
    """A heartbeat."""

    details: str | None


@dataclass(frozen=True, slots=True)
class Published:
    stream: str
    item: str
    number: int | None


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """By which somebody else may complete the attempt. The answer is the token and its end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """Who has the token is to say how the attempt ended. The answer is what became of that."""

    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the attempt did, in the words of `Ending`."""

    result: str | None = None
    failure: dict[str, Any] | None = None
    type_names: Sequence[str] = ()
    retryable: bool = True
    next_delay: float | None = None  # seconds
    canceled: bool = False
    is_recorded: bool = False


FromProcess = Ready | Broken | Alive | Published | TokenWanted | Left | Ended

Message = ToProcess | FromProcess
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Begin, Cancel, Answer, Leave, Ready, Broken, Alive, Published, TokenWanted, Left, Ended)
}


def encode(message: Message) -> bytes:
    parts = {each.name: getattr(message, each.name) for each in fields(message)}
    return json.dumps([type(message).__name__, parts]).encode("ascii")


def decode(data: bytes) -> Any:
    """Raises `ValueError` for what is no message."""
    try:
        kind, parts = json.loads(data)
        return _KINDS[kind](**parts)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{data[:80]!r} is no message: {error}") from None
