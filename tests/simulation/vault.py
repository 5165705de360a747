"""Worlds whose payloads are sealed: each process opens what it reads, and some lack the key for a while."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

from durable_core.codec import MARK
from durable_core.errors import PayloadSealed
from durable_core.sealing import SealedStore, Sealer
from durable_core.sealing.rows import PLAIN, TOLD
from durable_core.sealing.sealer import SEALED
from tests.core.sealing import Mirror

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from durable_core.ports import HistoryStore
    from durable_core.sealing.sealed_store import SealableStore
    from durable_core.testing import InMemoryHistoryStore
    from tests.simulation.hub import Hub

SHARE = 1 / 8  # of all worlds
WITHOUT_KEY = 0.4  # how often a worker is hired that lacks the key, in half of those worlds that are rough
LONGEST = 12.0  # seconds that it does


class Key(Mirror):
    """Of one process. It seals and opens for one row; while it is withheld, it only seals."""

    is_withheld = False

    def give(self) -> None:
        self.is_withheld = False

    def decode(self, data: bytes, place: bytes) -> bytes:
        if self.is_withheld:
            raise PayloadSealed("this process does not have the key yet")
        return super().decode(data, place)


class Vault:
    """Of one world. What goes wrong in it is drawn as if it had none."""

    def __init__(self, seed: int, *, is_rough: bool) -> None:
        self._random = Random(f"vault of {seed}")
        self.is_shut = self._random.random() < SHARE
        self._without_key = WITHOUT_KEY if self.is_shut and is_rough and self._random.random() < 0.5 else 0.0
        self._missing: list[Key] = []

    def opened(self, store: HistoryStore, key: Key | None = None) -> HistoryStore:
        """As a process sees it that reaches *store*, with a key of its own if it may lack it."""
        return SealedStore(cast("SealableStore", store), Sealer([key or Key()])) if self.is_shut else store

    def as_it_is(self, store: InMemoryHistoryStore) -> InMemoryHistoryStore | SealedStore:
        """As somebody sees it who has every key, and whom no fault reaches."""
        return SealedStore(store, Sealer([Key()])) if self.is_shut else store

    def lend(self, hub: Hub) -> Key:
        """For a worker that is hired while things go wrong."""
        key = Key()
        if self._random.random() < self._without_key:
            key.is_withheld = True
            self._missing.append(key)
            hub.call_in(self._random.random() * LONGEST, key.give)
        return key

    def calm(self) -> None:
        for key in self._missing:
            key.give()


def plain(store: InMemoryHistoryStore) -> Iterator[str]:
    """What stands in the tables for everybody to read, a sentence each."""
    for where, text in _texts(store):
        if text and not text.startswith((MARK, TOLD)):
            yield f"{where} can be read by everybody: {text[:200]}"


def _texts(store: InMemoryHistoryStore) -> Iterator[tuple[str, str | None]]:
    for run in store._runs:
        record = run.record
        yield f"the input of run {record.id}", record.input
        yield f"the result of run {record.id}", record.result
        yield f"the error of run {record.id}", record.error
    for run_id, history in store._events.items():
        for event in history:
            if event.type not in PLAIN:
                yield f"event {event.seq} of run {run_id}", event.details
    for letter in store._mail:
        if letter.mail.type not in PLAIN:
            yield f"a letter {letter.mail.type} to run {letter.run_id}", letter.mail.details
    for task in store._tasks:
        yield f"the input of activity {task.record.id}", task.record.input
        yield f"the result of activity {task.record.id}", task.result
        yield f"the heartbeat of activity {task.record.id}", task.record.heartbeat_details
        yield f"the failure of activity {task.record.id}", _text_of(task.record.failure)
    for message in store._messages:
        yield f"the answer to update {message.record.key}", message.record.result
        yield f"the failure of update {message.record.key}", _text_of(message.record.failure)
    for value in store._values:
        yield f"the value of {value.value.key}", value.value.value
    for item in store._items:
        yield f"an item of {item.new.stream}", item.new.item


def _text_of(failure: Mapping[str, Any] | None) -> str | None:
    return None if failure is None or SEALED in failure else str(failure)
