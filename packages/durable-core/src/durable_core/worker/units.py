"""One unit of work on store and queue: together where the queue can, the queue afterwards where it cannot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from durable_core.crashpoints import crashpoint
from durable_core.ports import Entry, EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from durable_core.ports import Claim, HistoryStore, NewTask, TaskQueue, TaskRecord, Wake


@dataclass(slots=True)
class Outbox:
    """What a unit of work has for the queue."""

    entries: list[Entry] = field(default_factory=list)
    delayed: list[tuple[timedelta, list[Entry]]] = field(default_factory=list)
    completed: list[Claim] = field(default_factory=list)
    released: list[tuple[timedelta, list[Claim]]] = field(default_factory=list)

    def wake(self, wakes: Iterable[Wake]) -> None:
        self.entries += [wake.entry for wake in wakes]

    def queue_tasks(self, tasks: Iterable[NewTask | TaskRecord], *, delay: timedelta | None = None) -> None:
        entries = [Entry(EntryKind.ACTIVITY, task.id, task.queue, task.priority) for task in tasks]
        if delay is None:
            self.entries += entries
        elif entries:
            self.delayed.append((delay, entries))

    def send(self, queue: TaskQueue) -> None:
        if self.entries:
            queue.enqueue(self.entries)
        for delay, entries in self.delayed:
            queue.enqueue(entries, delay=delay)
        crashpoint("queue-unacknowledged")
        if self.completed:
            queue.complete(self.completed)
        for delay, claims in self.released:
            queue.release(claims, delay=delay)


@contextmanager
def unit(store: HistoryStore, queue: TaskQueue) -> Iterator[Outbox]:
    """A transaction of the store, with the queue's part in it or, for a queue that has no part in it, behind it."""
    box = Outbox()
    with store.transaction():
        yield box
        if queue.transactional:
            box.send(queue)
    if not queue.transactional:
        crashpoint("queue-untold")
        box.send(queue)
