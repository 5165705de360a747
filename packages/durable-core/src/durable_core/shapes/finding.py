"""From an annotation to its shape; None where there is nothing to convert."""

from __future__ import annotations

import collections.abc
import dataclasses
import threading
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import lru_cache, partial
from typing import Any, TypeVar, get_args, get_origin, is_typeddict
from typing import Union as AnyOf

from durable_core.shapes.base import Shape
from durable_core.shapes.classes import Keys, Record, foreign, is_record
from durable_core.shapes.containers import Keyed, Many, Row, Union
from durable_core.shapes.leaves import ANYTHING, PLAIN, TEXTS, Anything, EnumMember, OneOfThese, Plain

# Of other packages: the shape of an annotation, None where it is not theirs.
_EXTENSIONS: list[Callable[[Any], Shape | None]] = []

_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_SETS = {
    set: set,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
    frozenset: frozenset,
}
_KEYS = (PLAIN[str], PLAIN[int])
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def extend(maker: Callable[[Any], Shape | None]) -> None:
    """Ask *maker* too from now on, before anybody else."""
    _EXTENSIONS.append(maker)
    _found.cache_clear()


def shape_of(annotation: Any) -> Shape | None:
    """The shape of a type; None if its values come through JSON as they are, and need no conversion."""
    shape = inner_shape(annotation)
    return None if _is_plain(shape) else shape


def inner_shape(annotation: Any) -> Shape:
    """The shape of what is inside of something else, where plain values are checked too."""
    try:
        return _found(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return _find(annotation)


def _is_plain(shape: Shape) -> bool:
    match shape:
        case Anything() | Plain() | OneOfThese():
            return True
        case Many(kind=made, item=item):
            return made is list and _is_plain(item)
        case Keyed(key=key, item=item):
            return key in (ANYTHING, PLAIN[str]) and _is_plain(item)
        case Union():
            return all(_is_plain(inside) for inside in shape.shapes)
        case _:
            return False


def _find(annotation: Any) -> Shape:
    for maker in _EXTENSIONS:
        if (made := maker(annotation)) is not None:
            return made
    annotation = _without_names(annotation)
    if type(annotation).__name__ == "TypeAliasType":
        return _unless_inside(annotation, lambda: inner_shape(annotation.__value__))
    if annotation is None:
        return PLAIN[type(None)]
    if annotation in PLAIN:
        return PLAIN[annotation]
    if annotation in TEXTS:
        return TEXTS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (AnyOf, types.UnionType):
        return _union(args)
    if origin is typing.Literal:
        return OneOfThese(args)
    return _container(origin or annotation, args) or _class(annotation, origin or annotation, args) or ANYTHING


_found = lru_cache(maxsize=4096)(_find)


def _without_names(annotation: Any) -> Any:
    """What stands behind `Annotated`, `NewType` and type variables."""
    while True:
        if get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            annotation = Any if annotation.__bound__ is None else annotation.__bound__
        else:
            return annotation


_open = threading.local()  # what is being looked into


def _unless_inside(annotation: Any, find: Callable[[], Shape]) -> Shape:
    """A type that is a part of itself is looked into once."""
    inside: list[Any] = _open.__dict__.setdefault("inside", [])
    if annotation in inside:
        return ANYTHING
    inside.append(annotation)
    try:
        return find()
    finally:
        inside.pop()


def _union(members: tuple[Any, ...]) -> Shape:
    shapes = tuple(inner_shape(member) for member in members)
    return ANYTHING if any(isinstance(shape, Anything) for shape in shapes) else Union(shapes)


def _container(kind: Any, args: tuple[Any, ...]) -> Shape | None:
    if kind is tuple:
        if not args or (len(args) == 2 and args[1] is Ellipsis):
            return Many(tuple, inner_shape(args[0]) if args else ANYTHING)
        items = tuple(inner_shape(arg) for arg in args if arg != ())
        return Row(tuple, tuple, items, len(items), "tuple")
    if kind in _LISTS:
        return Many(list, inner_shape(args[0]) if args else ANYTHING)
    if kind in _SETS:
        return Many(_SETS[kind], inner_shape(args[0]) if args else ANYTHING)
    if kind in _DICTS:
        key, item = (inner_shape(arg) for arg in args) if len(args) == 2 else (ANYTHING, ANYTHING)
        # Of the keys that are no texts, JSON makes texts; int is the one that can be told from them.
        return Keyed(ANYTHING if isinstance(key, Plain) and key not in _KEYS else key, item)
    return None


def _class(annotation: Any, cls: Any, args: tuple[Any, ...]) -> Shape | None:
    if not isinstance(cls, type):
        return None
    if is_typeddict(cls):
        return Keys(cls, partial(_fields_of, cls, args))
    if issubclass(cls, Enum):
        return EnumMember(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _unless_inside(cls, partial(_named_tuple, cls, args))
    if (made := foreign(cls)) is not None:
        return made
    if is_record(cls):
        return Record(cls, partial(_record_fields, cls, args))
    return None


def _named_tuple(cls: Any, args: tuple[Any, ...]) -> Shape:
    shapes = _fields_of(cls, args)
    items = tuple(shapes.get(name, ANYTHING) for name in cls._fields)
    least = len(items) - len(cls._field_defaults)
    return Row(lambda values: cls(*values), cls, items, least, cls.__qualname__)


def _fields_of(cls: Any, args: tuple[Any, ...]) -> dict[str, Shape]:
    """Shapes by the names of annotations; what a generic class leaves open is what *args* say."""
    given = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
    return {name: inner_shape(_filled_in(hint, given)) for name, hint in typing.get_type_hints(cls).items()}


def _filled_in(hint: Any, given: dict[Any, Any]) -> Any:
    if not given:
        return hint
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    left = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(variable, variable) for variable in left)] if left else hint


def _record_fields(cls: Any, args: tuple[Any, ...]) -> dict[str, Shape]:
    shapes = _fields_of(cls, args)
    return {
        field.name: or_none(shapes[field.name]) if field.default is None else shapes[field.name]
        for field in dataclasses.fields(cls)
        if field.init
    }


def or_none(shape: Shape) -> Shape:
    """``when: datetime = None`` means what it says."""
    return shape if isinstance(shape, Anything) else Union((shape, PLAIN[type(None)]))
