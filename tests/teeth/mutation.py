"""A lie: one line of the product, changed, and the tests that have to find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Misplaced(Exception):
    """What a mutation changes does not stand where it says, or stands there more than once."""


@dataclass(frozen=True, slots=True)
class Mutation:
    name: str  # what goes wrong with it, as a sentence
    file: str  # of the product, from the root
    old: str  # stands in the file exactly once; lines around the one that changes make it so
    new: str
    caught_by: tuple[str, ...]  # node ids: each of these fails by itself

    def applied_to(self, text: str) -> str:
        """The file's *text* with the lie in it. Raises `Misplaced`."""
        found = text.count(self.old)
        if found != 1:
            raise Misplaced(
                f"{self.name!r}: expected its text once in {self.file}, found it {found} times. "
                f"Tell the lie where the code is now:\n{self.old}"
            )
        return text.replace(self.old, self.new)
