"""Threads that run attempts: interrupted when late, replaced when stuck, never lost to what an activity does."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from durable_core.activity import activity_heartbeat, current_activity
from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import ActivityInterrupted, DurableError
from durable_core.retry import RetryPolicy
from durable_core.testing.clock import ManualClock
from durable_core.worker.executor import STOP_GRACE, ActivityExecutor
from tests.core.test_attempts import task_of

LONG = 10.0  # real seconds: only ever waited for when a test fails


class Bench:
    """An executor, a clock that stands still, and a way to wait for what threads do."""

    def __init__(self, threads=2, around=None):
        self.clock = ManualClock()
        self.woken = threading.Semaphore(0)
        options = {} if around is None else {"around": around}
        self.executor = ActivityExecutor(
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


def test_an_async_activity_is_run_to_its_end(bench):
    async def act(a):
        await asyncio.sleep(0)
        return [a, current_activity().attempt]

    assert bench.run(act, 5).result == "[5,1]"


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


def test_a_late_async_attempt_is_interrupted_while_it_awaits(narrow):
    began, left = threading.Event(), threading.Event()

    async def act():
        try:
            began.set()
            await asyncio.sleep(3600)
        finally:
            left.set()

    attempt = narrow.submit(act, start_to_close=timedelta(seconds=5))
    begun(began)
    narrow.clock.advance(5)
    assert narrow.executor.overdue() == [attempt]
    assert left.wait(LONG)
    assert narrow.run(lambda: "next").result == '"next"'


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
