"""What happened in a world, step by step: a checksum of all of it, and the last steps for the report."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from zlib import crc32

from tests.simulation.hub import SECOND

if TYPE_CHECKING:
    from tests.simulation.hub import Hub

KEPT = 120


class Trace:
    def __init__(self, hub: Hub, *, kept: int | None = KEPT) -> None:
        self._hub = hub
        self._last: deque[str] = deque(maxlen=kept)
        self.checksum = 0
        self.length = 0

    def note(self, *words: str) -> None:
        hub = self._hub
        step = f"{hub.now / SECOND:10.6f} {hub.current or 'world'}: {' '.join(words)}"
        self.checksum = crc32(step.encode(), self.checksum)
        self.length += 1
        self._last.append(step)

    def __str__(self) -> str:
        return "\n".join(self._last)
