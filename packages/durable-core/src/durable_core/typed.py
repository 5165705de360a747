"""The payloads of a function by its annotations: arguments and results as they are stored, and as its code gets them.

What an annotation means is found out when the first call is made: then all modules are imported. Where no annotation
asks for a conversion, there is none, and nothing is looked at.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from durable_core.codec import MAX_PAYLOAD_BYTES, encode
from durable_core.errors import PayloadError
from durable_core.shapes import Misfit, plain, shape_of
from durable_core.shapes.finding import or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable_core.codec import Payload
    from durable_core.shapes import Shape


@dataclass(slots=True)
class Arguments:
    """Shapes of parameters; those that need none are left out."""

    named: dict[str, Shape] = field(default_factory=dict)
    positions: tuple[str, ...] = ()  # names of the parameters that positional arguments reach
    others: Shape | None = None  # of ``*args``
    keywords: Shape | None = None  # of ``**kwargs``

    def __bool__(self) -> bool:
        return bool(self.named) or self.others is not None or self.keywords is not None


class Typed:
    """What the annotations of one function make of what is stored for it."""

    __slots__ = ("_arguments", "_fn", "_is_known", "_result", "_signature", "_unresolved", "what")

    def __init__(self, what: str, fn: Callable[..., Any], signature: inspect.Signature) -> None:
        self.what = what  # "activity 'charge'", for errors
        self._fn = fn
        self._signature = signature
        self._is_known = False
        self._arguments: Arguments | None = None
        self._result: Shape | None = None
        self._unresolved: tuple[str, ...] = ()

    # Arguments

    def dump_arguments(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """As they are stored. Raises `PayloadError` for what does not fit its annotation."""
        if not self._is_known:
            self._learn()
        if self._arguments is None:
            return args, kwargs
        return self._converted(self._arguments, args, kwargs, "dump")

    def load_arguments(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """As the function gets them. Raises `PayloadError`."""
        if not self._is_known:
            self._learn()
        if self._arguments is None:
            return args, kwargs
        return self._converted(self._arguments, args, kwargs, "load")

    def _converted(self, shapes: Arguments, args: Any, kwargs: Mapping[str, Any], how: str) -> tuple[Any, Any]:
        made = []
        for place, value in enumerate(args):
            is_named = place < len(shapes.positions)
            name = shapes.positions[place] if is_named else f"argument {place + 1}"
            shape = shapes.named.get(name) if is_named else shapes.others
            made.append(value if shape is None else self._convert(shape, value, how, name))
        keywords = {}
        for name, value in kwargs.items():
            shape = shapes.named.get(name) or (None if name in self._signature.parameters else shapes.keywords)
            keywords[name] = value if shape is None else self._convert(shape, value, how, name)
        return made, keywords

    def _convert(self, shape: Shape, value: Any, how: str, name: str) -> Any:
        try:
            return getattr(shape, how)(value)
        except Misfit as misfit:
            raise _error(f"parameter {name!r} of {self.what}", misfit) from misfit

    # Results

    def dump_result(self, value: Any) -> Any:
        """As it is stored. Raises `PayloadError` for what does not fit the annotation."""
        shape = self.result
        if shape is None:
            return value
        try:
            return shape.dump(value)
        except Misfit as misfit:
            raise _error(f"the result of {self.what}", misfit) from misfit

    def load_result(self, value: Any) -> Any:
        """As the caller gets it. Raises `PayloadError`."""
        shape = self.result
        if shape is None:
            return value
        try:
            return shape.load(value)
        except Misfit as misfit:
            raise _error(f"the result of {self.what}", misfit) from misfit

    @property
    def result(self) -> Shape | None:
        """None: results come through JSON as they are."""
        if not self._is_known:
            self._learn()
        return self._result

    @property
    def if_result(self) -> Typed | None:
        """Itself, for those who get results; None where there is nothing to convert."""
        return None if self.result is None else self

    # Annotations

    @property
    def unresolved(self) -> tuple[str, ...]:
        """Annotations that name something which is not there at run time; their values are not converted."""
        if not self._is_known:
            self._learn()
        return self._unresolved

    def _learn(self) -> None:
        arguments = Arguments()
        unresolved: list[str] = []
        scope = getattr(inspect.unwrap(self._fn), "__globals__", {})
        positions = []
        for name, parameter in self._signature.parameters.items():
            shape = _shape(parameter.annotation, scope, unresolved)
            if shape is not None and parameter.default is None:
                shape = or_none(shape)
            match parameter.kind:
                case parameter.VAR_POSITIONAL:
                    arguments.others = shape
                case parameter.VAR_KEYWORD:
                    arguments.keywords = shape
                case kind:
                    if kind is not parameter.KEYWORD_ONLY:
                        positions.append(name)
                    if shape is not None:
                        arguments.named[name] = shape
        arguments.positions = tuple(positions)
        self._arguments = arguments or None
        self._result = _shape(getattr(inspect.unwrap(self._fn), "__annotations__", {}).get("return"), scope, unresolved)
        self._unresolved = tuple(unresolved)
        self._is_known = True


class TypedElsewhere(Typed):
    """Of a function in another process: values are written by what they are, and results come as they are stored."""

    __slots__ = ()

    def dump_arguments(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return plain(args), plain(kwargs)


def encode_by_value(value: Any, *, what: str = "value", limit: int = MAX_PAYLOAD_BYTES) -> Payload:
    """As `encode`, where the receiver's annotations are not known: values are written by what they are."""
    try:
        return encode(value, what=what, limit=limit)
    except PayloadError:
        return encode(plain(value), what=what, limit=limit)


def load_as(annotation: Any, value: Any, what: str) -> Any:
    """*value*, out of JSON, as the type that *annotation* says. Raises `PayloadError`; *what* names it there."""
    shape = shape_of(annotation)
    if shape is None:
        return value
    try:
        return shape.load(value)
    except Misfit as misfit:
        raise _error(what, misfit) from misfit


def _error(what: str, misfit: Misfit) -> PayloadError:
    place = "" if misfit.path == "$" else f" at {misfit.path}"
    return PayloadError(f"{what} does not fit its annotation: {misfit.problem}{place}.", path=misfit.path)


def _shape(annotation: Any, scope: dict[str, Any], unresolved: list[str]) -> Shape | None:
    if annotation is None or annotation is inspect.Parameter.empty:
        return None
    if not isinstance(annotation, str):
        return shape_of(annotation)
    try:
        hints = typing.get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), globalns=scope)
        return shape_of(hints["it"])
    except (NameError, AttributeError, TypeError, SyntaxError):
        unresolved.append(annotation)
        return None
