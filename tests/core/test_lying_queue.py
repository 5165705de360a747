"""The contract has teeth: honest queues pass it, and each lie is found by the cases that are about it."""

from __future__ import annotations

import pytest

from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, TaskQueueContract, TransactionalQueueContract
from tests.core import lies
from tests.core.lies.servers import QueueWithServer
from tests.core.lying import AT_ONCE, LIES, LIES_IN_TRANSACTIONS, Lie


class Plain(TaskQueueContract):
    kind: type[InMemoryTaskQueue] = InMemoryTaskQueue

    def make_queue(self) -> InMemoryTaskQueue:
        return self.kind(self.clock)

    def make_queue_without_server(self) -> InMemoryTaskQueue | None:
        return self.kind(self.clock, away=True) if issubclass(self.kind, QueueWithServer) else None


class Transactional(Plain, TransactionalQueueContract):
    def make_store(self) -> InMemoryHistoryStore:
        return InMemoryHistoryStore(self.clock)

    def make_queue(self) -> InMemoryTaskQueue:
        assert isinstance(self.store, InMemoryHistoryStore)
        return self.kind(self.clock, store=self.store)


IMPATIENT = {"prompt": 0.1, "quiet": 0.01, "at_once": AT_ONCE, "moment": 0.05}  # what comes at all comes at once


def cases(suite: type[TaskQueueContract]) -> list[str]:
    return [name for name in dir(suite) if name.startswith("test_")]


def complaints(suite: type[Plain], liar: type[InMemoryTaskQueue]) -> set[str]:
    """The cases that fail for the queue."""
    held_to_it = type(liar.__name__, (suite,), {**IMPATIENT, "kind": liar})
    failed = set()
    for case in cases(suite):
        try:
            getattr(held_to_it(), case)()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a lie may break anything
            failed.add(case)
    return failed


class WithServer(Plain):
    kind = QueueWithServer


@pytest.mark.parametrize("suite", [Plain, Transactional, WithServer])
def test_honest_queue_passes(suite: type[Plain]) -> None:
    for case in cases(suite):
        getattr(suite(), case)()


@pytest.mark.parametrize("lie", LIES, ids=repr)
def test_lie_is_found_by_the_cases_that_are_about_it(lie: Lie) -> None:
    assert complaints(Plain, lie.liar) >= lie.cases


@pytest.mark.parametrize("lie", LIES_IN_TRANSACTIONS, ids=repr)
def test_lie_about_transactions_is_found_by_the_cases_that_are_about_it(lie: Lie) -> None:
    assert complaints(Transactional, lie.liar) >= lie.cases


def test_no_liar_is_forgotten() -> None:
    liars = {
        kind
        for name in lies.__all__
        for kind in vars(getattr(lies, name)).values()
        if isinstance(kind, type) and issubclass(kind, InMemoryTaskQueue) and not kind.__name__.startswith("_")
    }
    assert liars - {InMemoryTaskQueue, QueueWithServer} == {lie.liar for lie in [*LIES, *LIES_IN_TRANSACTIONS]}


def test_every_case_finds_a_lie() -> None:
    assert set(cases(TransactionalQueueContract)) == set().union(*(lie.cases for lie in [*LIES, *LIES_IN_TRANSACTIONS]))


def test_suite_is_as_large_as_promised() -> None:
    assert len(cases(TaskQueueContract)) >= 40
