"""Payloads in and out: ASCII JSON text.

Text and not a database's JSON type, because those reorder keys, change floats and refuse ``\\u0000``. ASCII, so that
lone surrogates and NUL travel as escapes. Every value that user code gets has been through `encode` and `decode`, also
on the first run, so a first run sees what a replay sees.
"""

from __future__ import annotations

import json
import json.encoder
import math
from typing import TYPE_CHECKING, Any, NewType

from durable_core.errors import PayloadError, PayloadSealed

if TYPE_CHECKING:
    from collections.abc import Callable

Payload = NewType("Payload", str)  # ASCII JSON text
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_PAYLOAD_BYTES = 1_000_000
MAX_NESTING = 100

# What a sealed text begins with. It is JSON, and none that we write: the encoder has no escape for a dollar sign.
MARK = '"\\u0024'

NULL = Payload("null")
EMPTY_OBJECT = Payload("{}")


def _make_encoder() -> Callable[[object], str]:
    """`json.JSONEncoder.encode` without what it sets up anew for each value, which is most of its time.

    Without its check for cycles too: they end in a `RecursionError`, which is explained just as well.
    """
    make_chunks = getattr(json.encoder, "c_make_encoder", None)  # None where json has no C part
    if make_chunks is None:
        return json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False, default=_default).encode
    quote = json.encoder.encode_basestring_ascii
    chunks = make_chunks(None, _default, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_stand_in: Callable[[object], Any] | None = None


def convert_with(stand_in: Callable[[object], Any] | None) -> None:
    """From now on, objects that JSON does not know are stored as what *stand_in* puts in their place.

    It answers None for those that it does not know either, and raises `TypeError` where it fails. One for the whole
    process: what a client, a workflow and an activity hand over is stored alike.
    """
    global _stand_in  # noqa: PLW0603 - encode() is called from places that nobody could hand it to
    _stand_in = stand_in


def _default(value: object) -> Any:
    if _stand_in is not None and (found := _stand_in(value)) is not None:
        return found
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode = _make_encoder()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} has no JSON form")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def encode(value: object, *, what: str = "value", limit: int = MAX_PAYLOAD_BYTES) -> Payload:
    """*value* as JSON text of at most *limit* bytes. Tuples become lists and int keys strings, as JSON has it.

    *what* names the value in the error. Raises `PayloadError` for what JSON cannot hold (NaN, bytes, cycles, objects),
    for nesting over 100 levels and for text over *limit*.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _explain(value, what, error) from None
    if len(text) > limit:
        raise PayloadError(
            f"{what} takes {len(text):,} bytes as JSON; the limit is {limit:,}. "
            "Store the data elsewhere and pass a reference, or raise DURABLE['MAX_PAYLOAD']."
        )
    # Cheap bound first: without that many brackets it cannot nest too deep.
    if len(text) > 2 * MAX_NESTING and text.count("[") + text.count("{") > MAX_NESTING and _depth(value) > MAX_NESTING:
        raise PayloadError(f"{what} is nested over {MAX_NESTING} levels deep; flatten it.")
    return Payload(text)


def decode(payload: str) -> Any:
    """A fresh copy of what was encoded. Raises `PayloadError` for text that is not JSON, and `PayloadSealed`."""
    try:
        value = _decode(payload)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"stored payload is not valid JSON: {error}") from None
    if value.__class__ is str and payload.startswith(MARK):
        raise PayloadSealed(why_sealed(payload))
    return value


class Unopened(str):
    """A sealed text that could not be opened, as it is stored. Whoever needs what is in it is told *why*."""

    __slots__ = ("why",)
    why: str

    @classmethod
    def of(cls, text: str, why: str) -> Unopened:
        unopened = cls(text)
        unopened.why = why
        return unopened


def is_sealed(text: str | None) -> bool:
    return text is not None and text.startswith(MARK)


def opened(payload: Payload) -> Payload:
    """The same, for whoever passes it on without reading it. Raises `PayloadSealed`."""
    if payload.startswith(MARK):
        raise PayloadSealed(why_sealed(payload))
    return payload


def why_sealed(text: str) -> str:
    """What keeps a sealed text from being read here."""
    if isinstance(text, Unopened):
        return text.why
    return "it was stored by a codec or in a payload store, and this process is set up for neither (DURABLE['CODECS'])"


def excerpt(text: str) -> str:
    """At most 80 characters of it, for a message."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def _explain(value: object, what: str, error: Exception) -> PayloadError:
    found = _culprit(value, "$", set(), 0)
    if found is None:
        return PayloadError(f"{what} cannot be stored as JSON: {error}")
    path, problem = found
    return PayloadError(f"{what} cannot be stored as JSON: {problem} at {path}.", path=path)


def _culprit(value: object, path: str, above: set[int], depth: int) -> tuple[str, str] | None:
    match value:
        case None | bool() | int() | str():
            return None
        case float():
            return None if math.isfinite(value) else (path, f"{value} (NaN and infinities have no JSON form)")
        case _ if depth > MAX_NESTING:
            return path, f"nesting over {MAX_NESTING} levels"
        case dict() | list() | tuple():
            if id(value) in above:
                return path, "a reference to a container that holds it (a cycle)"
            inside = above | {id(value)}
            for key, item in _items(value):
                if isinstance(value, dict) and not isinstance(key, str | int | float | bool | None):
                    return path, f"a key of type {type(key).__name__} (keys are strings)"
                step = f".{key}" if isinstance(value, dict) else f"[{key}]"
                if (found := _culprit(item, path + step, inside, depth + 1)) is not None:
                    return found
            return None
        case _:
            try:
                found = None if _stand_in is None else _stand_in(value)
            except TypeError as error:
                return path, f"an object of type {type(value).__qualname__} ({error})"
            return (path, _refusal(value)) if found is None else _culprit(found, path, above, depth + 1)


def _refusal(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return f"{type(value).__name__} (encode it, for instance as base64 text)"
    hint = (
        "pass its primary key instead, or ModelRef.of() it"
        if hasattr(value, "_meta")
        else "convert it to plain data first"
    )
    return f"an object of type {type(value).__qualname__} ({hint})"


def _items(container: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Any:
    return container.items() if isinstance(container, dict) else enumerate(container)


def _depth(value: object) -> int:
    """Levels of nesting, counted without recursion so that no input can exhaust the stack."""
    deepest = 0
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, dict | list | tuple):
            deepest = max(deepest, depth)
            stack.extend((child, depth + 1) for _, child in _items(item))
        elif _stand_in is not None and not isinstance(item, str | int | float | None):
            stack.append((_stand_in(item), depth))
    return deepest
