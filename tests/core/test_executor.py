"""Threads that run attempts: interrupted when late, replaced when stuck, never lost to what an activity does."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from durable_core.activity import CurrentActivity, activity_heartbeat, current_activity, enter
from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import ActivityCanceled, ActivityInterrupted, DurableError
from durable_core.hooks import Announcer
from durable_core.ports import TaskRecord
from durable_core.retry import RetryPolicy
from durable_core.testing.clock import ManualClock
from durable_core.worker.executor import STOP_GRACE, ActivityExecutor
from durable_core.worker.inline import InlineExecutor
from tests.core.test_attempts import task_of

LONG = 10.0  # real seconds: only ever waited for when a test fails


class Bench:
    """An executor, a clock that stands still, and a way to wait for what threads do."""

    def __init__(self, threads=2, executor=ActivityExecutor, **options):
        self.clock = ManualClock()
        self.woken = threading.Semaphore(0)
        self.executor: ActivityExecutor = executor(
            slots=threads, clock=self.clock, wake=self.woken.release, payload_limit=1000, **options
        )

    def submit(self, fn, *args, policy=None, **changes):
        definition = Registry()
        definition.activity_from(fn, name="act", retry_policy=policy)
        task = task_of(**changes)
        task = replace(task, input=encode({"args": args, "kwargs": {}}), activity_name="act")
        self.executor.submit(task, definition.activities["act"])
        return next(reversed(self.executor.attempts()))

    def ending(self):
        """The next ending that counts."""
        while True:
            assert self.woken.acquire(timeout=LONG), "no attempt has ended"
            if endings := self.executor.endings():
                (ending,) = endings
                return ending

    def run(self, fn, *args, **changes):
        self.submit(fn, *args, **changes)
        return self.ending()


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.executor.close()


@pytest.fixture
def narrow():
    bench = Bench(threads=1)
    yield bench
    bench.executor.close()


def begun(event):
    assert event.wait(LONG), "the activity did not begin"


class Stubborn:
    """An activity that swallows interruptions until it is let go."""

    def __init__(self):
        self.began, self.interrupted, self.release = threading.Event(), threading.Event(), threading.Event()

    def activity(self):
        def act():
            self.began.set()
            while not self.release.is_set():
                try:
                    while not self.release.is_set():
                        self.release.wait(0.005)
                except ActivityInterrupted:
                    self.interrupted.set()

        return act


# How attempts end


def test_a_result_is_encoded(bench):
    assert bench.run(lambda a, b: {"sum": a + b}, 1, 2).result == '{"sum":3}'
    assert bench.run(lambda: None).result == "null"
    assert bench.run(lambda: 0).result == "0"
    assert bench.executor.held == 0


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")]
)
def test_whatever_is_raised_is_a_failed_attempt(bench, error):
    def act():
        raise error

    ending = bench.run(act, attempt=3)
    assert ending.result is None
    assert ending.failure["type"] == type(error).__name__
    assert ending.failure["attempt"] == 3
    assert ending.type_names[0] == type(error).__name__
    assert ending.type_names[-1] == "BaseException"
    assert ending.retryable
    assert bench.run(lambda: "alive").result == '"alive"'


def test_sys_exit_costs_no_thread(narrow):
    for _ in range(3):
        assert narrow.run(lambda: sys.exit(1)).failure["type"] == "SystemExit"
    assert narrow.run(lambda: 1).result == "1"
    assert narrow.executor.lost_threads == 0


@pytest.mark.parametrize("result", [object(), float("nan"), b"x", "x" * 2000])
def test_a_result_that_cannot_be_stored_is_not_tried_again(bench, result):
    calls = []

    def act():
        calls.append(1)
        return result

    ending = bench.run(act)
    assert (ending.failure["type"], ending.retryable, len(calls)) == ("PayloadError", False, 1)
    assert "the result of activity 'act'" in ending.failure["message"]


def test_retry_if_is_asked_and_may_be_broken(bench):
    def act():
        raise ValueError("no")

    def broken(error):
        raise SystemExit

    assert bench.run(act, policy=RetryPolicy(retry_if=lambda error: "yes" in str(error))).retryable is False
    assert bench.run(act, policy=RetryPolicy(retry_if=lambda error: "no" in str(error))).retryable is True
    assert bench.run(act, policy=RetryPolicy(retry_if=broken)).retryable is True


@pytest.mark.parametrize(
    ("wish", "delay"),
    [
        (5, timedelta(seconds=5)),
        (timedelta(0), timedelta(0)),
        (None, None),
        (-1, None),
        ("x", None),
        (timedelta.max, None),
        (float("nan"), None),
    ],
)
def test_an_error_may_wish_for_a_delay_and_senseless_wishes_are_passed_over(bench, wish, delay):
    def act():
        raise Later("later")

    class Later(Exception):
        next_retry_delay = wish

    ending = bench.run(act)
    assert ending.next_delay == delay
    assert ending.failure["message"] == "later"


def test_an_activity_knows_its_attempt_and_nobody_else_does(bench):
    def act():
        current = current_activity()
        activity_heartbeat({"at": 5})
        return [current.attempt, current.name, current.idempotency_key, current.heartbeat_details, current.canceled]

    task = task_of()
    ending = bench.run(act, attempt=2, heartbeat_details=encode([1]))
    assert ending.result == encode([2, "act", f"{task.run_id}:0", [1], False])
    assert ending.attempt.current.take_beat() == ('{"at":5}',)
    assert ending.attempt.current.take_beat() is None
    with pytest.raises(DurableError, match="outside of an activity"):
        current_activity()
    activity_heartbeat()  # in a unit test of an activity: nothing


def test_a_canceled_activity_hears_of_it_at_its_next_heartbeat(bench):
    began, told = threading.Event(), threading.Event()

    def act():
        began.set()
        assert told.wait(LONG)
        activity_heartbeat()

    attempt = bench.submit(act)
    begun(began)
    attempt.current.cancel()
    told.set()
    ending = bench.ending()
    assert (ending.canceled, ending.failure["type"]) == (True, "ActivityCanceled")


def test_attempts_are_wrapped_and_the_wrapping_may_fail():
    seen = []

    @contextmanager
    def around():
        seen.append("in")
        yield
        seen.append("out")
        if len(seen) > 2:
            raise OSError("no connection")

    bench = Bench(around=around)
    assert bench.run(lambda: seen.append("act")).failure["type"] == "OSError"
    assert seen == ["in", "act", "out"]
    bench.executor.close()


# Time


def test_a_late_attempt_is_interrupted_and_its_own_ending_ignored(narrow):
    began, left = threading.Event(), threading.Event()

    def act():
        try:
            began.set()
            while True:
                left.wait(0.001)
        finally:
            left.set()

    attempt = narrow.submit(act, start_to_close=timedelta(seconds=5))
    begun(began)
    assert narrow.executor.next_overdue() == 5.0
    narrow.clock.advance(4.9)
    assert narrow.executor.overdue() == []
    narrow.clock.advance(0.1)
    assert narrow.executor.overdue() == [attempt]
    assert left.wait(LONG)
    assert attempt.current.canceled
    assert narrow.executor.held == 0
    assert narrow.run(lambda: "next").result == '"next"'
    narrow.executor.replace_stuck_threads()
    assert narrow.executor.lost_threads == 0
    assert narrow.executor.next_overdue() is None


def test_an_attempt_that_made_it_after_all_is_not_late(bench):
    attempt = bench.submit(lambda: "made it", start_to_close=timedelta(seconds=5))
    assert bench.woken.acquire(timeout=LONG)
    bench.clock.advance(5)
    assert bench.executor.overdue() == []
    (ending,) = bench.executor.endings()
    assert (ending.attempt, ending.result) == (attempt, '"made it"')


def test_interruptions_hit_nobody_else(narrow):
    """The exception is raised in a thread, not in an attempt: it must not reach the attempt that comes next."""
    for _ in range(200):
        attempt = narrow.submit(lambda: None)
        narrow.executor.abandon(attempt)  # before, while or after it runs
        assert narrow.run(lambda: "whole").result == '"whole"'
        narrow.executor.replace_stuck_threads()
    assert narrow.executor.lost_threads == 0
    assert narrow.executor.held == 0


def test_a_stuck_thread_is_replaced(narrow):
    stubborn = Stubborn()
    attempt = narrow.submit(stubborn.activity(), start_to_close=timedelta(seconds=5))
    begun(stubborn.began)
    narrow.clock.advance(5)
    assert narrow.executor.overdue() == [attempt]
    assert stubborn.interrupted.wait(LONG)
    narrow.submit(lambda: "behind it")  # the only thread is stuck
    narrow.clock.advance(STOP_GRACE)
    narrow.executor.replace_stuck_threads()
    assert narrow.executor.lost_threads == 0
    narrow.clock.advance(0.1)
    narrow.executor.replace_stuck_threads()
    assert narrow.executor.lost_threads == 1
    assert narrow.ending().result == '"behind it"'
    stubborn.release.set()


def test_a_stuck_thread_does_not_hold_up_free_slots(bench):
    stubborn = Stubborn()
    attempt = bench.submit(stubborn.activity())
    begun(stubborn.began)
    bench.executor.abandon(attempt)
    assert bench.run(lambda: "at once").result == '"at once"'
    stubborn.release.set()


def test_a_thread_that_comes_back_too_late_leaves(narrow):
    stubborn = Stubborn()
    attempt = narrow.submit(stubborn.activity())
    begun(stubborn.began)
    (thread,) = [thread for thread in threading.enumerate() if thread.ident == attempt.thread_id]
    narrow.executor.abandon(attempt)
    narrow.clock.advance(STOP_GRACE + 1)
    narrow.executor.replace_stuck_threads()
    stubborn.release.set()
    thread.join(LONG)
    assert not thread.is_alive()  # else there were more threads than slots
    assert narrow.run(lambda: 1).result == "1"


# Room


def test_attempts_that_have_not_begun_can_be_withdrawn(narrow):
    gate, began, calls = threading.Event(), threading.Event(), []

    def busy():
        began.set()
        assert gate.wait(LONG)

    running = narrow.submit(busy)
    begun(began)
    waiting = narrow.submit(lambda: calls.append(1))
    assert narrow.executor.withdraw() == [waiting]
    assert narrow.executor.attempts() == [running]
    gate.set()
    assert narrow.ending().attempt is running
    assert narrow.run(lambda: 1).result == "1"
    assert calls == []


def test_what_has_begun_can_be_withdrawn_too_and_its_ending_is_ignored(narrow):
    gate, began = threading.Event(), threading.Event()

    def busy():
        began.set()
        assert gate.wait(LONG)

    running = narrow.submit(busy)
    begun(began)
    assert narrow.executor.withdraw(begun=True) == [running]
    gate.set()
    assert narrow.woken.acquire(timeout=LONG)
    assert narrow.executor.endings() == []


def test_only_quick_activities_may_wait_for_a_thread(narrow):
    assert narrow.executor.has_room("act", 0.05, 0)
    assert not narrow.executor.has_room("act", 0.05, 1)  # unknown: not quick
    narrow.run(lambda: None)
    assert narrow.executor.has_room("act", 0.05, 1)
    for _ in range(50):
        narrow.run(lambda: narrow.clock.advance(1))
    assert narrow.executor.has_room("act", 0.05, 0)
    assert not narrow.executor.has_room("act", 0.05, 1)
    assert not narrow.executor.has_room("other", 0.05, 1)


def test_there_are_never_more_threads_than_slots():
    bench = Bench(threads=3)
    gate, most, lock, running = threading.Event(), [0], threading.Lock(), [0]

    def act():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(0.001)
        with lock:
            running[0] -= 1

    for _ in range(30):
        bench.submit(act)
    ended = 0
    while ended < 30:
        assert bench.woken.acquire(timeout=LONG)
        ended += len(bench.executor.endings())
    assert most[0] <= 3
    bench.executor.close()


# Room: how much, for whom


@pytest.mark.parametrize(
    ("usual", "held", "reserved", "has_room"),
    [
        (None, 0, 0, True),
        (None, 1, 0, True),
        (None, 2, 0, False),
        (None, 0, 2, False),
        (None, 1, 1, False),
        (0.05, 2, 0, True),
        (0.1, 2, 0, False),
        (0.06, 2, 1, False),
        (0.04, 3, 0, True),
    ],
)
def test_backlog_is_as_long_as_threads_will_take_for_it(usual, held, reserved, has_room, bench, monkeypatch):
    """Two threads, and 0.05 seconds to wait: what waits may take 0.1 seconds in all, and not a bit more."""
    monkeypatch.setattr(bench.executor, "_held", dict.fromkeys(range(held)))
    if usual is not None:
        monkeypatch.setattr(bench.executor, "_usual", {"act": usual})
    assert bench.executor.has_room("act", 0.05, reserved) == has_room


def test_pace_of_an_activity_follows_its_quicker_attempts(bench):
    paces = []
    for seconds in (1.0, 2.0, 0.5):
        bench.executor._learn("act", seconds)
        paces.append(bench.executor._usual["act"])
    assert paces == pytest.approx([1.0, 1.01, 1.01 - 0.2 * 0.51])


def test_time_that_an_attempt_took_is_part_of_its_ending(bench):
    assert bench.run(lambda: bench.clock.advance(3)).seconds == 3.0


def test_backlog_that_has_waited_for_a_second_is_for_others(narrow):
    gate, began = threading.Event(), threading.Event()

    def busy():
        began.set()
        assert gate.wait(LONG)

    narrow.clock.advance(100)
    narrow.submit(busy)
    begun(began)
    narrow.clock.advance(50)
    assert not narrow.executor.has_stalled
    narrow.submit(lambda: None)
    narrow.clock.advance(1)
    assert not narrow.executor.has_stalled
    narrow.clock.advance(0.1)
    assert narrow.executor.has_stalled
    gate.set()
    while narrow.executor.held:
        assert narrow.woken.acquire(timeout=LONG)
        narrow.executor.endings()
    assert not narrow.executor.has_stalled


def test_loop_is_told_of_every_attempt_that_is_taken_in():
    told: list[TaskRecord] = []
    clock = ManualClock()
    executor = ActivityExecutor(slots=1, clock=clock, wake=lambda: None, payload_limit=10, on_begin=told.append)
    definition = Registry()
    definition.activity_from(lambda: None, name="act")
    task = replace(task_of(), input=encode({"args": [], "kwargs": {}}))
    executor.submit(task, definition.activities["act"])
    assert told == [task]
    executor.close()


# What cannot be used


def test_attempt_whose_claim_is_lost_is_stopped_and_its_ending_ignored(narrow):
    stubborn = Stubborn()
    attempt = narrow.submit(stubborn.activity())
    begun(stubborn.began)
    narrow.executor.forfeit(attempt)
    assert narrow.woken.acquire(timeout=LONG)  # the loop is to look at it
    assert narrow.executor.held == 1
    narrow.executor.stop_forfeited()
    assert narrow.executor.held == 0
    assert stubborn.interrupted.wait(LONG)
    narrow.executor.forfeit(attempt)  # a second time
    narrow.executor.stop_forfeited()
    stubborn.release.set()
    assert narrow.run(lambda: 1).result == "1"


def test_thread_that_is_given_up_is_told_of_with_its_activity_and_run(narrow, caplog):
    stubborn = Stubborn()
    attempt = narrow.submit(stubborn.activity())
    begun(stubborn.began)
    narrow.executor.abandon(attempt)
    narrow.clock.advance(STOP_GRACE + 1)
    narrow.executor.replace_stuck_threads()
    [record] = caplog.records
    assert record.getMessage() == "activity act did not stop when interrupted; its thread is given up"
    assert record.levelname == "WARNING"
    assert (record.execution_id, record.activity) == (str(attempt.task.run_id), "act")
    narrow.executor.replace_stuck_threads()
    assert narrow.executor.lost_threads == 1
    stubborn.release.set()


def test_policy_that_fails_is_told_of_and_its_attempt_is_tried_again(bench, caplog):
    def act():
        raise ValueError("no")

    def broken(error):
        raise KeyError("a secret")

    assert bench.run(act, policy=RetryPolicy(retry_if=broken)).retryable
    [record] = caplog.records
    assert record.getMessage().startswith("activity act: its retry policy failed: KeyError at ")
    assert record.levelname == "WARNING"
    assert "secret" not in record.getMessage()


def test_cancel_that_nobody_asked_for_is_a_failure_like_any_other(bench):
    def act():
        raise ActivityCanceled("act", type_name="ActivityCanceled", message="by itself")

    ending = bench.run(act)
    assert (ending.canceled, ending.failure["type"]) == (False, "ActivityCanceled")


def test_threads_are_numbered_and_no_more_than_there_is_work(bench):
    names = [bench.run(lambda: threading.current_thread().name).result for _ in range(3)]
    assert set(names) == {'"durable-activity-1"'}


def test_all_threads_let_go_of_what_they_have_when_the_executor_closes():
    released = threading.Semaphore(0)
    executor = ActivityExecutor(
        slots=2, clock=ManualClock(), wake=lambda: None, payload_limit=10, release_thread=released.release
    )
    registry = Registry()
    gate = threading.Barrier(2)
    registry.activity_from(lambda: gate.wait(LONG) and None, name="act")
    for number in (1, 2):
        task = replace(task_of(id=UUID(int=number)), input=encode({"args": [], "kwargs": {}}))
        executor.submit(task, registry.activities["act"])
    executor.close()
    for _ in range(2):
        assert released.acquire(timeout=LONG)


# In the loop's own thread


def inline(fn):
    clock = ManualClock()
    clock.advance(10)
    woken: list[int] = []
    executor = InlineExecutor(slots=2, clock=clock, wake=lambda: woken.append(1), payload_limit=1000)
    registry = Registry()
    registry.activity_from(fn, name="act")
    task = replace(task_of(), input=encode({"args": [], "kwargs": {}}), activity_name="act")
    executor.submit(task, registry.activities["act"])
    return executor, task


def test_attempts_run_when_they_are_asked_for():
    calls = []
    executor, task = inline(lambda: calls.append(1))
    assert (calls, executor.held) == ([], 1)
    [ending] = executor.endings()
    assert (calls, executor.held, ending.result) == ([1], 0, "null")
    assert (ending.attempt.task, ending.attempt.current.id) == (task, task.id)
    assert executor.endings() == []


def test_what_is_current_outside_is_so_again_afterwards():
    executor, _task = inline(lambda: current_activity().attempt)
    outside = CurrentActivity(task_of(attempt=7))
    enter(outside)
    try:
        [ending] = executor.endings()
        assert ending.result == "1"
        assert current_activity() is outside
    finally:
        enter(None)


def test_ctrl_c_is_for_the_process():
    def act():
        raise KeyboardInterrupt

    executor, _task = inline(act)
    with pytest.raises(KeyboardInterrupt):
        executor.endings()


def test_attempt_that_was_cut_short_by_ctrl_c_has_an_ending_that_says_so():
    def act():
        raise KeyboardInterrupt

    executor, _task = inline(act)
    with pytest.raises(KeyboardInterrupt):
        executor.endings()
    [ending] = executor.endings()
    assert ending.result is None
    assert ending.failure is not None
    assert (ending.failure["type"], ending.failure["message"]) == (
        "ActivityInterrupted",
        "the activity was interrupted",
    )


def test_plugins_are_handed_the_call_and_what_performs_it():
    calls = []

    class Around(Announcer):
        wraps_activities = True

        def __init__(self):
            self.hears_events = False

        def call_activity(self, call):
            calls.append((call.activity.name, call.args, call.kwargs))
            return [call.perform(), "wrapped"]

    registry = Registry()
    registry.activity_from(lambda a, b=0: a + b, name="act")
    executor = InlineExecutor(slots=1, clock=ManualClock(), wake=lambda: None, payload_limit=1000, hooks=Around())
    task = replace(task_of(), input=encode({"args": [1], "kwargs": {"b": 2}}), activity_name="act")
    executor.submit(task, registry.activities["act"])
    [ending] = executor.endings()
    assert ending.result == '[3,"wrapped"]'
    assert calls == [("act", [1], {"b": 2})]


def test_details_of_a_heartbeat_have_the_limit_of_all_payloads(bench):
    def act(length):
        activity_heartbeat("x" * length)

    assert bench.run(act, 998).result == "null"  # with its quotes, 1000 bytes
    ending = bench.run(act, 999)
    assert ending.failure["type"] == "PayloadError"
    assert "the details of a heartbeat takes 1,001 bytes as JSON; the limit is 1,000" in ending.failure["message"]
