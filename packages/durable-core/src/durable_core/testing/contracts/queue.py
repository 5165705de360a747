"""The suite of every `TaskQueue`, and that of queues that join a store's transaction."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property, partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from durable_core.ports import Entry, EntryKind, HistoryStore, TaskQueue, new_id
from durable_core.testing.contracts.base import PATIENCE, Interrupted
from durable_core.testing.contracts.builders import a_run
from durable_core.testing.contracts.queue_audit import QueueAuditCases
from durable_core.testing.contracts.queue_base import an_entry
from durable_core.testing.contracts.queue_claims import ClaimCases
from durable_core.testing.contracts.queue_entries import EntryCases
from durable_core.testing.contracts.queue_processes import ProcessCases
from durable_core.testing.contracts.queue_server import ServerCases
from durable_core.testing.contracts.queue_watch import WatchCases

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class TaskQueueContract(EntryCases, ClaimCases, ProcessCases, WatchCases, ServerCases, QueueAuditCases):
    """Give `make_queue`, and say of the rest of what `QueueCases` lists what is so for your queue."""

    def test_queue_is_one(self) -> None:
        assert isinstance(self.queue, TaskQueue)

    def test_capabilities_are_said(self) -> None:
        assert isinstance(self.queue.transactional, bool)
        assert isinstance(self.queue.wakeup, bool)

    def test_transactional_queue_is_held_to_it(self) -> None:
        assert self.queue.transactional == isinstance(self, TransactionalQueueContract)


class TransactionalQueueContract(TaskQueueContract):
    """For queues whose `transactional` is True: give `make_store` too, which is called before `make_queue`."""

    moment: float = 0.3  # seconds for which a transaction is left open for somebody who may have to wait for its end

    def make_store(self) -> HistoryStore:
        """The store whose transactions the queue joins."""
        raise NotImplementedError(f"{type(self).__name__} must say how its store is made")

    @cached_property
    def store(self) -> HistoryStore:
        return self.make_store()

    def beside(self, write: Callable[[], object], look: Callable[[], T], *, commit: bool) -> tuple[T, bool]:
        """What *look* answers, begun when *write* was called in a transaction that is still open; and whether it
        still was when the answer came, for there are stores whose transactions wait for each other."""
        written, looked = Event(), Event()

        def hold() -> bool:
            was_open = False
            with suppress(Interrupted), self.store.transaction():
                write()
                written.set()
                was_open = looked.wait(self.moment)
                if not commit:
                    raise Interrupted
            return was_open

        def meanwhile() -> T:
            assert written.wait(PATIENCE)
            try:
                return look()
            finally:
                looked.set()

        works: list[Callable[[], T | bool]] = [hold, meanwhile]
        was_open, answer = self.in_threads(works)
        return answer, bool(was_open)  # type: ignore[return-value] # in the order of the works

    def test_entry_of_a_rolled_back_transaction_does_not_exist(self) -> None:
        with suppress(Interrupted), self.store.transaction():
            self.enqueue()
            raise Interrupted
        assert self.claim() == []
        assert self.totals() == (0, 0, 0)

    def test_entry_of_a_committed_transaction_can_be_claimed(self) -> None:
        with self.store.transaction():
            entry = self.enqueue()
        assert self.claimed_refs() == [entry.ref]

    def test_entry_and_run_appear_together(self) -> None:
        run = a_run()
        with suppress(Interrupted), self.store.transaction():
            self.store.create([run])
            self.queue.enqueue([Entry(EntryKind.RUN, run.id, run.queue)])
            raise Interrupted
        assert (self.store.get(run.id), self.claim()) == (None, [])
        with self.store.transaction():
            self.store.create([run])
            self.queue.enqueue([Entry(EntryKind.RUN, run.id, run.queue)])
        assert self.store.get(run.id) is not None
        assert self.claimed_refs() == [run.id]

    def test_rolled_back_completion_leaves_the_entry_claimed(self) -> None:
        entry = self.enqueue()
        claims = self.claim()
        with suppress(Interrupted), self.store.transaction():
            self.queue.complete(claims)
            raise Interrupted
        assert self.totals() == (0, 1, 0)
        self.queue.release(claims)
        assert self.claimed_refs() == [entry.ref]

    def test_committed_completion_removes_the_entry(self) -> None:
        self.enqueue()
        with self.store.transaction():
            self.queue.complete(self.claim())
        assert self.totals() == (0, 0, 0)

    def test_rolled_back_claim_leaves_the_entry_ready(self) -> None:
        entry = self.enqueue()
        with suppress(Interrupted), self.store.transaction():
            assert self.claimed_refs() == [entry.ref]
            raise Interrupted
        assert self.claimed_refs() == [entry.ref]

    def test_rolled_back_release_leaves_the_entry_claimed(self) -> None:
        self.enqueue()
        claims = self.claim()
        with suppress(Interrupted), self.store.transaction():
            self.queue.release(claims)
            raise Interrupted
        assert self.claim() == []
        self.queue.complete(claims)
        assert self.totals() == (0, 0, 0)

    # Others, while a transaction is open

    def test_entry_of_an_open_transaction_is_nobodys(self) -> None:
        entry = an_entry()
        with self.others(1) as [other]:
            write, look = partial(self.queue.enqueue, [entry]), partial(self.claimed_refs, by=other)
            assert self.beside(write, look, commit=False)[0] == []
            refs, was_open = self.beside(write, look, commit=True)
        assert [*refs, *self.claimed_refs()] == [entry.ref]
        assert not (refs and was_open)

    def test_twin_of_an_entry_that_is_rolled_back_is_kept(self) -> None:
        entry = an_entry()
        enqueue = partial(self.queue.enqueue, [entry])
        self.beside(enqueue, enqueue, commit=False)
        assert self.claimed_refs() == [entry.ref]

    def test_twin_that_was_written_before_a_claim_and_committed_after_it_is_kept(self) -> None:
        """Whoever claimed the other one has not seen what the twin stands for."""
        entry = self.enqueue()
        refs, was_open = self.beside(partial(self.queue.enqueue, [entry]), self.claimed_refs, commit=True)
        later = self.claimed_refs(new_id())
        assert entry.ref in (later if was_open else [*refs, *later])

    def test_watcher_is_woken_when_the_entry_can_be_claimed(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set):
            for _ in range(3):  # the first may have been the call that tells a watcher to look around
                with self.store.transaction():
                    self.enqueue()
                    woken.wait(self.quiet)
                    woken.clear()
                assert self.is_woken(woken) == self.queue.wakeup
