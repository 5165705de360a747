"""Attempts whose outcome commits with what their function writes: fenced, undone, done again."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from durable_core.definitions import TRANSACTION_LIMIT, Registry
from durable_core.errors import ActivityError, ConfigurationError, TransactionConflict, TransactionRefused
from durable_core.execution import TaskStatus
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue
from durable_core.testing.contracts.builders import StoreCases, a_letter
from durable_core.worker.attempt import Attempt
from durable_core.worker.transactions import TRIES, Transactions
from tests.core.test_executor import Bench as ExecutorBench
from tests.core.test_executor import Stubborn, begun
from tests.core.test_worker import Bench


class Office(StoreCases):
    """A run with an attempt under way, and letters to another run for what a function writes."""

    def __init__(self, queue_joins=True, joins=False):
        self.memory = InMemoryHistoryStore(self.clock)
        self.queue = InMemoryTaskQueue(self.clock, store=self.memory if queue_joins else None)
        self.transactions = Transactions(self.memory, self.queue, joins=joins)
        self.run_id, self.other = self.start(), self.start()
        self.task = self.begin(self.run_id)
        self.done = 0

    def make_store(self):
        return self.memory

    def write(self):
        self.done += 1
        self.memory.deliver([a_letter(self.other)])
        return "7"

    def perform(self, work=None, settle=lambda: True):
        self.transactions.perform(self.task, work or self.write, settle)

    @property
    def written(self):
        return len(self.mail_ids(self.other))


@pytest.mark.parametrize("queue_joins", [True, False])
def test_the_outcome_is_there_with_what_was_written_and_wakes_the_run(queue_joins):
    office = Office(queue_joins)
    office.perform()
    assert office.written == 1
    assert office.memory.task_status(office.task.id) is TaskStatus.COMPLETED
    assert len(office.mail_ids(office.run_id)) == 1
    assert office.queue.stats()[0].ready == 1


def test_what_is_raised_takes_back_what_was_written_and_records_nothing():
    office = Office()

    def work():
        office.write()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        office.perform(work)
    assert office.written == 0
    assert office.memory.task_status(office.task.id) is TaskStatus.RUNNING


def test_an_attempt_that_somebody_has_decided_about_takes_back_what_was_written():
    office = Office()

    office.retry(office.task, office.later())
    office.perform()
    assert (office.done, office.written) == (1, 0)
    assert office.memory.task_status(office.task.id) is TaskStatus.QUEUED
    assert office.mail_ids(office.run_id) == []


def test_an_attempt_that_was_interrupted_takes_back_what_was_written():
    office = Office()
    office.perform(settle=lambda: False)
    assert (office.done, office.written) == (1, 0)
    assert office.memory.task_status(office.task.id) is TaskStatus.RUNNING


def test_a_conflict_does_all_of_it_again(caplog):
    office = Office()

    def work():
        office.write()
        if office.done < TRIES:
            raise TransactionConflict("a deadlock")
        return "7"

    with caplog.at_level(logging.INFO, "durable.worker"):
        office.perform(work)
    assert (office.done, office.written) == (TRIES, 1)
    assert "is done again: a deadlock" in caplog.text


def test_endless_conflicts_are_a_failed_attempt():
    office = Office()

    def work():
        office.write()
        raise TransactionConflict("a deadlock")

    with pytest.raises(TransactionConflict):
        office.perform(work)
    assert (office.done, office.written) == (TRIES, 0)


def test_a_transaction_that_is_open_already_is_refused():
    office = Office()
    with office.memory.transaction(), pytest.raises(TransactionRefused, match="'send_mail' is transactional, and"):
        office.perform()
    assert office.done == 0


def test_a_worker_in_its_callers_transaction_joins_it():
    office = Office(joins=True)
    with office.memory.transaction():
        office.perform()
    assert office.written == 1


# In the worker


def test_a_worker_records_the_outcome_once_and_the_run_hears_of_it():
    bench = Bench()

    @bench.registry.activity(transactional=True)
    def writes():
        return 7

    @bench.registry.activity(transactional=True)
    def breaks():
        raise TransactionRefused("elsewhere")

    @bench.registry.workflow
    def both(ctx):
        first = ctx.run_activity(writes)
        try:
            ctx.run_activity(breaks)
        except ActivityError as caught:
            return [first, caught.type_name, caught.attempt]

    run_id = bench.start("both")
    bench.drive(run_id)
    assert bench.result(run_id) == [7, "TransactionRefused", 1]  # by the default policy it would be tried without end
    types = [event.type for event in bench.store.load([run_id])[run_id].events]
    assert types.count("activity_completed") == 1


def test_an_attempt_that_commits_is_not_interrupted():
    bench = ExecutorBench()
    stubborn = Stubborn()

    class Settling:
        def perform(self, task, work, settle):
            assert settle()
            work_done.append(stubborn.activity()())
            assert not settle(), "it was interrupted meanwhile"

    work_done: list[None] = []
    bench.executor._transactions = Settling()  # type: ignore[assignment]
    registry = Registry()
    registry.activity_from(lambda: None, name="act", transactional=True)
    attempt = bench.submit(lambda: None)
    bench.ending()
    attempt = Attempt(attempt.task, registry.activities["act"], attempt.current)
    bench.executor._held[attempt] = None
    bench.executor._inbox.put(attempt)
    begun(stubborn.began)
    bench.executor.abandon(attempt)
    stubborn.release.set()
    assert bench.woken.acquire(timeout=10)
    assert (work_done, stubborn.interrupted.is_set()) == ([None], False)
    bench.executor.close()


# What may be registered


def test_a_transactional_activity_has_a_time_limit():
    registry = Registry()
    registry.activity_from(lambda: None, name="a", transactional=True)
    registry.activity_from(lambda: None, name="b", transactional=True, start_to_close=5)
    registry.activity_from(lambda: None, name="c")
    limits = {name: activity.options.start_to_close for name, activity in registry.activities.items()}
    assert limits["a"] == TRANSACTION_LIMIT
    assert limits["b"] == timedelta(seconds=5)
    assert limits["c"] is None


def test_what_cannot_be_transactional_is_refused():
    registry = Registry()

    async def fetch(): ...

    def act(): ...

    with pytest.raises(ConfigurationError, match="async and transactional"):
        registry.activity_from(fetch, transactional=True)
    registry.activity_from(act)
    with pytest.raises(ConfigurationError, match="put it into the decorator"):
        registry.activities["act"].using(transactional=True)
