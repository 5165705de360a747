"""Which version of each change a run goes by.

Markers are found by their change_id, wherever in the history they stand and wherever the code asks; the first answer
holds for the whole run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.errors import NewerCodeNeeded

if TYPE_CHECKING:
    from collections.abc import Iterable


class Patches:
    def __init__(self) -> None:
        self._chosen: dict[str, int] = {}
        self._markers: dict[str, e.VersionMarker] = {}
        self._unasked: dict[str, e.VersionMarker] = {}  # markers that the code has passed without asking

    def load(self, facts: Iterable[e.HistoryEvent]) -> None:
        self._markers = {fact.change_id: fact for fact in facts if isinstance(fact, e.VersionMarker)}

    def chosen(self, change_id: str) -> int | None:
        """What the run goes by already."""
        self._unasked.pop(change_id, None)
        return self._chosen.get(change_id)

    def recorded(self, change_id: str) -> int | None:
        """What the history says."""
        marker = self._markers.get(change_id)
        return None if marker is None else marker.version

    def choose(self, change_id: str, version: int) -> int:
        self._chosen[change_id] = version
        return version

    def passed(self, fact: e.HistoryEvent) -> None:
        """The code went past this marker."""
        if isinstance(fact, e.VersionMarker) and fact.change_id not in self._chosen and not fact.deprecated:
            self._unasked[fact.change_id] = fact

    def newer_code(self) -> NewerCodeNeeded | None:
        """The complaint about markers that this code does not ask for, if there are some."""
        if not self._unasked:
            return None
        names = ", ".join(sorted(self._unasked))
        return NewerCodeNeeded(
            f"The history has the patch marker {names}, which this code does not ask for: newer code wrote it. The run "
            "waits for a worker with that code. If the patch was removed on purpose, it was removed too early: put "
            "deprecate_patch() back until no open run has the marker."
        )
