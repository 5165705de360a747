"""One worker and its loop: what goes wrong with one run, one activity or one thread is nobody else's trouble."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from durable_core.activity import CurrentActivity, activity_heartbeat, current_activity
from durable_core.client import Client
from durable_core.definitions import Registry
from durable_core.errors import CodeStuck, ConfigurationError, StoreUnavailable, WaitTimeout
from durable_core.execution import Status, TaskStatus
from durable_core.failures import invented
from durable_core.ports import CommitResult, Committed, Entry, EntryKind, Receipt, Verdict
from durable_core.retry import RetryPolicy
from durable_core.testing import HostClock, InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings, dismiss
from durable_core.worker.activities import ActivityDesk
from durable_core.worker.attempts import failed
from durable_core.worker.inline import InlineExecutor
from durable_core.worker.liveness import CodeWatch
from durable_core.worker.scheduler import Scheduler
from durable_core.worker.slots import SlotTable
from tests.core.test_attempts import task_of

ROUNDS = 2_000  # more than any of these runs needs
LONG = 10.0  # real seconds: only ever waited for when a test fails


class Bench:
    """A store, a queue and workers for them; with a clock that stands still, all in the thread of the test."""

    def __init__(self, store=InMemoryHistoryStore, clock=None, **settings):
        self.clock = clock or ManualClock()
        self.registry = Registry()
        self.store = store(self.clock)
        self.queue = InMemoryTaskQueue(self.clock, store=self.store)
        self.client = Client(self.store, self.queue, self.registry)
        self.settings = WorkerSettings(**{"inline": clock is None, "tick": 0.2 if clock is None else 0.01, **settings})

    def worker(self):
        clock = None if isinstance(self.clock, HostClock) else self.clock
        return Worker(self.store, self.queue, self.registry, clock, self.settings)

    def drive(self, *run_ids, to=lambda status: status.is_closed):
        rounds = 0

        def until():
            nonlocal rounds
            rounds += 1
            assert rounds < ROUNDS, "a run is stuck"
            return all(to(self.client.find(run_id).status) for run_id in run_ids)

        self.worker().run(until=until)

    def start(self, name, **kwargs):
        return self.client.start(name, kwargs).run_id

    def result(self, run_id):
        return self.client.result(run_id, timeout=0)


def blocked(status):
    return status is Status.BLOCKED


# Runs


def test_a_history_that_cannot_be_read_blocks_its_run_and_no_other(caplog):
    bench = Bench(cache_size=0)

    @bench.registry.workflow
    def waits(ctx):
        return ctx.wait_signal("go")

    broken, sound = bench.start("waits"), bench.start("waits")
    bench.drive(broken, sound, to=lambda status: status is Status.RUNNING)
    history = bench.store._events[broken]
    history[1] = history[1]._replace(details="not JSON")
    for run_id in (broken, sound):
        bench.client.signal(run_id, "go", 1)
    bench.drive(sound)
    assert bench.result(sound) == 1
    record = bench.client.find(broken)
    assert record.status is Status.BLOCKED
    assert record.error.startswith("PayloadError: stored payload is not valid JSON")
    assert "a decision could not be made" in caplog.text


def test_a_start_so_late_that_its_time_limit_has_no_date_is_refused():
    bench = Bench()
    far = HostClock().now().replace(year=9998)

    @bench.registry.workflow
    def child(ctx): ...

    @bench.registry.workflow
    def parent(ctx):
        return ctx.run_workflow(child.using(run_after=far, timeout=10**9))

    with pytest.raises(ConfigurationError, match="a year from 2 to 8999"):
        child.using(run_after=far)
    run_id = bench.start("parent")
    bench.drive(run_id)
    assert "a year from 2 to 8999" in bench.client.find(run_id).error


class Busy(InMemoryHistoryStore):
    """Somebody holds every run that is to be blocked, for a while."""

    left = 5
    loads = 0

    def load(self, run_ids):
        self.loads += 1
        return super().load(run_ids)

    def commit(self, commits):
        if self.left and any(commit.status is Status.BLOCKED for commit in commits):
            self.left -= 1
            return Committed({commit.run_id: CommitResult(Verdict.BUSY) for commit in commits}, [])
        return super().commit(commits)


def test_a_run_that_is_to_be_blocked_is_loaded_once_however_long_somebody_holds_it():
    bench = Bench(Busy)
    wanted = ["one"]

    @bench.registry.workflow
    def changes(ctx):
        ctx.wait_signal(wanted[0])

    run_id = bench.start("changes")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    wanted[0] = "other"
    bench.client.signal(run_id, "one")
    bench.store.loads = 0
    bench.drive(run_id, to=blocked)
    assert (bench.store.left, bench.store.loads) == (0, 1)


def test_time_passes_up_to_the_moment_that_a_run_waits_for():
    bench = Bench(tick=0.2)

    @bench.registry.workflow
    def sleeps(ctx):
        for _ in range(5):
            ctx.sleep(1.0)

    run_id = bench.start("sleeps")
    bench.drive(run_id)
    assert 5 <= bench.clock.monotonic() < 5.5


def test_runs_that_go_on_soon_stay_in_memory_and_no_others():
    table = SlotTable(1)
    first, second, third = (table.touch(task_of().run_id.__class__(int=n)) for n in range(3))
    table.shrink(lambda: {first.run_id})
    assert [slot.run_id for slot in table] == [first.run_id]
    table.touch(second.run_id)
    table.shrink(frozenset)
    assert [slot.run_id for slot in table] == [second.run_id]
    assert third.is_idle


class Hasty(InMemoryHistoryStore):
    """One whose clock can be read too early, as by a process whose reading of the server's took a while."""

    lag = timedelta()

    def now(self):
        return super().now() - self.lag


def test_a_cancel_is_never_older_than_what_stands_before_it():
    bench = Bench(Hasty)

    @bench.registry.workflow
    def waits(ctx):
        return ctx.wait_signal("go")

    run_id = bench.start("waits")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    bench.store.lag = timedelta(milliseconds=3)
    bench.client.signal(run_id, "go")
    assert bench.client.cancel(run_id)
    times = [event.created_at for event in bench.store.load([run_id])[run_id].events]
    assert len(times) == 4
    assert times == sorted(times)


# Code that does not come back


def a_run() -> Any:
    """As much of a run as is looked at from outside."""
    return SimpleNamespace(history_length=0)


def stuck(watch, clock, *, after):
    """Code that is looked at while it computes."""
    clock.advance(after)
    watch.look()
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        pass


def test_code_that_makes_calls_is_not_stuck_however_long_it_takes():
    clock, run = ManualClock(), a_run()
    watch = CodeWatch(clock, 10.0)
    with watch.over(run):
        for _ in range(5):
            run.history_length += 1
            stuck(watch, clock, after=8)
    with pytest.raises(CodeStuck), watch.over(run):
        stuck(watch, clock, after=11)


def test_what_code_does_after_it_caught_its_interruption_is_not_believed():
    clock = ManualClock()
    watch = CodeWatch(clock, 10.0)
    caught: list[BaseException] = []

    def catch_all():
        try:
            stuck(watch, clock, after=11)
        except CodeStuck as error:
            caught.append(error)

    with pytest.raises(CodeStuck), watch.over(a_run()):
        catch_all()
    assert caught
    with watch.over(a_run()):  # of the next run, nothing is held against it
        pass


def test_ctrl_c_in_an_activity_stops_a_worker_in_the_callers_thread_and_charges_no_attempt():
    bench = Bench()
    attempts = []

    @bench.registry.activity
    def interrupted():
        attempts.append(current_activity().attempt)
        if len(attempts) == 1:
            raise KeyboardInterrupt
        return "done"

    @bench.registry.workflow
    def calls(ctx):
        return ctx.run_activity("interrupted")

    run_id = bench.start("calls")
    with pytest.raises(KeyboardInterrupt):
        bench.drive(run_id)
    bench.drive(run_id)
    assert (bench.result(run_id), attempts) == ("done", [1, 1])


# Signs of life


class Deaf(InMemoryHistoryStore):
    """Does not answer the thread that beats, neither the first time it asks for the time nor at its first beat."""

    def __init__(self, clock):
        super().__init__(clock)
        self.failures = ["beat", "now"]
        self.beaten = threading.Event()

    def now(self):
        if "now" in self.failures and threading.current_thread().name == "durable-heartbeat":
            self.failures.remove("now")
            raise StoreUnavailable("no server")
        return super().now()

    def beat(self, worker_id, beats):
        details = [beat.details for beat in beats if beat.details is not None]
        if details and "beat" in self.failures:
            self.failures.remove("beat")
            raise StoreUnavailable("no server")
        reply = super().beat(worker_id, beats)
        if details:
            self.beaten.set()
        return reply


def test_a_heartbeat_outlives_an_outage():
    bench = Bench(Deaf, HostClock(), heartbeat_interval=0.05)

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=0), heartbeat_timeout=LONG)
    def beats():
        current = current_activity()
        if current.attempt > 1:
            return current.heartbeat_details
        activity_heartbeat("half")
        activity_heartbeat()  # alive, and nothing new to say
        assert bench.store.beaten.wait(LONG), "the heartbeat was lost"
        raise ValueError("again")

    @bench.registry.workflow
    def calls(ctx):
        return ctx.run_activity("beats")

    run_id = bench.start("calls")
    bench.drive(run_id)
    assert (bench.result(run_id), bench.store.failures) == ("half", [])


def test_a_heartbeat_without_details_keeps_those_that_are_not_written_yet():
    current = CurrentActivity(task_of())
    current.heartbeat([1])
    current.heartbeat()
    beat = current.take_beat()
    assert beat == ("[1]",)
    current.put_back(beat)
    current.heartbeat([2])
    current.put_back(beat)
    assert current.take_beat() == ("[2]",)
    assert current.take_beat() is None


# Letting go


def attempts_of_one_activity(bench, queue="default"):
    """Of the activity on *queue* that the workflow `calls` runs, as they are made."""
    attempts = []

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=0))
    def act():
        attempts.append(current_activity().attempt)

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity(act.using(queue=queue))
        return "done"

    return attempts


class Held(InMemoryHistoryStore):
    """Somebody holds every activity, for as long as the first worker lives."""

    is_held = True

    def record_outcomes(self, outcomes):
        if self.is_held:
            return Receipt(frozenset(), [], frozenset(outcome.task_id for outcome in outcomes))
        return super().record_outcomes(outcomes)


def test_a_worker_that_could_not_say_how_its_activity_ended_is_buried_by_others():
    bench = Bench(Held, HostClock(), cache_size=0, heartbeat_interval=0.05, worker_timeout=timedelta(seconds=0.2))
    attempts = attempts_of_one_activity(bench)
    run_id = bench.start("calls")
    bench.settings = replace(bench.settings, drain_timeout=0)
    bench.worker().run(until=lambda: bool(attempts))
    bench.store.is_held = False
    worker = bench.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        bench.client.result(run_id, timeout=LONG)
    finally:
        worker.stop()
        thread.join(LONG)
    assert attempts == [1, 2]


def test_what_a_dismissed_worker_could_not_give_back_goes_to_others():
    bench = Bench(Held, cache_size=0)
    attempts = attempts_of_one_activity(bench)
    run_id = bench.start("calls")
    registered, bench.settings = bench.settings, replace(bench.settings, registered=True, drain_timeout=0)
    worker = bench.worker()
    worker.run(until=lambda: bool(attempts))
    bench.store.is_held = False
    dismiss(worker.id, bench.store, bench.queue)
    bench.settings = registered
    bench.drive(run_id)
    assert attempts == [1, 2]


def test_what_a_worker_begins_after_its_burial_and_dies_over_goes_to_others():
    """It was paused, went on, and died before its next heartbeat could tell it that others had buried it."""
    bench = Bench(clock=HostClock(), heartbeat_interval=0.01)
    attempts = attempts_of_one_activity(bench, queue="theirs")
    run_id, buried = bench.start("calls"), uuid4()
    bench.settings, everything = replace(bench.settings, exclude=("theirs",)), bench.settings
    bench.worker().run(until_idle=True)
    [claim] = bench.queue.claim(buried, {EntryKind.ACTIVITY: 1}, queues=(), exclude=())
    bench.store.claim_tasks([claim.entry.ref], buried)
    bench.queue.complete([claim])
    bench.settings = everything
    worker = bench.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        bench.client.result(run_id, timeout=LONG)
    finally:
        worker.stop()
        thread.join(LONG)
    assert attempts == [2]


def test_a_worker_buried_alive_is_no_reason_to_give_an_activity_up():
    """Until its next heartbeat it claims on, and all that it claims is taken away from it at each roll call."""
    bench = Bench(exclude=("theirs",), max_crashes=2)
    act = bench.registry.activity(retry_policy=RetryPolicy(initial_interval=0))(ends_at_once)

    @bench.registry.workflow
    def calls(ctx):
        return ctx.run_activity(act.using(queue="theirs"), None)

    run_id, buried = bench.start("calls"), uuid4()
    bench.worker().run(until_idle=True)
    for _ in range(bench.settings.max_crashes + 1):
        [claim] = bench.queue.claim(buried, {EntryKind.ACTIVITY: 1}, queues=(), exclude=())
        [attempt], _ = bench.store.claim_tasks([claim.entry.ref], buried)
        bench.queue.complete([claim])
        scheduler = Scheduler(bench.store, bench.queue, bench.clock, replace(bench.settings, inline=False))
        bench.clock.advance(timedelta(seconds=bench.settings.heartbeat_interval))
        scheduler.turn()
        assert bench.store.task_status(attempt.id) is TaskStatus.QUEUED
    bench.settings = replace(bench.settings, exclude=())
    bench.drive(run_id)
    assert bench.store.get(run_id).status is Status.COMPLETED


def test_claim_whose_reply_was_lost_is_given_back_although_an_earlier_attempt_is_not_reported_yet():
    bench = Bench(exclude=("theirs",))
    act = bench.registry.activity(ends_at_once)

    @bench.registry.workflow
    def calls(ctx):
        ctx.run_activity(act.using(queue="theirs"), None)

    bench.start("calls")
    bench.worker().run(until_idle=True)
    worker_id = uuid4()
    [claim] = bench.queue.claim(worker_id, {EntryKind.ACTIVITY: 1}, queues=(), exclude=())
    [first], _ = bench.store.claim_tasks([claim.entry.ref], worker_id)
    executor = InlineExecutor(slots=1, clock=bench.clock, wake=lambda: None, payload_limit=100)
    desk = ActivityDesk(bench.store, bench.queue, bench.registry, executor, worker_id, max_crashes=3)
    outcome = failed(first, invented("Error", "no"), bench.store.now(), next_delay=timedelta(0))
    desk.report(outcome)
    bench.store.record_outcomes([outcome])  # which the desk was not told
    bench.store.claim_tasks([first.id], worker_id)  # nor was it of this
    desk.reconcile(())
    assert bench.store.task_status(first.id) is TaskStatus.QUEUED


class Forgetful(InMemoryHistoryStore):
    """Gives nothing back the first time that it is asked to."""

    has_failed = False

    def give_back(self, attempts):
        if not self.has_failed:
            self.has_failed = True
            raise StoreUnavailable("no server", ambiguous=False)
        return super().give_back(attempts)


@pytest.mark.parametrize("stops", [True, False], ids=["draining", "working on"])
def test_what_could_not_be_given_back_in_an_outage_is_not_lost(stops):
    bench = Bench(Forgetful, HostClock(), threads=1)
    began, gate = threading.Event(), threading.Event()

    @bench.registry.activity
    def quick(): ...

    @bench.registry.activity
    def act(n):
        if n == 0:
            began.set()
            assert gate.wait(LONG)
        return n

    @bench.registry.workflow
    def learns(ctx):
        for n in range(1, 4):
            ctx.run_activity("act", n)

    @bench.registry.workflow
    def calls(ctx):
        return [ctx.wait_activity(handle) for handle in [ctx.start_activity("act", n) for n in range(3)]]

    worker = bench.worker()
    lesson = bench.start("learns")  # that `act` is quick, and may wait for the thread
    thread = threading.Thread(target=worker.run)
    thread.start()
    bench.client.result(lesson, timeout=LONG)
    run_id = bench.start("calls")
    assert began.wait(LONG)
    if stops:
        worker.stop()
    deadline = time.monotonic() + LONG
    while not bench.store.has_failed and time.monotonic() < deadline:
        gate.wait(0.01)
    assert bench.store.has_failed
    gate.set()
    if stops:
        thread.join(LONG)
        bench.drive(run_id)
    try:
        assert bench.client.result(run_id, timeout=LONG) == [0, 1, 2]
    except WaitTimeout:
        raise AssertionError("activities are claimed by nobody who lives") from None
    finally:
        worker.stop()
        thread.join(LONG)


def ends_at_once(ctx):
    pass


def test_backlog_of_a_queue_that_can_lose_entries_is_not_multiplied():
    """Nobody serves the queue for an hour: its runs are late, not lost."""
    bench = Bench(queues=("other",), tick=5.0)
    bench.queue = InMemoryTaskQueue(bench.clock)
    bench.client = Client(bench.store, bench.queue, bench.registry)
    bench.registry.workflow(ends_at_once)
    for _ in range(5):
        bench.start("ends_at_once")
    bench.worker().run(until=lambda: bench.clock.monotonic() > 3600)
    [stats] = bench.queue.stats()
    assert 5 < stats.ready <= 5 * 15, "twice as long each time, and every ten minutes in the end"


@pytest.mark.promise("P9")
def test_lost_entry_is_found_behind_a_backlog():
    bench = Bench(tick=5.0)
    bench.queue = InMemoryTaskQueue(bench.clock)
    bench.client = Client(bench.store, bench.queue, bench.registry)
    bench.registry.workflow(ends_at_once)
    run_id = bench.start("ends_at_once")
    bench.queue.complete(bench.queue.claim(uuid4(), {EntryKind.RUN: 1}, queues=(), exclude=()))
    bench.queue.enqueue([Entry(EntryKind.RUN, uuid4(), "of nobody")])
    bench.settings = replace(bench.settings, exclude=("of nobody",))
    bench.drive(run_id)
    assert bench.clock.monotonic() <= 2 * bench.settings.redelivery.total_seconds()
