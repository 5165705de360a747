"""A worker's life: what it tells of itself, how it is set up, when it rests and for how long, and why it stops."""

from __future__ import annotations

import os
import random
import socket
import threading
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from durable_core.client import Client
from durable_core.decision import RunSettings
from durable_core.errors import StoreUnavailable
from durable_core.execution import Status
from durable_core.hooks import Announcer
from durable_core.ports import (
    CommitResult,
    Committed,
    Entry,
    EntryKind,
    SystemClock,
    Verdict,
    WorkerInfo,
    private_queue,
)
from durable_core.testing import HostClock, InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings, loop
from durable_core.worker.threads import SystemThreads
from tests.core.test_worker import Bench

WORKER = UUID(int=80)


class Diary(Announcer):
    """What a worker tells of itself."""

    def __init__(self):
        super().__init__()
        self.told: list[Any] = []

    def worker_started(self, worker):
        self.told.append(("started", worker))

    def worker_stopping(self, worker, reason):
        self.told.append(("stopping", worker, reason))

    def worker_stopped(self, worker):
        self.told.append(("stopped", worker))

    @property
    def reason(self):
        [reason] = [told[2] for told in self.told if told[0] == "stopping"]
        return reason


def worker_of(bench, **options):
    return Worker(bench.store, bench.queue, bench.registry, bench.clock, bench.settings, worker_id=WORKER, **options)


# What it says of itself


def test_worker_says_who_it_is_to_the_store_and_to_plugins():
    diary = Diary()
    bench = Bench(hooks=diary, queues=("mail", "slow"), exclude=("other",))
    rows: list[WorkerInfo] = []
    worker_of(bench).run(until=lambda: rows.append(*(row.info for row in bench.store._workers)), iterations=2)
    info = WorkerInfo(
        id=WORKER, host=socket.gethostname(), pid=os.getpid(), queues=("mail", "slow"), exclude=("other",)
    )
    assert rows == [info]
    reason = "did its iterations"
    assert diary.told == [("started", info), ("stopping", info, reason), ("stopped", info)]
    assert list(bench.store._workers) == []


def test_worker_of_one_run_is_no_news_and_keeps_the_row_that_others_made():
    diary = Diary()
    bench = Bench(hooks=diary, registered=True)
    worker_of(bench).run(iterations=1)
    assert diary.told == []
    assert [row.info.id for row in bench.store._workers] == [WORKER]


def test_worker_has_an_id_of_its_own():
    bench = Bench()
    one, other = bench.worker(), bench.worker()
    assert isinstance(one.id, UUID)
    assert one.id != other.id


def test_worker_needs_neither_clock_nor_settings_to_be_named():
    clock = HostClock()
    store = InMemoryHistoryStore(clock)
    worker = Worker(store, InMemoryTaskQueue(clock, store=store), Bench().registry)
    assert worker.settings == WorkerSettings()
    assert isinstance(worker._clock, SystemClock)
    worker.run(iterations=1)


# Why it stops


def test_reasons_for_which_a_worker_stops():
    def reason(**how):
        diary = Diary()
        worker_of(Bench(hooks=diary)).run(**how)
        return diary.reason

    assert reason(iterations=2) == "did its iterations"
    assert reason(until=lambda: True) == "what it was started for is done"
    assert reason(until_idle=True) == "nothing is left to do"


@pytest.mark.parametrize(("arguments", "reason"), [((), "asked to stop"), (("SIGTERM",), "SIGTERM")])
def test_worker_that_is_told_to_stop_says_what_for(arguments, reason):
    diary = Diary()
    bench = Bench(hooks=diary)
    worker = worker_of(bench)
    assert not worker.is_stopping
    worker.run(until=lambda: worker.stop(*arguments))
    assert worker.is_stopping
    assert diary.reason == reason


def test_first_reason_stands():
    diary = Diary()
    bench = Bench(hooks=diary)
    worker = worker_of(bench)
    worker.run(until=lambda: worker.stop("first") or worker.stop("second"))
    assert diary.reason == "first"


def test_rounds_are_counted():
    bench, rounds = Bench(), []
    worker_of(bench).run(until=lambda: rounds.append(1), iterations=3)
    assert len(rounds) == 2  # the third is the last anyway


@pytest.mark.parametrize("limit", [1, 2])
def test_worker_stops_when_it_has_done_its_tasks(limit):
    diary = Diary()
    bench = Bench(hooks=diary, max_tasks=limit, cache_size=0)
    done = []

    @bench.registry.activity
    def act():
        done.append(1)

    @bench.registry.workflow
    def calls(ctx):
        for _ in range(4):
            ctx.run_activity("act")

    bench.start("calls")
    worker_of(bench).run()
    assert (diary.reason, len(done)) == ("did its tasks", limit)


# What it is made of


def test_results_may_be_as_long_as_the_settings_say():
    bench = Bench(run=RunSettings(payload_limit=50))

    @bench.registry.activity
    def act():
        return "x" * 60

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity("act")

    run_id = bench.start("calls")
    bench.drive(run_id)
    assert "PayloadError" in bench.client.find(run_id).error


def test_activities_run_between_what_the_settings_put_around_them():
    around = []

    class Around:
        def __enter__(self):
            around.append("in")

        def __exit__(self, *error):
            around.append("out")

    bench = Bench(around_activity=Around)

    @bench.registry.activity
    def act():
        around.append("act")

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity("act")

    bench.drive(bench.start("calls"))
    assert around == ["in", "act", "out"]


class Threads(SystemThreads):
    def __init__(self):
        self.names = []

    def start(self, work, name):
        self.names.append(name)
        return super().start(work, name)


def test_threads_are_those_that_it_was_given_and_each_lets_go_of_what_it_has():
    bench = Bench(clock=HostClock(), threads=1)
    threads, released, left = Threads(), [], threading.Semaphore(0)

    def release():
        released.append(threading.current_thread().name)
        left.release()

    @bench.registry.activity
    def act(): ...

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity("act")

    run_id = bench.start("calls")
    options: Any = {"worker_id": WORKER, "release_thread": release, "threads": threads}
    worker = Worker(bench.store, bench.queue, bench.registry, None, bench.settings, **options)
    worker.run(until=lambda: bench.client.find(run_id).status.is_closed)
    for _ in range(2):
        assert left.acquire(timeout=10.0)
    assert sorted(threads.names) == sorted(released) == ["durable-activity-1", "durable-heartbeat"]
    assert not worker.has_lost_threads


# What it claims


class Asked(InMemoryTaskQueue):
    """Writes down who asks for how much."""

    def __init__(self, clock, *, store):
        super().__init__(clock, store=store)
        self.asked: list[Any] = []

    def claim(self, worker_id, limits, *, queues, exclude):
        runs, activities = limits[EntryKind.RUN], limits[EntryKind.ACTIVITY]
        self.asked.append((self._clock.now(), worker_id, runs, activities, queues, exclude))
        return super().claim(worker_id, limits, queues=queues, exclude=exclude)


def asking(**settings):
    bench = Bench(**settings)
    bench.queue = Asked(bench.clock, store=bench.store)
    bench.client = Client(bench.store, bench.queue, bench.registry)
    return bench


def test_queue_is_asked_for_as_much_as_there_is_room_for():
    bench = asking(batch=7, threads=3, queues=("mail",), exclude=("other",))
    worker_of(bench).run(iterations=1)
    assert bench.queue.asked == [(bench.clock.now(), WORKER, 7, 3, ("mail",), ("other",))]


def test_queue_is_asked_once_a_tick_while_it_has_nothing():
    bench = asking(tick=5.0)
    begun = bench.clock.now()
    worker_of(bench).run(until=lambda: bench.clock.monotonic() >= 15)
    assert [(at - begun).total_seconds() for at, *_ in bench.queue.asked] == [0, 5, 10, 15]


def test_queue_is_asked_again_at_once_while_it_has_something():
    bench = asking(tick=5.0, batch=1)
    bench.registry.workflow(ends_at_once)
    for _ in range(3):
        bench.start("ends_at_once")
    worker_of(bench).run(iterations=5)
    assert len({at for at, *_ in bench.queue.asked[:4]}) == 1


def ends_at_once(ctx): ...


def test_what_is_held_takes_its_room():
    bench = asking(batch=7, threads=3)
    worker = worker_of(bench)
    worker._runs._held._dirty = dict.fromkeys(range(2))
    worker._executor._held = dict.fromkeys(range(1))
    assert not worker._claim()
    worker._runs._held._dirty = dict.fromkeys(range(9))
    worker._executor._held = dict.fromkeys(range(4))
    worker._hungry = True
    assert not worker._claim()
    assert [(runs, activities) for _at, _id, runs, activities, *_ in bench.queue.asked] == [(5, 2), (0, 0)]


def test_kind_that_there_was_no_room_for_is_asked_for_again_at_once():
    bench = asking(threads=3, tick=5.0)
    worker = worker_of(bench)
    worker._executor._held = dict.fromkeys(range(3))
    for _ in range(3):
        worker._claim()
    assert len(bench.queue.asked) == 3


def test_worker_that_stops_claims_nothing_more():
    bench = asking()
    bench.registry.workflow(ends_at_once)
    worker = worker_of(bench)
    worker.stop()
    worker.run()
    assert bench.queue.asked == []


# When nothing is left to do


@pytest.mark.parametrize(
    ("settings", "queue", "counts"),
    [
        ({}, "default", True),
        ({"exclude": ("default",)}, "default", False),
        ({"queues": ("mail",)}, "default", False),
        ({"queues": ("mail",)}, "mail", True),
        ({"queues": ("mail",), "exclude": ("mail",)}, "mail", True),
        ({}, private_queue(WORKER), False),
        ({"queues": (private_queue(WORKER),)}, private_queue(WORKER), True),
    ],
)
def test_entry_that_prefers_another_worker_is_waited_for_where_it_may_be_claimed_later(settings, queue, counts):
    diary = Diary()
    bench = Bench(hooks=diary, **settings)
    bench.queue.enqueue([Entry(EntryKind.RUN, uuid4(), queue, 0, uuid4())])
    worker_of(bench).run(until_idle=True)
    assert bench.clock.monotonic() >= 1 if counts else bench.clock.monotonic() < 1


def test_worker_with_an_activity_in_hand_is_not_idle(monkeypatch):
    worker = worker_of(Bench())
    assert worker._is_idle()
    for name in ("_executor._held", "_runs._held._dirty"):
        owner: Any = worker
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        with monkeypatch.context() as patch:
            patch.setattr(owner, last, {1: None})
            assert not worker._is_idle()
    worker._failures = 1
    assert not worker._is_idle()


def test_worker_that_cannot_ask_what_is_left_is_not_idle(monkeypatch):
    bench = Bench()
    worker = worker_of(bench)

    def unanswered():
        raise StoreUnavailable("no server")

    monkeypatch.setattr(bench.queue, "stats", unanswered)
    assert not worker._is_idle()
    assert worker._failures == 1


def test_what_is_due_this_very_moment_is_left_to_do():
    bench = Bench()
    worker = worker_of(bench)
    worker._scheduler.next_due = bench.store.now()
    assert not worker._is_idle()


def test_what_is_due_now_is_done_before_a_worker_is_idle():
    bench = Bench(tick=100.0)
    bench.registry.workflow(ends_at_once)
    later = bench.registry.workflows["ends_at_once"].using(run_after=10)
    run_id = bench.client.start(later, {}).run_id
    worker_of(bench).run(until_idle=True)
    assert bench.client.find(run_id).status is Status.PENDING
    assert bench.clock.monotonic() == 0
    bench.clock.advance(10)
    worker_of(bench).run(until_idle=True)
    assert bench.client.find(run_id).status is Status.COMPLETED


# Rest


class Dozing(ManualClock):
    """Writes down how long it is waited for."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, event, timeout):
        self.waits.append(timeout)
        super().wait(event, timeout)


def rests(bench, **changes):
    """How long a worker rests that finds things so."""
    clock = Dozing()
    clock.advance(50)
    worker = Worker(bench.store, bench.queue, bench.registry, clock, bench.settings)
    worker._scheduler._next_look = 50.0 + changes.pop("look_in", 100)
    if (overdue := changes.pop("overdue_in", None)) is not None:
        worker._executor.next_overdue = lambda: 50.0 + overdue  # type: ignore[method-assign]
    if changes.pop("is_busy", False):
        worker._runs = SimpleNamespace(is_busy=True)  # type: ignore[assignment]
    worker._failures = changes.pop("failures", 0)
    worker._wake.set()
    worker._rest()
    assert not changes
    [wait] = clock.waits
    return wait


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 8.0),
        ({"look_in": 2.0}, 2.0),
        ({"overdue_in": 3.0}, 3.0),
        ({"overdue_in": 3.0, "look_in": 2.0}, 2.0),
        ({"overdue_in": -1.0}, 0.0),
        ({"is_busy": True}, 0.005),
        ({"is_busy": True, "look_in": 0.001}, 0.001),
    ],
)
def test_worker_rests_until_the_first_of_what_may_come(changes, seconds):
    assert rests(Bench(tick=8.0), **changes) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("failures", "low", "high"), [(1, 0.1, 0.2), (3, 0.4, 0.8), (5, 1.6, 3.2), (6, 2.5, 5.0), (5000, 2.5, 5.0)]
)
def test_worker_leaves_a_store_alone_that_does_not_answer_and_ever_longer(failures, low, high, monkeypatch):
    asked = []

    def longest(*bounds):
        asked.append(bounds)
        return bounds[1]

    monkeypatch.setattr(random, "uniform", longest)
    bench = Bench(tick=0.01)
    asked.clear()
    assert rests(bench, failures=failures) == pytest.approx(high)
    assert asked[-1] == pytest.approx((low, high))


# Outages


class Away(InMemoryHistoryStore):
    """Does not answer for the first so many rounds."""

    left = 0
    fails = "next_due"

    def next_due(self):
        self.strike("next_due")
        return super().next_due()

    def add_worker(self, worker):
        self.strike("add_worker")
        super().add_worker(worker)

    def remove_worker(self, worker_id):
        self.strike("remove_worker")
        super().remove_worker(worker_id)

    def strike(self, name):
        if self.fails == name and self.left:
            self.left -= 1
            raise StoreUnavailable("no server")


def told_in(caplog, *words):
    return [record.levelname for record in caplog.records if any(word in record.getMessage() for word in words)]


@pytest.mark.parametrize("fails", ["next_due", "add_worker"])
def test_outage_is_complained_of_every_ten_seconds_and_its_end_is_told_once(fails, caplog):
    caplog.set_level("INFO")
    bench = Bench(Away, tick=0.2)
    bench.store.left, bench.store.fails = 9, fails  # 0.1 to 5 seconds between them
    worker_of(bench).run(until=lambda: "the store answers again" in caplog.text, iterations=100)
    complaints = told_in(caplog, "the store does not answer, trying again: no server")
    assert complaints == ["ERROR"] * len(complaints)
    assert 2 <= len(complaints) <= 1 + bench.clock.monotonic() / loop.LOG_INTERVAL
    assert told_in(caplog, "the store answers again") == ["INFO"]


def test_worker_that_cannot_say_goodbye_leaves_all_the_same(caplog):
    bench = Bench(Away)
    bench.store.left, bench.store.fails = 1, "remove_worker"
    worker_of(bench).run(iterations=1)
    assert told_in(caplog, "left without saying so, others will notice in a while: no server") == ["WARNING"]


# Draining


class Held(InMemoryHistoryStore):
    """Somebody holds the rows of all runs."""

    def commit(self, commits):
        return Committed({commit.run_id: CommitResult(Verdict.BUSY) for commit in commits}, [])


def held_back(**settings):
    """A run that a worker cannot be done with."""
    bench = Bench(Held, **settings)
    bench.registry.workflow(ends_at_once)
    bench.start("ends_at_once")
    return bench


@pytest.mark.parametrize("patience", [0.0, 3.0])
def test_worker_drains_for_as_long_as_it_may(patience):
    bench = held_back(drain_timeout=patience)
    worker_of(bench).run(iterations=1)
    assert patience <= bench.clock.monotonic() < patience + 0.1


def test_worker_that_is_told_twice_does_not_wait():
    bench = held_back(drain_timeout=30.0)
    worker = worker_of(bench)
    worker.run(until=lambda: worker.stop() or worker.stop())
    assert bench.clock.monotonic() < 1


def test_worker_with_nothing_to_do_does_not_wait():
    bench = Bench(drain_timeout=30.0)
    worker_of(bench).run(iterations=1)
    assert bench.clock.monotonic() < 1


# Taken for dead


def test_worker_that_was_buried_begins_anew(caplog):
    bench = Bench()
    worker = worker_of(bench)
    rounds = []

    def until():
        rounds.append(1)
        if len(rounds) == 1:
            bench.store.bury([WORKER])
            worker._on_declared_dead()
            assert worker._wake.is_set()
        else:
            assert [row.info.id for row in bench.store._workers] == [WORKER]
        return len(rounds) == 4

    worker.run(until=until)
    assert len(told_in(caplog, "declared dead by other workers")) == 1


def test_attempts_of_a_worker_that_was_buried_are_given_up():
    bench = Bench(exclude=("theirs",))

    @bench.registry.activity
    def act(): ...

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity(act.using(queue="theirs"))

    bench.start("calls")
    bench.worker().run(until_idle=True)
    [claim] = bench.queue.claim(WORKER, {EntryKind.ACTIVITY: 1}, queues=(), exclude=())
    [task], _ = bench.store.claim_tasks([claim.entry.ref], WORKER)
    worker = worker_of(bench)
    worker._on_declared_dead()
    worker.run(iterations=1)
    again, _ = bench.store.claim_tasks([task.id], uuid4())
    assert [other.attempt for other in again] == [1]  # what was claimed and not begun is charged to nobody
