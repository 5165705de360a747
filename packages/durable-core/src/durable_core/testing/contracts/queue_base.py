"""What a queue's test class declares, and what is done with the queue again and again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.ports import LEASE, PREFERENCE, Claim, Entry, EntryKind, QueueStats, TaskQueue, new_id
from durable_core.testing.contracts.base import Contract
from durable_core.testing.processes import Companion, Elsewhere, Peer, QueueProcess

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from threading import Event


def an_entry(**changes: Any) -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")._replace(**changes)


class QueueCases(Contract):
    """What a backend declares. Every case runs for every backend; what it asks for goes by these.

    On the queue itself, which is held to it:

    - `transactional`: True needs `TransactionalQueueContract`, and False the plain suite;
    - `wakeup`: True has to call its watchers within *prompt*, and False must never call them.

    On the test class, where all but `make_queue` have a default:

    - `make_queue`, and `make_store` of a transactional one;
    - `elsewhere`: how another process makes the same queue. None says that the queue lives in one process; threads
      then stand in for processes;
    - `make_queue_without_server`: the queue as it is when its server does not answer. None says that it has none;
    - *lease*, *preference*: as the queue was made with; *delay*: the shortest that it keeps;
    - `pass_time` and `session`, of all contracts.
    """

    lease: float = LEASE  # seconds; a queue on real time is made with a lease of a second or so
    preference: float = PREFERENCE  # seconds
    delay: float = 0.3  # seconds; at least what the queue can tell from no delay
    prompt: float = 5.0  # seconds within which a wake-up must come; it takes milliseconds
    quiet: float = 0.05  # seconds without a wake-up after which none is taken to come
    at_once: float = 1.0  # seconds within which a claim must answer; it takes milliseconds

    def make_queue(self) -> TaskQueue:
        """A queue with nothing in it."""
        raise NotImplementedError(f"{type(self).__name__} must say how its queue is made")

    def make_queue_without_server(self) -> TaskQueue | None:
        """The same kind of queue with a server that does not answer: at a port where nobody listens, for instance."""
        return None

    def elsewhere(self) -> Elsewhere | None:
        """How another process makes a queue that shares its entries with `self.queue`, and does not empty it."""
        return None

    @cached_property
    def queue(self) -> TaskQueue:
        return self.make_queue()

    @cached_property
    def me(self) -> UUID:
        """The worker that claims, where it does not matter which."""
        return new_id()

    @contextmanager
    def others(self, count: int) -> Iterator[Sequence[Peer]]:
        """So many others who use the queue: processes, where the backend allows."""
        queue, elsewhere = self.queue, self.elsewhere()  # the queue is made, and emptied, before they come
        if elsewhere is None:
            yield [Companion(queue) for _ in range(count)]
            return
        with ExitStack() as stack:
            processes = [stack.enter_context(QueueProcess.started(elsewhere)) for _ in range(count)]
            for process in processes:
                process.until_ready()
            yield processes

    def enqueue(self, **changes: Any) -> Entry:
        entry = an_entry(**changes)
        self.queue.enqueue([entry])
        return entry

    def claim(
        self,
        worker_id: UUID | None = None,
        *,
        by: Peer | None = None,
        queues: Collection[str] = (),
        exclude: Collection[str] = (),
        runs: int = 1000,
        activities: int = 1000,
    ) -> list[Claim]:
        """What a worker is given; *by*: in which process, if it is another."""
        limits = {EntryKind.RUN: runs, EntryKind.ACTIVITY: activities}
        return (by or self.queue).claim(worker_id or self.me, limits, queues=queues, exclude=exclude)

    def claimed_refs(self, worker_id: UUID | None = None, **options: Any) -> list[UUID]:
        return [claim.entry.ref for claim in self.claim(worker_id, **options)]

    def drain(self, by: Peer | None = None) -> list[UUID]:
        """All that a worker of its own gets, a few at a time."""
        worker_id = new_id()
        refs: list[UUID] = []
        while claimed := self.claimed_refs(worker_id, by=by, runs=3):
            refs += claimed
        return refs

    def is_woken(self, woken: Event) -> bool:
        """Whether a watcher was called, as soon as that is certain."""
        return woken.wait(self.prompt if self.queue.wakeup else self.quiet)

    def stats(self) -> dict[str, QueueStats]:
        return {stats.queue: stats for stats in self.queue.stats()}

    def totals(self) -> tuple[int, int, int]:
        """Entries ready, claimed and delayed, over all queues."""
        stats = self.queue.stats()
        return sum(s.ready for s in stats), sum(s.claimed for s in stats), sum(s.delayed for s in stats)
