"""Classes with fields: dataclasses and TypedDicts, and the models of libraries that bring their own conversion."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import typing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from durable_core.shapes.base import Misfit, in_words, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable_core.shapes.base import Shape


class Record:
    """A dataclass: an object of its fields. One that has more fields than are stored takes their defaults.

    What its fields are is looked up when the first value comes: a class may be a part of itself.
    """

    def __init__(self, cls: type[Any], fields: Callable[[], dict[str, Shape]]) -> None:
        self._cls = cls
        self._find_fields = fields
        self.name = cls.__qualname__

    @cached_property
    def _fields(self) -> dict[str, Shape]:
        return self._find_fields()

    @property
    def rank(self) -> tuple[int, int]:
        return 4, -sum(
            field.default is field.default_factory for field in dataclasses.fields(self._cls)
        )  # required ones

    def holds(self, value: object) -> bool:
        return isinstance(value, self._cls)

    def dump(self, value: Any) -> Any:
        if type(value) is self._cls:
            return _converted(self._fields, {name: getattr(value, name) for name in self._fields}, "dump")
        if isinstance(value, dict):
            if unknown := [name for name in value if name not in self._fields]:
                raise Misfit(f"found an object with {unknown[0]!r}, expected {self.name}: {', '.join(self._fields)}")
            self.load(value)
            return value
        if isinstance(value, self._cls):
            raise Misfit(f"found a {type(value).__qualname__}, which would come back as {self.name} and no more")
        return refuse(value, self.name)

    def load(self, value: Any) -> Any:
        if not isinstance(value, dict):
            refuse(value, f"{self.name} (an object)")
        # Fields that are not known here were written by newer code.
        known = _converted(self._fields, {name: item for name, item in value.items() if name in self._fields}, "load")
        try:
            return self._cls(**known)
        except Exception as error:
            raise Misfit(f"found an object that {self.name} refuses ({type(error).__name__}: {error})") from error


class Keys:
    """A TypedDict: an object with some keys of known types. Others are kept as they are."""

    def __init__(self, cls: Any, fields: Callable[[], dict[str, Shape]]) -> None:
        self.name = cls.__qualname__
        self._cls = cls
        self._find_fields = fields

    @cached_property
    def _fields(self) -> dict[str, Shape]:
        return self._find_fields()

    @cached_property
    def _required(self) -> frozenset[str]:
        # What the class itself says is wrong where annotations are texts: it has not read them.
        hints = typing.get_type_hints(self._cls, include_extras=True)
        asked = {name: typing.get_origin(hint) for name, hint in hints.items()}
        required = {name for name in self._cls.__required_keys__ if asked.get(name) is not typing.NotRequired}
        return frozenset(required | {name for name, origin in asked.items() if origin is typing.Required})

    @property
    def rank(self) -> tuple[int, int]:
        return 4, -len(self._required)

    def holds(self, value: object) -> bool:
        return isinstance(value, dict) and self._required <= value.keys()

    def dump(self, value: Any) -> Any:
        return self._convert(value, "dump")

    def load(self, value: Any) -> Any:
        return self._convert(value, "load")

    def _convert(self, value: Any, how: str) -> Any:
        if not isinstance(value, dict):
            refuse(value, self.name)
        if missing := sorted(self._required - value.keys()):
            raise Misfit(f"found an object without {missing[0]!r}, expected {self.name}")
        return _converted(self._fields, value, how)


def _converted(fields: dict[str, Shape], values: Mapping[str, Any], how: str) -> dict[str, Any]:
    made = {}
    for name, value in values.items():
        shape = fields.get(name)
        try:
            made[name] = value if shape is None else getattr(shape, how)(value)
        except Misfit as misfit:
            raise misfit.below(f".{name}") from None
    return made


class Foreign:
    """A class of a library that converts by itself."""

    rank = (4, 0)

    def __init__(self, cls: type[Any], dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> None:
        self._cls = cls
        self._dump = dump
        self._load = load
        self.name = cls.__qualname__

    def holds(self, value: object) -> bool:
        return isinstance(value, self._cls)

    def dump(self, value: Any) -> Any:
        if not isinstance(value, self._cls):
            self.load(value)
            return value
        if type(value) is not self._cls:
            raise Misfit(f"found a {type(value).__qualname__}, which would come back as {self.name} and no more")
        return self._tried(self._dump, value)

    def load(self, value: Any) -> Any:
        return self._tried(self._load, value)

    def _tried(self, convert: Callable[[Any], Any], value: Any) -> Any:
        try:
            return convert(value)
        except Exception as error:
            said = " ".join(str(error).split())
            raise Misfit(f"found {in_words(value)}, which {self.name} refuses ({said})") from error


def foreign(cls: type[Any]) -> Foreign | None:
    """For models of msgspec and pydantic. Neither is imported: who has such a class has imported it."""
    if (msgspec := sys.modules.get("msgspec")) is not None and issubclass(cls, msgspec.Struct):
        return Foreign(cls, msgspec.to_builtins, lambda value: msgspec.convert(value, cls))
    if (pydantic := sys.modules.get("pydantic")) is not None and issubclass(cls, pydantic.BaseModel):
        return Foreign(
            cls,
            lambda value: value.model_dump(mode="json"),
            # As JSON, where a strict model takes a text for a date.
            lambda value: cls.model_validate_json(json.dumps(value)),
        )
    return None


def is_record(cls: type[Any]) -> bool:
    """Whether it is a dataclass that can be made anew from its fields."""
    if not dataclasses.is_dataclass(cls):
        return False
    names = {field.name for field in dataclasses.fields(cls) if field.init}
    parameters = inspect.signature(cls).parameters
    return names <= parameters.keys() and all(
        name in names or parameter.default is not parameter.empty for name, parameter in parameters.items()
    )
