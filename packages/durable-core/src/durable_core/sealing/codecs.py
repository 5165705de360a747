"""What makes other bytes of a payload, and the payload of them again."""

from __future__ import annotations

import zlib
from typing import Protocol, runtime_checkable

from durable_core.errors import ConfigurationError, PayloadSealed


@runtime_checkable
class PayloadCodec(Protocol):
    """One for the whole process, used from many threads. Made with OPTIONS as keywords."""

    @property
    def name(self) -> str:
        """Of lower case letters, digits and hyphens. Stored with every payload: it must never change."""

    def encode(self, data: bytes, place: bytes) -> bytes | None:
        """*data* as it is to be stored; None: as it is.

        *place* names the row that it is for. It is not stored: a codec that can have it authenticated should.
        """

    def decode(self, data: bytes, place: bytes) -> bytes:
        """What was given to `encode` with the same *place*.

        Raises `PayloadSealed` for what cannot be decoded here, with what is missing or wrong.
        """


class ZlibCodec:
    """Makes texts of *at_least* bytes smaller, where that makes them smaller. *level*: 1 is fast, 9 is small."""

    name = "zlib"

    def __init__(self, *, at_least: int = 256, level: int = 6) -> None:
        if at_least < 0 or not 1 <= level <= 9:
            raise ConfigurationError(
                f"ZlibCodec got at_least={at_least!r} and level={level!r}; expected bytes, and a level from 1 to 9."
            )
        self._at_least = at_least
        self._level = level

    def encode(self, data: bytes, place: bytes) -> bytes | None:
        if len(data) < self._at_least:
            return None
        smaller = zlib.compress(data, self._level)
        # What is stored is base64, of four bytes for three.
        return smaller if len(smaller) * 4 < len(data) * 3 else None

    def decode(self, data: bytes, place: bytes) -> bytes:
        try:
            return zlib.decompress(data)
        except zlib.error as error:
            raise PayloadSealed(f"it is damaged: {error}") from None
