"""Two sessions on one Postgres: who waits for whom, and who is told what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction

from django_durable.store import DjangoHistoryStore
from durable_core.codec import EMPTY_OBJECT
from durable_core.errors import StoreUnavailable
from durable_core.events import EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Beat, Commit, Letter, TaskOutcome, Verdict, WorkerInfo, new_id
from durable_core.testing.contracts.builders import a_run, a_task
from tests.store.databases import session

PATIENCE = 20.0


class Other:
    """Another session: a thread with a connection of its own."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._pool = ThreadPoolExecutor(1)

    def do(self, work: Callable[[], Any]) -> Future[Any]:
        return self._pool.submit(work)

    def wait(self, work: Callable[[], Any]) -> Any:
        return self.do(work).result(PATIENCE)

    def close(self) -> None:
        self.wait(self._close)
        self._pool.shutdown()

    def _close(self) -> None:
        connections[self.alias].close()


@contextmanager
def transaction_of(other: Other) -> Iterator[None]:
    """The other session is in a transaction of its project's while the block runs; it commits at the end."""
    block = transaction.atomic(other.alias)
    other.wait(block.__enter__)
    try:
        yield
    finally:
        other.wait(lambda: block.__exit__(None, None, None))


@pytest.fixture
def store(postgres: str) -> DjangoHistoryStore:
    return DjangoHistoryStore(postgres)


@pytest.fixture
def other(postgres: str) -> Iterator[Other]:
    other = Other(postgres)
    yield other
    other.close()


@pytest.fixture
def third(postgres: str) -> Iterator[Other]:
    third = Other(postgres)
    yield third
    third.close()


def started(store: DjangoHistoryStore, **changes: Any) -> UUID:
    run = a_run(**changes)
    store.create([run])
    return run.id


def decision(run_id: UUID, status: Status = Status.RUNNING, version: int = 0, **changes: Any) -> Commit:
    return Commit(run_id=run_id, version=version, status=status, **changes)


def verdict(store: DjangoHistoryStore, commit: Commit) -> Verdict:
    return store.commit([commit]).results[commit.run_id].verdict


def a_signal(run_id: UUID) -> Letter:
    return Letter(run_id, "signal_received", None, EMPTY_OBJECT)


def test_signal_in_a_long_transaction_stops_no_worker(store: DjangoHistoryStore, other: Other) -> None:
    run_id, free = started(store), started(store)
    with transaction_of(other):
        other.wait(lambda: store.deliver([a_signal(run_id)]))
        begun = time.monotonic()
        results = store.commit([decision(run_id), decision(free)]).results
        assert time.monotonic() - begun < 1
        assert (results[run_id].verdict, results[free].verdict) == (Verdict.BUSY, Verdict.COMMITTED)
    result = store.commit([decision(run_id)]).results[run_id]
    assert (result.verdict, len(result.mail)) == (Verdict.COMMITTED, 1)


@pytest.mark.promise("P6")
def test_run_cannot_close_over_a_signal_that_was_sent(store: DjangoHistoryStore, other: Other) -> None:
    run_id = started(store)
    closing = decision(run_id, Status.COMPLETED)
    with transaction_of(other):
        other.wait(lambda: store.deliver([a_signal(run_id)]))
        assert verdict(store, closing) is Verdict.BUSY
    result = store.commit([closing]).results[run_id]
    assert (result.verdict, len(result.mail)) == (Verdict.UNREAD, 1)
    closing.mail_read = [mail.id for mail in result.mail]
    assert verdict(store, closing) is Verdict.COMMITTED


@pytest.mark.promise("P6")
def test_signal_after_the_end_is_told_so(store: DjangoHistoryStore, other: Other) -> None:
    run_id = started(store)
    with store.transaction():
        assert verdict(store, decision(run_id, Status.COMPLETED)) is Verdict.COMMITTED
        sending = other.do(lambda: store.deliver([a_signal(run_id)]))
        time.sleep(0.2)
        assert not sending.done()  # waits for the end to be certain
    assert sending.result(PATIENCE) == []


def test_senders_do_not_wait_for_each_other(store: DjangoHistoryStore, other: Other) -> None:
    run_id = started(store)
    with transaction_of(other):
        other.wait(lambda: store.deliver([a_signal(run_id)]))
        begun = time.monotonic()
        assert len(store.deliver([a_signal(run_id)])) == 1
        assert time.monotonic() - begun < 1
    assert len(store.unread({run_id: 0})[run_id]) == 2


def test_cancel_waits_for_a_signal_and_then_reads_it(store: DjangoHistoryStore, other: Other) -> None:
    run_id = started(store)

    def cancel() -> list[int]:
        with store.transaction():
            locked = store.lock(run_id)
            assert locked is not None
            mail = [letter.id for letter in locked.mail]
            assert verdict(store, decision(run_id, Status.CANCELED, mail_read=mail)) is Verdict.COMMITTED
            return mail

    with store.transaction():
        store.deliver([a_signal(run_id)])
        canceling = other.do(cancel)
        time.sleep(0.2)
        assert not canceling.done()
    assert len(canceling.result(PATIENCE)) == 1


def test_letter_of_a_child_waits_for_nobody(store: DjangoHistoryStore, other: Other, third: Other) -> None:
    parent, child = started(store), started(store)
    with transaction_of(other):
        other.wait(lambda: store.lock(parent))
        begun = time.monotonic()
        closing = decision(child, Status.COMPLETED, letters=[a_signal(parent)])
        committed = third.wait(lambda: store.commit([closing]))
        assert time.monotonic() - begun < 1
    assert committed.results[child].verdict is Verdict.COMMITTED
    assert [wake.run_id for wake in committed.wakes] == [parent]
    assert len(store.unread({parent: 0})[parent]) == 1


def test_locked_task_is_busy_and_a_deleted_one_a_conflict(store: DjangoHistoryStore, other: Other) -> None:
    run_id, task = started(store), a_task(claimed=True)
    store.commit([decision(run_id, tasks=[task], worker_id=new_id())])
    outcome = TaskOutcome(task_id=task.id, run_id=run_id, token=1, status=TaskStatus.COMPLETED)
    commit = decision(run_id, version=1, outcomes=[outcome])
    with transaction_of(other):
        other.wait(lambda: store.record_outcomes([outcome]))
        assert verdict(store, commit) is Verdict.BUSY
    assert verdict(store, commit) is Verdict.CONFLICT  # the other outcome came first
    commit.outcomes = [TaskOutcome(task_id=new_id(), run_id=run_id, token=1, status=TaskStatus.COMPLETED)]
    assert verdict(store, commit) is Verdict.CONFLICT


def test_heart_beats_while_somebody_holds_the_task(store: DjangoHistoryStore, other: Other) -> None:
    worker, run_id, task = new_id(), started(store), a_task(claimed=True)
    store.add_worker(WorkerInfo(id=worker, host="h", pid=1, queues=()))
    store.commit([decision(run_id, tasks=[task], worker_id=worker)])
    with transaction_of(other):
        other.wait(lambda: verdict(store, decision(run_id, Status.CANCELED, version=1)))
        begun = time.monotonic()
        reply = store.beat(worker, [Beat(task.id, 1, None, None, is_sign_of_life=True)])
        assert time.monotonic() - begun < 1
        assert (reply.known, reply.lost, reply.canceled) == (True, frozenset(), frozenset())
    assert store.beat(worker, [Beat(task.id, 1, None, None, is_sign_of_life=True)]).canceled == {task.id}
    store.remove_worker(worker)


@pytest.mark.promise("P6")
def test_no_signal_is_lost_between_senders_and_a_closing_run(store: DjangoHistoryStore, postgres: str) -> None:
    """Forty runs, each closed as soon as it can be, while eight senders send: what was accepted was read."""
    runs = [started(store) for _ in range(40)]
    accepted: list[UUID] = []
    read: list[int] = []
    guard = threading.Lock()

    def send() -> None:
        with session(postgres):
            for run_id in runs:
                for _ in range(3):
                    if store.deliver([a_signal(run_id)]):
                        with guard:
                            accepted.append(run_id)

    def close() -> None:
        with session(postgres):
            for run_id in runs:
                mail: list[int] = []
                while True:
                    result = store.commit([decision(run_id, Status.COMPLETED, mail_read=mail)]).results[run_id]
                    if result.verdict is Verdict.COMMITTED:
                        break
                    mail += [letter.id for letter in result.mail if letter.id not in mail]
                with guard:
                    read.extend(mail)

    with ThreadPoolExecutor(9) as pool:
        for future in [pool.submit(work) for work in [close, *[send] * 8]]:
            future.result(60)
    assert len(read) == len(accepted)
    assert not any(store.unread(dict.fromkeys(runs, 1)).values())


@pytest.mark.promise("P7")
def test_one_of_many_commits_on_a_version_wins(store: DjangoHistoryStore, postgres: str) -> None:
    runs = [started(store) for _ in range(30)]
    task = EventRecord(1, "timer_fired", None, EMPTY_OBJECT, store.now())

    def decide() -> list[Verdict]:
        with session(postgres):
            verdicts: list[Verdict] = []
            for run_id in runs:
                while (found := verdict(store, decision(run_id, events=[task], history_length=1))) is Verdict.BUSY:
                    pass
                verdicts.append(found)
            return verdicts

    with ThreadPoolExecutor(4) as pool:
        answers = [future.result(60) for future in [pool.submit(decide) for _ in range(4)]]
    for verdicts in zip(*answers, strict=True):
        assert sorted(found.name for found in verdicts) == ["COMMITTED", "CONFLICT", "CONFLICT", "CONFLICT"]


def test_deadlock_is_to_be_tried_again(store: DjangoHistoryStore, other: Other) -> None:
    one, two = started(store), started(store)
    failed: list[StoreUnavailable] = []

    def lock_both(first: UUID, second: UUID, met: threading.Barrier) -> None:
        try:
            with store.transaction():
                store.lock(first)
                met.wait(PATIENCE)
                store.lock(second)
        except StoreUnavailable as error:
            failed.append(error)

    met = threading.Barrier(2)
    theirs = other.do(lambda: lock_both(two, one, met))
    lock_both(one, two, met)
    theirs.result(PATIENCE)
    assert [error.ambiguous for error in failed] == [False]
