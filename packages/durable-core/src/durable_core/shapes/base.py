"""What a shape is, and how one says that a value does not fit."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol


class Shape(Protocol):
    """What one annotation makes of values."""

    @property
    def name(self) -> str:
        """As the annotation reads, and what it looks like in JSON where that is not the same."""

    @property
    def rank(self) -> tuple[int, int]:
        """When it is tried among the members of a union: what takes fewer values comes first."""

    def holds(self, value: object) -> bool:
        """Whether it is an instance of the annotated type, not its JSON form; says nothing of what is inside."""

    def dump(self, value: Any) -> Any:
        """What JSON can hold. Takes the annotated type, or its JSON form as it stands. Raises `Misfit`."""

    def load(self, value: Any) -> Any:
        """The annotated type, out of its JSON form. Raises `Misfit`."""


class Misfit(Exception):
    """A value is not what its annotation says. Containers add the steps that lead to it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps: list[str] = []  # from the inside out

    @property
    def path(self) -> str:
        return "$" + "".join(reversed(self.steps))

    def below(self, step: str) -> Misfit:
        self.steps.append(step)
        return self


def refuse(value: object, expected: str) -> NoReturn:
    raise Misfit(f"found {in_words(value)}, expected {expected}")


def in_words(value: object) -> str:
    """The type of a value, with a glimpse of it where it is short."""
    kind = type(value).__qualname__
    if value is None:
        return "None"
    if isinstance(value, str | int | float) and len(text := ascii(value)) <= 40:
        return f"{text} ({kind})"
    return f"a value of type {kind}"
