"""Random numbers that are the same on every replay."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class Seeds:
    """The generator of a run: seeded once, and again where the run was forked. Code may hold on to it."""

    def __init__(self, first: UUID) -> None:
        self._seed = first
        self._random: Random | None = None

    def sow(self, seed: UUID) -> None:
        """From here on, other numbers."""
        self._seed = seed
        if self._random is not None:
            self._random.seed(seed.int)

    @property
    def random(self) -> Random:
        if self._random is None:  # it takes longer to seed than most steps take
            self._random = Random(self._seed.int)  # must be repeatable, never a secret
        return self._random
