"""The suite of every `TaskQueue`, and that of queues that join a store's transaction."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

from durable_core.ports import Entry, EntryKind, HistoryStore, TaskQueue
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import a_run
from durable_core.testing.contracts.queue_claims import ClaimCases
from durable_core.testing.contracts.queue_entries import EntryCases
from durable_core.testing.contracts.queue_watch import WatchCases


class TaskQueueContract(EntryCases, ClaimCases, WatchCases):
    """Give `make_queue`; `pass_time`, `session` and the durations if yours are others."""

    def test_queue_is_one(self) -> None:
        assert isinstance(self.queue, TaskQueue)

    def test_capabilities_are_said(self) -> None:
        assert isinstance(self.queue.transactional, bool)
        assert isinstance(self.queue.wakeup, bool)


class TransactionalQueueContract(TaskQueueContract):
    """For queues whose `transactional` is True: give `make_store` too, which is called before `make_queue`."""

    def make_store(self) -> HistoryStore:
        """The store whose transactions the queue joins."""
        raise NotImplementedError(f"{type(self).__name__} must say how its store is made")

    @cached_property
    def store(self) -> HistoryStore:
        return self.make_store()

    def test_queue_says_that_it_is_transactional(self) -> None:
        assert self.queue.transactional

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
