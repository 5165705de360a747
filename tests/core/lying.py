"""Which lies there are, and which cases of the contract are about each. A lie that none finds is one that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.testing import InMemoryTaskQueue

L = TypeVar("L", bound="type[InMemoryTaskQueue]")

AT_ONCE = 0.05  # seconds that a claim may take where a lie about that is looked for


class Lie(NamedTuple):
    liar: type[InMemoryTaskQueue]
    cases: frozenset[str]  # all of which find it

    def __repr__(self) -> str:
        return self.liar.__name__


LIES: list[Lie] = []  # of queues by themselves
LIES_IN_TRANSACTIONS: list[Lie] = []  # of queues that say they join the store's


def found_by(*cases: str, among: list[Lie] = LIES) -> Callable[[L], L]:
    """Register a liar with the cases that have to find it."""

    def register(liar: L) -> L:
        among.append(Lie(liar, frozenset(cases)))
        return liar

    return register
