"""Values whose receiver is not known here: written by what they are."""

from __future__ import annotations

from enum import Enum
from typing import Any

from durable_core.shapes.base import Misfit
from durable_core.shapes.finding import inner_shape
from durable_core.shapes.leaves import TEXTS, Anything

_AS_THEY_ARE = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """*value* as JSON can hold it, as far as there are shapes for what is in it; the rest is for `encode` to refuse."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    shape = inner_shape(type(value))
    # A bare set would become a list, and nothing says to anybody that it was one.
    if isinstance(shape, Anything) or isinstance(value, set | frozenset):
        return value
    try:
        return shape.dump(value)
    except Misfit:
        return value


def _key(key: Any) -> Any:
    if type(key) in TEXTS or isinstance(key, Enum):
        key = plain(key)
    return key
