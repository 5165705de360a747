"""Types without anything inside: numbers and texts as JSON has them, and the standard library's dates and the like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from uuid import UUID

from durable_core.shapes.base import refuse


class Anything:
    """What JSON can hold, as it is: for annotations that say nothing, or that nothing is known about."""

    name = "anything"
    rank = (9, 0)

    def holds(self, value: object) -> bool:
        return True

    def dump(self, value: Any) -> Any:
        return value

    def load(self, value: Any) -> Any:
        return value


ANYTHING = Anything()


@dataclass(frozen=True, slots=True)
class Plain:
    """A type that JSON has itself. Checked where it stands inside of something else, or beside it in a union."""

    types: tuple[type, ...]
    name: str

    @property
    def rank(self) -> tuple[int, int]:
        return (5, 0) if self.types[0] in (str, list, dict) else (1, 0)

    def holds(self, value: object) -> bool:
        return isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)

    def dump(self, value: Any) -> Any:
        return value if self.holds(value) else refuse(value, self.name)

    load = dump


PLAIN: dict[Any, Plain] = {
    str: Plain((str,), "str"),
    int: Plain((int,), "int"),
    float: Plain((float, int), "float"),
    bool: Plain((bool,), "bool"),
    type(None): Plain((type(None),), "None"),
    list: Plain((list, tuple), "list"),
    dict: Plain((dict,), "dict"),
}


@dataclass(frozen=True, slots=True)
class OneOfThese:
    """`Literal`."""

    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    @property
    def rank(self) -> tuple[int, int]:
        return 0, 0

    def holds(self, value: object) -> bool:
        return any(value == known and type(value) is type(known) for known in self.values)

    def dump(self, value: Any) -> Any:
        return value if self.holds(value) else refuse(value, self.name)

    load = dump


@dataclass(frozen=True, slots=True)
class Text:
    """A type that is written as text."""

    kind: type
    name: str
    write: Callable[[Any], str]
    read: Callable[[Any], Any]  # raises ValueError
    takes: tuple[type, ...] = (str,)  # of JSON

    @property
    def rank(self) -> tuple[int, int]:
        return 2, 0

    def holds(self, value: object) -> bool:
        # A datetime is a date, too, and would lose its time.
        return isinstance(value, self.kind) and not (self.kind is date and isinstance(value, datetime))

    def dump(self, value: Any) -> Any:
        if self.holds(value):
            return self.write(value)
        self.load(value)
        return value

    def load(self, value: Any) -> Any:
        if not isinstance(value, self.takes) or isinstance(value, bool):
            refuse(value, self.name)
        try:
            return self.read(value)
        except (ValueError, InvalidOperation, OverflowError):
            return refuse(value, self.name)


def _read_datetime(text: str) -> datetime:
    if len(text) <= len("2026-01-31"):
        raise ValueError("a date")
    return datetime.fromisoformat(text)


def _read_decimal(given: str | float) -> Decimal:
    return Decimal(str(given))


def write_duration(span: timedelta) -> str:
    """ISO 8601, without years and months, whose length varies."""
    if span < timedelta():
        return f"-{write_duration(-span)}" if span != timedelta.min else f"-P{-span.days}D"
    seconds = f"{span.seconds}.{span.microseconds:06}".rstrip("0") if span.microseconds else f"{span.seconds}"
    return f"P{span.days}DT{seconds}S"


def read_duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or not any(found[part] for part in _PARTS):
        raise ValueError(text)
    fraction = (found["fraction"] or "").ljust(6, "0")
    span = timedelta(**{part: int(found[part] or 0) for part in _PARTS}, microseconds=int(fraction))
    return -span if found["sign"] == "-" else span


_PARTS = ("weeks", "days", "hours", "minutes", "seconds")
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<fraction>\d{1,6}))?S)?)?",
    re.ASCII,
)

TEXTS: dict[Any, Text] = {
    datetime: Text(datetime, "datetime (2026-01-31T12:30:00+00:00)", datetime.isoformat, _read_datetime),
    date: Text(date, "date (2026-01-31)", date.isoformat, date.fromisoformat),
    time: Text(time, "time (12:30:00)", time.isoformat, time.fromisoformat),
    timedelta: Text(timedelta, "timedelta (P1DT3600S)", write_duration, read_duration),
    Decimal: Text(Decimal, 'Decimal ("9.50")', str, _read_decimal, (str, int, float)),
    UUID: Text(UUID, "UUID (its text)", str, UUID),
}


class EnumMember:
    """An Enum: its value, or its name where a value is more than a number or a text."""

    rank = (0, 0)

    def __init__(self, cls: type[Enum]) -> None:
        self._cls = cls
        self._by_value = all(isinstance(member.value, str | int | float | None) for member in cls)
        self.name = f"{cls.__qualname__} (its {'value' if self._by_value else 'name'})"

    def holds(self, value: object) -> bool:
        return isinstance(value, self._cls)

    def dump(self, value: Any) -> Any:
        if isinstance(value, self._cls):
            return value.value if self._by_value else value.name
        self.load(value)
        return value

    def load(self, value: Any) -> Any:
        try:
            return self._cls(value) if self._by_value else self._cls[value]
        except (ValueError, KeyError, TypeError):
            return refuse(value, self.name)
