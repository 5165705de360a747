"""Lists, tuples, sets, dicts and unions: what is inside has a shape of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from durable_core.codec import encode
from durable_core.shapes.base import Misfit, Shape, refuse


@dataclass(frozen=True, slots=True)
class Many:
    """Any number of one kind: a list, tuple, set or frozenset. A list in JSON."""

    kind: type
    item: Shape

    @property
    def name(self) -> str:
        return f"{self.kind.__name__} of {self.item.name}"

    @property
    def rank(self) -> tuple[int, int]:
        return 3, 0

    def holds(self, value: object) -> bool:
        return isinstance(value, self.kind)

    def dump(self, value: Any) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            refuse(value, self.name)
        items = _each(self.item.dump, value)
        # The order of a set is another in each process; what is written must be the same wherever it is written.
        return sorted(items, key=encode) if isinstance(value, set | frozenset) else items

    def load(self, value: Any) -> Any:
        if not isinstance(value, list):
            refuse(value, self.name)
        return self.kind(_each(self.item.load, value))


def _each(convert: Any, values: Any) -> list[Any]:
    made = []
    try:
        for value in values:
            made.append(convert(value))  # noqa: PERF401 - the place is needed where one does not fit
    except Misfit as misfit:
        raise misfit.below(f"[{len(made)}]") from None
    return made


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple whose places have their own types; a named one is made by its class. A list in JSON."""

    make: Any  # of a list of values
    kind: type
    items: tuple[Shape, ...]
    least: int  # how many must be there
    name: str

    @property
    def rank(self) -> tuple[int, int]:
        return 3, 0

    def holds(self, value: object) -> bool:
        return isinstance(value, self.kind)

    def dump(self, value: Any) -> Any:
        return self._convert(value, "dump")

    def load(self, value: Any) -> Any:
        return self.make(self._convert(value, "load"))

    def _convert(self, value: Any, how: str) -> list[Any]:
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= len(self.items):
            refuse(value, f"{self.name}, {len(self.items)} values")
        made = []
        for place, (shape, item) in enumerate(zip(self.items, value, strict=False)):
            try:
                made.append(getattr(shape, how)(item))
            except Misfit as misfit:
                raise misfit.below(f"[{place}]") from None
        return made


@dataclass(frozen=True, slots=True)
class Keyed:
    """A dict. Keys are texts in JSON, whatever they are here."""

    key: Shape
    item: Shape

    @property
    def name(self) -> str:
        return f"dict of {self.key.name} to {self.item.name}"

    @property
    def rank(self) -> tuple[int, int]:
        return 3, 0

    def holds(self, value: object) -> bool:
        return isinstance(value, dict)

    def dump(self, value: Any) -> Any:
        if not isinstance(value, dict):
            refuse(value, self.name)
        return self._convert(value, self._dump_key, self.item.dump)

    def load(self, value: Any) -> Any:
        if not isinstance(value, dict):
            refuse(value, self.name)
        return self._convert(value, self._load_key, self.item.load)

    def _convert(self, values: dict[Any, Any], convert_key: Any, convert: Any) -> dict[Any, Any]:
        made = {}
        for key, value in values.items():
            try:
                made[convert_key(key)] = convert(value)
            except Misfit as misfit:
                raise misfit.below(f".{key}") from None
        if len(made) < len(values):
            raise Misfit("two keys are the same as JSON has them")
        return made

    def _dump_key(self, key: Any) -> Any:
        if not self.key.holds(key):
            self._load_key(key)
            return key  # its JSON form
        dumped = self.key.dump(key)
        return str(dumped) if type(dumped) is int else dumped

    def _load_key(self, key: Any) -> Any:
        try:
            return self.key.load(key)
        except Misfit as misfit:
            try:
                return self.key.load(int(key))  # keys that are numbers here are texts in JSON
            except (Misfit, ValueError, TypeError):
                raise misfit from None


class Union:
    """One of several. Reading takes the first that fits; what would come back as another is refused when written.

    The order is not that of the annotation, for ``int | str`` and ``str | int`` are one to Python: whatever takes
    least comes first, and a plain text or dict last.
    """

    def __init__(self, shapes: tuple[Shape, ...]) -> None:
        self.shapes = shapes

    @cached_property
    def _in_order(self) -> list[Shape]:
        return sorted(self.shapes, key=lambda shape: (*shape.rank, shape.name))

    @property
    def rank(self) -> tuple[int, int]:
        return 4, 0

    @property
    def _is_ambiguous(self) -> bool:
        return sum(not shape.holds(None) for shape in self.shapes) > 1

    @property
    def name(self) -> str:
        return " or ".join(shape.name for shape in self.shapes)

    def holds(self, value: object) -> bool:
        return any(shape.holds(value) for shape in self.shapes)

    def dump(self, value: Any) -> Any:
        those = [shape for shape in self.shapes if shape.holds(value)]
        problem: Misfit | None = None
        for shape in those or self.shapes:
            try:
                dumped = shape.dump(value)
            except Misfit as misfit:
                problem = misfit
                continue
            if those and self._is_ambiguous:
                self._check(value, self.load(dumped))
            return dumped
        if len(those) == 1 and problem is not None:
            raise problem
        return refuse(value, self.name)

    def _check(self, value: Any, back: Any) -> None:
        if not isinstance(value, type(back)):
            raise Misfit(
                f"found a {type(value).__name__} that would come back as {type(back).__name__}: in JSON they look the "
                f"same. Expected {self.name}, which can be told apart"
            )

    def load(self, value: Any) -> Any:
        for shape in self._in_order:
            try:
                return shape.load(value)
            except Misfit:
                continue
        return refuse(value, self.name)
