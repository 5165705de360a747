"""What must happen at a time: looked for when it is due and not all the time; and what the dead had goes to others."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from durable_core.client import Client
from durable_core.execution import Status, TaskStatus
from durable_core.ports import REDELIVERY, Beat, Entry, EntryKind, WorkerInfo, private_queue
from durable_core.retry import RetryPolicy
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue
from durable_core.worker import attempts, dismiss
from durable_core.worker import scheduler as module
from durable_core.worker.scheduler import Scheduler, bury
from durable_core.worker.settings import WorkerSettings
from tests.core.test_worker import Bench

SECOND = timedelta(seconds=1)
LIMITS = dict.fromkeys(EntryKind, 10)
DEAD, LIVING = UUID(int=40), UUID(int=41)


class Asked(InMemoryHistoryStore):
    """Counts how often it is asked what is due."""

    looks = 0

    def next_due(self):
        self.looks += 1
        return super().next_due()


class Office(Bench):
    """A scheduler, and a way to give workers something to die over."""

    def __init__(self, *, lossy=False, wait=0, **settings):
        super().__init__(Asked, exclude=("theirs",))
        self.clock.advance(100)
        if lossy:
            self.queue = InMemoryTaskQueue(self.clock)
            self.client = Client(self.store, self.queue, self.registry)
        self.options = WorkerSettings(**{"tick": 5.0, **settings})
        self.scheduler = self.make()

        @self.registry.activity(queue="theirs", retry_policy=RetryPolicy(initial_interval=wait))
        def act(**limits): ...

        @self.registry.workflow
        def calls(ctx, **options):
            ctx.run_activity(act.using(**options))

    def make(self):
        return Scheduler(self.store, self.queue, self.clock, self.options)

    def later(self, seconds):
        """A run that is to be started then."""
        workflow = self.registry.workflows["calls"].using(run_after=seconds)
        return self.client.start(workflow, {}).run_id

    def calls(self, **options):
        """A run whose activity stands in the queue."""
        run_id = self.start("calls", **options)
        self.worker().run(until_idle=True)
        return run_id

    def add_worker(self, worker_id=DEAD):
        self.store.add_worker(WorkerInfo(id=worker_id, host="here", pid=1, queues=()))

    def claim(self, worker_id=DEAD, **limits):
        return self.queue.claim(worker_id, {EntryKind(kind): n for kind, n in limits.items()}, queues=(), exclude=())

    def begin(self, worker_id=DEAD):
        """An attempt that a worker has begun."""
        [claim] = self.claim(worker_id, activity=1)
        [task], _ = self.store.claim_tasks([claim.entry.ref], worker_id)
        self.queue.complete([claim])
        return task

    def ready(self):
        return [(stats.queue, stats.ready) for stats in self.queue.stats() if stats.ready]


@pytest.fixture
def office():
    return Office()


# When to look


def test_first_look_is_at_once_and_the_next_a_tick_later(office):
    assert office.scheduler.seconds_to_next_look() == 0
    assert not office.scheduler.turn()
    assert office.scheduler.seconds_to_next_look() == 5
    office.clock.advance(4.5)
    office.scheduler.turn()
    assert (office.store.looks, office.scheduler.seconds_to_next_look()) == (1, 0.5)
    office.clock.advance(0.5)
    office.scheduler.turn()
    assert office.store.looks == 2


def test_next_look_is_at_the_earliest_of_what_is_known_to_become_due(office):
    now = office.store.now()
    office.scheduler.turn()
    for moment, wait in ((None, 5), (now + 9 * SECOND, 5), (now + 2 * SECOND, 2), (now + 3 * SECOND, 2)):
        office.scheduler.look_by(moment)
        assert office.scheduler.seconds_to_next_look() == wait
    office.scheduler.look_by(now - SECOND)
    assert office.scheduler.seconds_to_next_look() == 0
    office.scheduler.turn()
    office.scheduler.look_at_once()
    assert office.scheduler.seconds_to_next_look() == 0


def test_look_is_in_time_for_what_the_store_says_comes_next(office):
    due_at = office.store.now() + 2 * SECOND
    office.later(2)
    assert not office.scheduler.turn()
    assert office.scheduler.next_due == due_at
    assert office.scheduler.seconds_to_next_look() == 2
    office.clock.advance(2)
    assert office.ready() == []
    assert office.scheduler.turn()
    assert office.ready() == [("default", 1)]
    assert office.scheduler.seconds_to_next_look() == 0  # there may be more than a batch


def test_more_than_a_batch_takes_more_than_a_turn(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    for _ in range(5):
        office.later(1)
    office.clock.advance(1)
    ready = []
    while office.scheduler.turn():
        ready.append(sum(number for _, number in office.ready()))
    assert ready == [2, 4, 5]


def test_row_that_is_due_and_leads_to_nothing_is_no_work(office):
    """The activity has called in, and when to look next is not written yet."""
    office.calls(heartbeat_timeout=3)
    office.add_worker()
    task = office.begin()
    office.clock.advance(3)
    office.store.beat(DEAD, [Beat(task.id, task.token, None, None, is_sign_of_life=True)])
    assert office.store.next_due() == office.store.now()
    assert not office.scheduler.turn()
    assert office.store.task_status(task.id) is TaskStatus.RUNNING
    assert office.scheduler.seconds_to_next_look() == 5


# What is due


def test_run_that_is_due_is_not_looked_at_again_where_no_entry_can_be_lost(office):
    office.later(1)
    office.clock.advance(1)
    assert office.scheduler.turn()
    assert office.store.next_due() is None


@pytest.mark.parametrize(("backlog", "patience"), [(1, 30), (29, 30), (100, 100), (599, 599), (700, 600)])
def test_entry_that_may_be_lost_is_made_again_after_as_long_as_entries_wait(backlog, patience):
    office = Office(lossy=True)
    office.queue.enqueue([Entry(EntryKind.RUN, uuid4(), "of nobody")])
    office.clock.advance(backlog - 1)
    office.queue.enqueue([Entry(EntryKind.RUN, uuid4(), "of nobody else")])
    office.later(1)
    office.clock.advance(1)
    assert office.scheduler.turn()
    assert office.store.next_due() == office.store.now() + patience * SECOND


def test_entry_that_may_be_lost_is_made_again_in_an_empty_queue_too():
    office = Office(lossy=True)
    office.later(1)
    office.clock.advance(1)
    assert office.scheduler.turn()
    assert office.store.next_due() == office.store.now() + REDELIVERY


def test_retry_goes_back_into_its_queue_and_its_wait_for_a_worker_begins():
    office = Office(lossy=True, wait=10)
    office.calls(schedule_to_start=7)
    task = office.begin()
    now = office.store.now()
    outcome = attempts.failed(task, {"type": "E", "message": "no"}, now)
    office.store.record_outcomes([outcome])
    assert office.store.next_due() == now + 10 * SECOND
    office.clock.advance(10)
    assert office.scheduler.turn()
    assert office.ready() == [("theirs", 1)]
    assert office.store.next_due() == office.store.now() + 7 * SECOND


def test_activity_that_waited_too_long_for_a_worker_is_not_queued_again_and_its_run_is_told():
    office = Office()
    run_id = office.calls(schedule_to_start=7)
    office.claim(LIVING, activity=1)
    office.clock.advance(7)
    assert office.scheduler.turn()
    assert office.ready() == [("default", 1)]
    office.drive(run_id)
    record = office.client.find(run_id)
    assert record.status is Status.FAILED
    assert "schedule_to_start limit (0:00:07) reached" in record.error


# The dead


def test_workers_that_start_together_look_for_the_dead_one_after_another(monkeypatch):
    asked = []

    def most(low, high):
        asked.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", most)
    office = Office(heartbeat_interval=4.0, worker_timeout=3 * SECOND)
    assert asked[-1] == (0, 4.0)
    office.add_worker()
    office.clock.advance(3.9)
    assert not office.scheduler.turn()
    office.clock.advance(0.1)
    assert office.scheduler.turn()
    office.add_worker()
    office.clock.advance(3.9)
    assert not office.scheduler.turn()
    office.clock.advance(0.1)
    assert office.scheduler.turn()
    assert not office.scheduler.turn()


def test_after_an_outage_the_silent_have_as_long_again_to_be_heard(office):
    office.add_worker()
    office.clock.advance(60)
    office.scheduler.look_at_once()
    assert not office.scheduler.turn()
    office.clock.advance(14.5)
    assert not office.scheduler.turn()
    office.clock.advance(0.5)
    assert office.scheduler.turn()
    assert office.store.dead_workers(timedelta(0)) == []


def test_inside_a_callers_transaction_nobody_is_buried():
    office = Office(inline=True)
    office.add_worker()
    office.clock.advance(60)
    assert not office.scheduler.turn()
    assert office.store.dead_workers(timedelta(0)) == [DEAD]


def test_crashes_are_charged_where_they_are_allowed_to_be_as_many():
    office = Office(max_crashes=1)
    run_id = office.calls()
    office.add_worker()
    office.begin()
    office.clock.advance(60)
    assert office.scheduler.turn()
    office.drive(run_id)
    assert "1 workers died while they ran this activity (MAX_CRASHES is 1)" in office.client.find(run_id).error


def test_what_the_buried_alive_have_is_work_too(office):
    office.calls()
    task = office.begin(LIVING)  # which has no row
    office.clock.advance(60)
    assert office.scheduler.turn()
    assert office.store.task_status(task.id) is TaskStatus.QUEUED


def crashes(office, *run_ids):
    return [office.client.find(run_id).crashes for run_id in run_ids]


def test_where_nobody_is_suspected_all_are_charged(office, caplog):
    caplog.set_level(logging.INFO)
    office.calls()
    run_id = office.start("calls")
    office.add_worker()
    task, [claim] = office.begin(), office.claim(run=1)
    assert claim.entry.ref == run_id
    bury([DEAD], office.store, office.queue, max_crashes=3)
    assert crashes(office, run_id) == [1]
    assert office.store.dead_workers(timedelta(0)) == []
    office.scheduler.turn()
    again = office.begin(LIVING)
    assert (again.id, again.crashes, again.attempt) == (task.id, 1, 2)
    told = "1 dead worker(s) buried: 1 running activities and 1 claimed runs go to others"
    assert (caplog.records[-1].getMessage(), caplog.records[-1].levelno) == (told, logging.WARNING)


def test_where_an_activity_is_suspected_it_alone_is_charged(office):
    office.calls()
    office.begin()
    bury([DEAD], office.store, office.queue, max_crashes=9)
    office.scheduler.turn()
    suspect = office.begin()
    office.calls()
    other = office.begin()
    assert other.id != suspect.id
    run_id = office.start("calls")
    office.claim(run=1)
    bury([DEAD], office.store, office.queue, max_crashes=9)
    office.scheduler.look_at_once()
    office.scheduler.turn()
    again = {task.id: task.crashes for task in (office.begin(LIVING), office.begin(LIVING))}
    assert again == {suspect.id: 2, other.id: 0}
    assert crashes(office, run_id) == [0]


def test_where_a_run_is_suspected_it_alone_is_charged(office):
    office.calls()
    task = office.begin()
    suspect, other = office.start("calls"), office.start("calls")
    office.store.charge([suspect])
    assert len(office.claim(run=2)) == 2
    bury([DEAD], office.store, office.queue, max_crashes=9)
    assert crashes(office, suspect, other) == [2, 0]
    office.scheduler.turn()
    again = office.begin(LIVING)
    assert (again.id, again.crashes) == (task.id, 0)


def test_death_of_an_idle_worker_is_no_cause_for_a_warning(office, caplog):
    caplog.set_level(logging.INFO)
    office.add_worker()
    bury([DEAD, LIVING], office.store, office.queue, max_crashes=3)
    told = "2 dead worker(s) buried: 0 running activities and 0 claimed runs go to others"
    assert (caplog.records[-1].getMessage(), caplog.records[-1].levelno) == (told, logging.INFO)


def test_run_whose_activity_killed_too_many_workers_is_woken(office):
    run_id = office.calls()
    office.add_worker()
    office.begin()
    bury([DEAD], office.store, office.queue, max_crashes=1)
    assert office.ready() == [("default", 1)]
    office.drive(run_id)
    assert office.client.find(run_id).status is Status.FAILED


def test_worker_that_is_gone_for_good_leaves_nothing_behind(office):
    office.calls()
    office.add_worker()
    task = office.begin()
    office.queue.enqueue([Entry(EntryKind.RUN, uuid4(), private_queue(DEAD))])
    dismiss(DEAD, office.store, office.queue)
    assert office.ready() == [("default", 1)]
    assert office.store.dead_workers(timedelta(0)) == []
    assert office.store.buried_alive() == []
    office.scheduler.turn()
    again = office.begin(LIVING)
    assert (again.id, again.crashes) == (task.id, 0)
