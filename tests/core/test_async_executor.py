"""Attempts of async activities, side by side on one event loop: canceled when late, told of when they block it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from durable_core.activity import activity_heartbeat, current_activity
from durable_core.definitions import Registry
from durable_core.errors import ActivityInterrupted, CompleteLater
from durable_core.hooks import Announcer
from durable_core.ports import Detached
from durable_core.retry import RetryPolicy
from durable_core.testing import InMemoryHistoryStore, ManualClock
from durable_core.worker.async_executor import BLOCKED_AFTER, AsyncExecutor
from durable_core.worker.completions import Completions
from durable_core.worker.executor import STOP_GRACE
from durable_core.worker.executors import PROBE, Executors
from durable_core.worker.inline import InlineExecutor
from tests.core.test_executor import LONG, Bench, begun
from tests.waiting import wait_until


@pytest.fixture
def bench():
    bench = Bench(threads=3, executor=AsyncExecutor)
    yield bench
    bench.executor.close()


class Turnstile:
    """An activity that waits for its gate, and notes how it was left."""

    def __init__(self):
        self.began, self.left = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.gate: asyncio.Event | None = None

    def activity(self):
        async def act():
            self.loop, self.gate = asyncio.get_running_loop(), asyncio.Event()
            self.began.set()
            try:
                await self.gate.wait()
            except BaseException as error:
                self.error = error
                raise
            finally:
                self.left.set()

        return act

    def open(self):
        assert self.loop is not None
        assert self.gate is not None
        self.loop.call_soon_threadsafe(self.gate.set)


def blocking(began, release):
    """Stands still in Python code, and holds the loop."""

    async def act():
        began.set()
        while not release.is_set():
            time.sleep(0.001)  # noqa: ASYNC251 - that is what it is for

    return act


# How attempts end


def test_an_async_activity_is_run_to_its_end(bench):
    async def act(a):
        await asyncio.sleep(0)
        return [a, current_activity().attempt]

    assert bench.run(act, 5).result == "[5,1]"


def test_arguments_and_results_of_an_async_activity_are_what_its_annotations_say(bench):
    async def act(day: date) -> date:
        return day.replace(year=day.year + 1)

    assert bench.run(act, "2026-01-31").result == '"2027-01-31"'
    assert bench.run(act, "no day").failure["type"] == "TypeError"


def test_async_activities_run_side_by_side_in_one_thread_and_know_who_they_are(bench):
    turnstiles = [Turnstile() for _ in range(3)]
    keys = []

    def named(turnstile, number):
        act = turnstile.activity()

        async def named_act():
            await act()
            activity_heartbeat(number)
            keys.append((number, threading.get_ident(), current_activity().attempt))

        return named_act

    attempts = [bench.submit(named(turnstile, n), attempt=n + 1) for n, turnstile in enumerate(turnstiles)]
    for turnstile in turnstiles:
        begun(turnstile.began)
    for turnstile in turnstiles:
        turnstile.open()
        bench.ending()
    assert [(number, attempt) for number, _thread, attempt in keys] == [(0, 1), (1, 2), (2, 3)]
    assert len({thread for _number, thread, _attempt in keys}) == 1
    assert [attempt.current.take_beat() for attempt in attempts] == [("0",), ("1",), ("2",)]


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_whatever_is_raised_is_a_failed_attempt(bench, error):
    async def act():
        raise error

    async def lives():
        return "alive"

    ending = bench.run(act, attempt=3)
    assert ending.failure["type"] == type(error).__name__
    assert (ending.failure["attempt"], ending.type_names[-1], ending.canceled) == (3, "BaseException", False)
    assert bench.run(lives).result == '"alive"'


def test_sys_exit_in_a_task_that_an_activity_has_made_stops_nobody_else(bench):
    async def leaves():
        sys.exit(1)

    async def act():
        await asyncio.gather(asyncio.create_task(leaves()), return_exceptions=True)
        return "behind it"

    beside = Turnstile()
    bench.submit(beside.activity())
    begun(beside.began)
    assert bench.run(act).result == '"behind it"'
    beside.open()
    assert bench.ending().result == "null"


def test_a_result_that_cannot_be_stored_is_not_tried_again(bench):
    async def act():
        return object()

    assert (bench.run(act).failure["type"], bench.run(act).retryable) == ("PayloadError", False)


def test_retry_if_is_asked(bench):
    async def act():
        raise ValueError("no")

    assert bench.run(act, policy=RetryPolicy(retry_if=lambda error: False)).retryable is False


def test_tasks_that_an_activity_leaves_behind_end_with_it(bench):
    left = threading.Event()

    async def lingers():
        try:
            await asyncio.sleep(3600)
        finally:
            left.set()

    async def act():
        act.task = asyncio.create_task(lingers())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    bench.run(act)
    assert left.wait(LONG)


def test_what_is_around_an_async_activity_is_entered_and_may_fail():
    seen = []

    @asynccontextmanager
    async def around():
        seen.append("in")
        yield
        seen.append("out")
        if len(seen) > 2:
            raise OSError("no connection")

    async def act():
        seen.append("act")

    bench = Bench(executor=AsyncExecutor, around_async=around)
    assert bench.run(act).failure["type"] == "OSError"
    assert seen == ["in", "act", "out"]
    bench.executor.close()


def test_plugins_wrap_async_activities_and_share_their_context():
    tenant = contextvars.ContextVar("tenant", default=None)
    seen: list[Any] = []

    class Wrapping(Announcer):
        wraps_activities: bool

        def __init__(self):
            super().__init__()
            self.wraps_activities = True

        def call_activity(self, call):
            token = tenant.set(call.activity.attempt)
            try:
                return [call.perform(), "wrapped"]
            except ValueError as error:
                seen.append(error)
                raise
            finally:
                tenant.reset(token)

    async def act(fails):
        await asyncio.sleep(0)
        if fails:
            raise ValueError("no")
        return tenant.get()

    bench = Bench(executor=AsyncExecutor, hooks=Wrapping())
    bench.submit(act, False, attempt=1)
    bench.submit(act, False, attempt=2)
    endings: list[Any] = []
    while len(endings) < 2:
        assert bench.woken.acquire(timeout=LONG)
        endings += bench.executor.endings()
    assert sorted(ending.result for ending in endings) == ['[1,"wrapped"]', '[2,"wrapped"]']
    assert bench.run(act, True).failure["type"] == "ValueError"
    assert [str(error) for error in seen] == ["no"]
    bench.executor.close()


# Stopping


def test_a_late_attempt_is_canceled_and_its_own_ending_ignored(bench):
    turnstile = Turnstile()
    attempt = bench.submit(turnstile.activity(), start_to_close=timedelta(seconds=5))
    begun(turnstile.began)
    assert bench.executor.next_overdue() == 5.0
    bench.clock.advance(5)
    assert bench.executor.overdue() == [attempt]
    assert turnstile.left.wait(LONG)
    assert isinstance(turnstile.error, asyncio.CancelledError)
    assert bench.executor.held == 0
    assert bench.woken.acquire(timeout=LONG)
    assert bench.executor.endings() == []


def test_cancel_is_raised_where_the_activity_waits_and_only_once(bench):
    cleaned_up = []
    began, clearing, seen = threading.Event(), threading.Event(), Turnstile()

    async def act():
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            clearing.set()
            await seen.activity()()
            cleaned_up.append(True)

    attempt = bench.submit(act)
    begun(began)
    attempt.cancel()
    begun(clearing)
    begun(seen.began)
    attempt.cancel()
    seen.open()
    ending = bench.ending()
    assert (ending.canceled, ending.failure["type"]) == (True, "ActivityCanceled")
    assert ending.failure["message"].endswith("its workflow wants it no more")
    assert cleaned_up == [True]


def test_cancel_may_be_heard_at_a_heartbeat_instead(bench):
    attempts: list[Any] = []
    handed = threading.Event()

    async def act():
        assert handed.wait(LONG)
        attempts[0].current.cancel()
        activity_heartbeat()

    attempts.append(bench.submit(act))
    handed.set()
    ending = bench.ending()
    assert (ending.canceled, ending.failure["type"]) == (True, "ActivityCanceled")


def test_cancel_that_is_caught_does_not_keep_a_result_from_counting(bench):
    turnstile = Turnstile()

    async def act():
        try:
            await turnstile.activity()()
        except asyncio.CancelledError:
            return "made the best of it"

    attempt = bench.submit(act)
    begun(turnstile.began)
    attempt.cancel()
    ending = bench.ending()
    assert (ending.canceled, ending.result) == (False, '"made the best of it"')


@pytest.mark.parametrize("left", list(Detached))
def test_an_async_activity_is_left_to_others_also_when_it_is_canceled_meanwhile(left):
    """What the store has let go of is no failed attempt."""
    leaving, gate = threading.Event(), threading.Event()

    class Slow(Completions):
        def leave(self, task, expires_at):
            leaving.set()
            assert gate.wait(LONG)
            return left

        def issue(self, task, expires):
            return "token", datetime.now(UTC) + expires

    bench = Bench(threads=1, executor=AsyncExecutor, completions=Slow(InMemoryHistoryStore(ManualClock())))

    async def asks():
        assert await current_activity().acompletion_token(60) == "token"
        raise CompleteLater

    attempt = bench.submit(asks)
    begun(leaving)
    attempt.cancel()
    attempt.loop.call(gate.set)  # behind the cancel
    ending = bench.ending()
    assert (ending.is_recorded, ending.canceled) == ((False, True) if left is Detached.UNWANTED else (True, False))
    assert attempt.is_left is ending.is_recorded
    bench.executor.close()


def test_activity_that_ignores_its_cancel_loses_its_slot(caplog):
    bench = Bench(threads=1, executor=AsyncExecutor)
    began, loops, release = threading.Event(), [], []

    async def act():
        gate = asyncio.Event()
        loops.append(asyncio.get_running_loop())
        release.append(gate.set)
        began.set()
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async def behind_it():
        return "behind it"

    attempt = bench.submit(act)
    begun(began)
    bench.executor.abandon(attempt)
    bench.submit(behind_it)
    bench.clock.advance(STOP_GRACE + 0.1)
    bench.executor.replace_stuck_threads()
    assert bench.ending().result == '"behind it"'
    [record] = caplog.records
    assert record.getMessage() == "activity act did not stop when canceled; another has its slot"
    assert bench.executor.lost_threads == 0
    loops[0].call_soon_threadsafe(release[0])
    bench.executor.close()


def test_what_has_begun_ends_when_the_executor_is_closed(bench):
    turnstile = Turnstile()
    bench.submit(turnstile.activity())
    begun(turnstile.began)
    assert len(bench.executor.withdraw(begun=True)) == 1
    assert not turnstile.left.is_set()
    bench.executor.close()
    assert turnstile.left.wait(LONG)
    assert isinstance(turnstile.error, asyncio.CancelledError)


def test_connections_are_released_in_the_loop_when_it_ends():
    released, threads = threading.Event(), []

    async def release():
        threads.append(threading.current_thread().name)
        released.set()

    async def act():
        return threading.current_thread().name

    bench = Bench(executor=AsyncExecutor, release_async=release)
    assert bench.run(act).result == '"durable-async"'
    bench.executor.close()
    assert released.wait(LONG)
    assert threads == ["durable-async"]


# A loop that does not turn


def blocked(bench, began):
    """Bring the executor to where it sees that the loop does not answer."""
    begun(began)
    bench.executor.replace_stuck_threads()  # asks
    bench.clock.advance(BLOCKED_AFTER)
    bench.executor.replace_stuck_threads()


def test_activity_that_blocks_the_loop_is_told_of_once_with_its_stack(bench, caplog):
    began, release = threading.Event(), threading.Event()
    attempt = bench.submit(blocking(began, release))
    blocked(bench, began)
    bench.clock.advance(1)
    bench.executor.replace_stuck_threads()
    [record] = caplog.records
    assert "activity act has blocked the event loop of all async activities for 3 s" in record.getMessage()
    assert ", in act\n" in record.getMessage()
    assert (record.execution_id, record.activity) == (str(attempt.task.run_id), "act")
    release.set()
    assert bench.ending().result == "null"


def test_loop_that_is_only_busy_is_not_told_of(bench, caplog):
    turnstile = Turnstile()
    bench.submit(turnstile.activity())
    begun(turnstile.began)
    for _ in range(3):
        bench.executor.replace_stuck_threads()
        wait_until(lambda: bench.executor._is_answered, "an answer of the loop")
        bench.clock.advance(BLOCKED_AFTER)
    assert caplog.records == []
    turnstile.open()
    bench.ending()


def test_activity_that_blocks_the_loop_beyond_its_time_is_interrupted(bench):
    began, release = threading.Event(), threading.Event()
    beside = Turnstile()
    bench.submit(beside.activity())
    begun(beside.began)
    bench.submit(blocking(began, release), start_to_close=timedelta(seconds=1))
    blocked(bench, began)
    assert len(bench.executor.overdue()) == 1
    bench.executor.replace_stuck_threads()
    beside.open()
    assert bench.ending().result == "null"  # the other one: the loop turns again
    assert not release.is_set()
    assert bench.executor.lost_threads == 0


def test_loop_that_cannot_be_freed_is_given_up_and_those_beside_begin_elsewhere(caplog):
    bench = Bench(threads=2, executor=AsyncExecutor)
    began, release, calls = threading.Event(), threading.Event(), []

    async def stuck():
        began.set()
        while not release.is_set():
            try:
                while not release.is_set():
                    time.sleep(0.001)  # noqa: ASYNC251 - that is what it is for
            except ActivityInterrupted:
                calls.append("interrupted")

    beside = Turnstile()
    with_it = bench.submit(beside.activity())
    begun(beside.began)
    bench.submit(stuck, start_to_close=timedelta(seconds=1))
    begun(began)

    async def waits():
        return threading.current_thread().name

    waiting = bench.submit(waits)
    blocked(bench, began)
    assert len(bench.executor.overdue()) == 1
    bench.executor.replace_stuck_threads()
    wait_until(lambda: calls, "the interruption")
    bench.clock.advance(STOP_GRACE + 0.1)
    bench.executor.replace_stuck_threads()
    endings: list[Any] = []
    while len(endings) < 2:
        assert bench.woken.acquire(timeout=LONG)
        endings += bench.executor.endings()
    by_attempt = {ending.attempt: ending for ending in endings}
    assert by_attempt[with_it].failure["message"] == "another activity blocked the event loop that it ran in"
    assert by_attempt[with_it].retryable
    assert by_attempt[waiting].result == '"durable-async"'
    assert bench.executor.lost_threads == 1
    release.set()
    assert beside.left.wait(LONG)  # canceled when the lost loop comes back
    bench.executor.close()


# Which executor, and how much may be claimed


def executors(threads=2, slots=10, processes=4):
    registry = Registry()
    made = [SimpleNamespace(room=threads), SimpleNamespace(room=slots), SimpleNamespace(room=processes)]
    return registry, made, Executors(registry, threads=made[0], loop=made[1], processes=made[2])


def test_room_is_that_of_the_kinds_there_are():
    registry, _made, both = executors()
    assert both.room == 2
    registry.activity_from(blocking(None, None), name="fetch")
    assert both.room == 10
    registry.activity_from(lambda: None, name="plain")
    assert both.room == 2


def test_room_for_processes_counts_where_there_are_activities_for_them():
    registry, _made, each = executors()
    registry.activity_from(lambda: None, name="apart", executor="process")
    assert each.room == 4
    registry.activity_from(lambda: None, name="plain")
    assert each.room == 2


@pytest.mark.parametrize(
    ("threads", "slots", "room"), [(0, 100, PROBE), (0, 3, 3), (-1, 100, -1), (7, 0, PROBE), (0, 0, 0)]
)
def test_few_entries_are_claimed_while_one_kind_has_no_room(threads, slots, room):
    registry, _made, both = executors(threads, slots)
    registry.activity_from(blocking(None, None), name="fetch")
    registry.activity_from(lambda: None, name="plain")
    assert both.room == room


def test_async_activities_run_in_the_callers_thread_where_there_is_no_other():
    inline = Bench(executor=InlineExecutor)

    async def act():
        await asyncio.sleep(0)
        return threading.current_thread().name

    inline.submit(act)
    (ending,) = inline.executor.endings()
    assert ending.result == f'"{threading.current_thread().name}"'
