"""All interleavings of a few strands: depth first over the choices of who goes next."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.hub import Hub, Process, Strand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FIRST = Random(0)  # nothing is drawn from it: a hub that chooses asks nobody


class ChoosingHub(Hub):
    """Goes by a list of choices, and by the first strand where that has ended; notes how many there were to choose."""

    def __init__(self, choices: Sequence[int]) -> None:
        super().__init__(FIRST)
        self._choices = choices
        self.taken: list[int] = []
        self.options: list[int] = []

    def _next(self) -> Strand:
        ready = sorted(self._ready, key=lambda strand: strand.number)
        place = len(self.taken)
        choice = 0
        if len(ready) > 1:
            choice = self._choices[place] if place < len(self._choices) else 0
            self.taken.append(choice)
            self.options.append(len(ready))
        self._ready.remove(ready[choice])
        return ready[choice]


def interleavings() -> Iterator[Callable[[Sequence[tuple[str, Callable[[Process], None]]]], None]]:
    """Each of them, as a function that lets strands (a name and what it does in a process) run in that order.

    Between two of them the caller makes everything anew: only what the strands do in the same state, in the same order,
    can be enumerated.
    """
    choices: list[int] | None = []
    while choices is not None:
        hub = ChoosingHub(choices)

        def run(strands: Sequence[tuple[str, Callable[[Process], None]]], hub: ChoosingHub = hub) -> None:
            for name, work in strands:
                process = Process(hub, name)
                hub.spawn(process, "main", lambda work=work, process=process: work(process))  # type: ignore[misc]
            hub.run(lambda: False)
            for strand, error in hub.failures:
                raise AssertionError(f"{strand} ended by an exception") from error

        yield run
        choices = _following(hub.taken, hub.options)


def _following(taken: Sequence[int], options: Sequence[int]) -> list[int] | None:
    for place in reversed(range(len(taken))):
        if taken[place] + 1 < options[place]:
            return [*taken[:place], taken[place] + 1]
    return None
