"""Who have the tokens of activities: each is a process, which says its words one by one, and again if it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.completion import Completer
from durable_core.errors import StoreUnavailable
from tests.programs.errands import Others
from tests.simulation.rim import queue_of, store_of

if TYPE_CHECKING:
    from random import Random

    from tests.programs.errands import Errand
    from tests.simulation.world import World

PATIENCE = 1.0  # seconds before a word, at most
AGAIN = 0.3  # seconds before one is said again of which nobody knows whether it was heard
LATER = 1.0  # seconds after the end of a token, at most


class Neighbors:
    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._lives = 0
        self.others = Others(world.clock, world.witness.words, come=self._hear)

    def _hear(self, errand: Errand) -> None:
        delay = errand.expires + self._random.random() * LATER if errand.is_late else 0.0
        self._come_in(delay, errand, 0)

    def _come_in(self, seconds: float, errand: Errand, said: int) -> None:
        """*said*: words, up to the first that it has to say."""
        if said < len(errand.words) and not self._world.is_ending:
            self._world.hub.call_in(seconds, lambda: self._come(errand, said))

    def _come(self, errand: Errand, said: int) -> None:
        world = self._world
        self._lives += 1
        rim = world.process(f"neighbor-{self._lives}")
        store, queue = world.vault.opened(store_of(rim, world.store, waits=True)), queue_of(rim, world.queue)
        completer = Completer(store, queue, after_commit=world.store.journal.after_commit)
        rim.process.on_death = lambda: self._come_in(AGAIN, errand, said)

        def work() -> None:
            nonlocal said
            while said < len(errand.words):
                world.hub.wait(self._random.random() ** 2 * PATIENCE)
                try:
                    self.others.say(completer, errand, said)
                except StoreUnavailable:
                    world.hub.wait(AGAIN)
                else:
                    said += 1

        world.hub.spawn(rim.process, "main", work)
