"""Codecs and stores for tests: quick, bound to their row, and not to be mistaken for plain text."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from durable_core.errors import PayloadSealed
from durable_core.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from durable_core.sealing import PayloadStore


class Mirror:
    """Turns texts around, behind a digest of the row that they are for."""

    name = "mirror"

    def encode(self, data: bytes, place: bytes) -> bytes:
        return _digest(place) + data[::-1]

    def decode(self, data: bytes, place: bytes) -> bytes:
        if data[:8] != _digest(place):
            raise PayloadSealed("it is of another row")
        return data[:7:-1]


def _digest(place: bytes) -> bytes:
    return blake2b(place, digest_size=8).digest()


class Cellar(dict[str, bytes]):
    """A payload store in memory, in which nothing is ever old."""

    def put(self, key: str, data: bytes) -> None:
        self[key] = data

    def put_before(self, moment: datetime) -> Iterator[str]:
        return iter(())

    def discard(self, key: str, moment: datetime) -> bool:
        return False


def a_sealer(elsewhere: PayloadStore | None = None, *, threshold: int = 100) -> Sealer:
    """What is longer than that goes elsewhere, if there is such a place."""
    return Sealer([Mirror()], elsewhere, threshold=threshold)
