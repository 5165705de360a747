"""Processes that run attempts, with a real one: what comes back is what a thread gives, and they can be killed."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import DurableError, StoreUnavailable
from durable_core.ports import Detached
from durable_core.testing.clock import ManualClock
from durable_core.worker import process_executor, wire
from durable_core.worker.executor import LONGEST_WAIT, ActivityExecutor
from durable_core.worker.process_executor import CANCEL_GRACE, ProcessExecutor
from tests.core import process_child
from tests.core.test_attempts import task_of
from tests.waiting import wait_until

LONG = 20.0  # real seconds: only ever waited for when a test fails
EXPIRES = datetime(2026, 1, 2, tzinfo=UTC)


class Bench:
    def __init__(self, make=ProcessExecutor, **options):
        self.clock = ManualClock()
        self.woken = threading.Semaphore(0)
        if make is ProcessExecutor:
            options.setdefault("command", process_child.command)
        self.executor = make(slots=2, clock=self.clock, wake=self.woken.release, payload_limit=1000, **options)

    def submit(self, name, *args, **changes):
        definition = process_child.registry.find_activity(name)
        task = replace(task_of(**changes), input=encode({"args": args, "kwargs": {}}), activity_name=name)
        self.executor.submit(task, definition)
        return next(reversed(self.executor.attempts()))

    def ending(self):
        while True:
            assert self.woken.acquire(timeout=LONG), "no attempt has ended"
            if endings := self.executor.endings():
                (ending,) = endings
                return ending

    def run(self, name, *args, **changes):
        self.submit(name, *args, **changes)
        return self.ending()

    def begun(self, name, **changes):
        """An attempt that has said where it is, and its pid."""
        attempt = self.submit(name, **changes)
        (said,) = wait_until(attempt.current.take_beat, "a first heartbeat", patience=LONG)
        return attempt, int(said)


class Publishing:
    """A publisher that takes all that is in a box."""

    def __init__(self):
        self.items = []

    def notice(self, box, *, is_full):
        pass

    def finish(self, box, *, is_wanted):
        self.send_all(box)

    def send_all(self, box):
        items = box.batch().items
        self.items += items
        box.sent(len(items))


class Completing:
    def __init__(self):
        self.left, self.error, self.asked = Detached.DONE, None, []

    def issue(self, task, expires):
        if self.error is not None:
            raise self.error
        self.asked.append(expires)
        return "secret", EXPIRES

    def leave(self, task, expires_at):
        self.asked.append(expires_at)
        return self.left


@pytest.fixture(scope="module")
def its_bench():
    bench = Bench(publisher=Publishing(), completions=Completing())
    yield bench
    bench.executor.close()


@pytest.fixture
def bench(its_bench):
    """One for all tests: a process takes a third of a second to start."""
    yield its_bench
    its_bench.executor.withdraw(begun=True)
    while its_bench.woken.acquire(blocking=False):
        its_bench.executor.endings()
    assert its_bench.executor.lost_threads == 0


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def plain(ending):
    failure = ending.failure and {**ending.failure, "traceback": ending.failure["traceback"].splitlines()[-2:]}
    told = [ending.result, failure, ending.type_names, ending.retryable, ending.next_delay]
    return [*told, ending.canceled, ending.crashed, ending.is_recorded]


@pytest.mark.parametrize(
    "call",
    [
        ["add", 2],
        ["add", "no", "sum", "of", "these"],
        ["add", "no sum"],
        ["fails"],
        ["fails_with", "again"],
        ["fails_with", "never"],
        ["unstorable"],
        ["too_long"],
        ["exits"],
        ["interrupts_itself"],
        ["left", 5, "misfit"],
    ],
    ids=str,
)
def test_what_comes_back_is_what_a_thread_gives(bench, call):
    thread = Bench(ActivityExecutor)
    there, here = bench.run(*call, attempt=2), thread.run(*call, attempt=2)
    thread.executor.close()
    assert plain(there) == plain(here)


def test_code_is_told_what_it_is(bench):
    task = task_of(attempt=3)
    ending = bench.run("knows", attempt=3, heartbeat_details='{"row":7}')
    key = f"{task.run_id}:{task.call_id}"
    told = [str(task.id), str(task.run_id), "knows", 3, key, {"row": 7}, "MainThread"]
    assert ending.result == encode(told)


def test_a_process_is_kept_for_the_next_attempt_and_another_started_beside_it():
    bench = Bench()
    assert (first := bench.run("pid").result) == bench.run("pid").result
    attempt, beside = bench.begun("polite")
    assert beside == int(first)
    assert bench.run("pid").result != first
    attempt.cancel()
    assert bench.ending().canceled
    assert [bench.run("beats", token=5).result for _ in range(4)] == ["true"] * 4, "they heard another's cancel"
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    bench.executor.close()
    assert not lives(beside)
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) == descriptors - 4, "its pipes to be closed")


def test_a_late_attempt_is_killed_at_once_and_the_next_has_a_new_process(bench):
    attempt, pid = bench.begun("deaf", start_to_close=timedelta(seconds=3))
    bench.clock.advance(timedelta(seconds=4))
    assert bench.executor.overdue() == [attempt]
    wait_until(lambda: not lives(pid), "its death")
    assert bench.run("pid").result not in (None, str(pid))
    bench.executor.replace_stuck_threads()
    assert (bench.executor.lost_threads, bench.executor.held) == (0, 0)


def test_one_whose_claim_is_lost_is_killed(bench):
    attempt, pid = bench.begun("deaf")
    bench.executor.forfeit(attempt)
    bench.executor.stop_forfeited()
    wait_until(lambda: not lives(pid), "its death")


def test_what_is_given_back_does_not_go_on(bench):
    attempt, pid = bench.begun("deaf")
    assert bench.executor.withdraw(begun=True) == [attempt]
    assert not lives(pid)


@pytest.mark.parametrize("name", ["polite", "looks_only"])
def test_cancel_is_heard_at_a_heartbeat_or_looked_for(bench, name):
    attempt = bench.submit(name)
    wait_until(attempt.current.take_beat, "it to begin", patience=LONG)
    attempt.cancel()
    ending = bench.ending()
    assert ending.canceled if name == "polite" else ending.result == "true"


def test_cancel_that_comes_before_its_process_is_up_is_heard(bench):
    attempt = bench.submit("polite")
    attempt.cancel()
    assert bench.ending().canceled


def test_canceled_activity_that_does_not_stop_is_killed(bench):
    attempt, pid = bench.begun("deaf")
    attempt.cancel()
    bench.executor.replace_stuck_threads()
    bench.clock.advance(timedelta(seconds=CANCEL_GRACE))
    bench.executor.replace_stuck_threads()
    assert lives(pid)
    bench.clock.advance(timedelta(seconds=1))
    bench.executor.replace_stuck_threads()
    ending = bench.ending()
    assert (ending.canceled, ending.crashed, lives(pid)) == (True, False, False)
    assert "did not stop within 10 s" in ending.failure["message"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("segfault", "was killed by SIGSEGV"),
        ("kill", "was killed by SIGKILL: by the system, if it took too much memory"),
        ("garbage", "was killed by SIGKILL: by the system, if it took too much memory"),
        ("forked", "exited with 3"),
    ],
)
def test_death_of_a_process_is_the_end_of_its_attempt_alone(bench, how, said):
    ending = bench.run("dies", how, attempt=2)
    assert (ending.crashed, ending.retryable, ending.type_names) == (True, True, ("ProcessDied",))
    assert (ending.failure["message"], ending.failure["attempt"]) == (f"the process of the activity {said}", 2)
    assert bench.run("add", 1).result == "2"


def test_process_is_replaced_after_so_many_activities_and_when_it_was_short_of_memory():
    bench = Bench(tasks_per_process=3)
    seen = [bench.run("pid").result for _ in range(4)]
    assert [seen.index(pid) for pid in seen] == [0, 0, 0, 3]
    assert bench.run("short_of_memory").type_names[0] == "MemoryError"
    assert bench.run("pid").result not in seen
    bench.executor.close()


@pytest.mark.parametrize(
    ("command", "type_name", "message"),
    [
        (lambda: process_child.command("broken"), "KeyError", "could not be set up: 'settings'"),
        (lambda: process_child.command("silent"), "ProcessDied", "exited with 5 before it was set up"),
        (lambda: ["/nowhere/python"], "FileNotFoundError", "/nowhere/python"),
        (None, "ConfigurationError", "has no child_command"),
    ],
)
def test_process_that_cannot_be_set_up_fails_the_attempt(command, type_name, message):
    bench = Bench(command=command)
    for attempt in (1, 2)[: 1 if "child" in str(command and command()) else 2]:
        ending = bench.run("add", 1, attempt=attempt)
        assert message in ending.failure["message"]
        assert (ending.type_names[0], ending.failure["attempt"], ending.retryable) == (type_name, attempt, True)
    bench.executor.close()


def test_process_that_is_not_up_in_time_is_killed(monkeypatch):
    monkeypatch.setattr(process_executor, "START_LIMIT", 0.0)
    monkeypatch.setattr(process_executor, "DEATH_LIMIT", 0.0)
    bench = Bench(command=lambda: ["/bin/sh", "-c", "sleep 600"])
    assert "was not set up within 0 s" in bench.run("add", 1).failure["message"]
    bench.executor.close()


def test_name_that_a_new_process_does_not_know_fails_the_attempt(bench):
    other = Registry()
    other.activity_from(lambda: None, name="new_one", executor="process")
    task = replace(task_of(), input=encode({"args": [], "kwargs": {}}), activity_name="new_one")
    bench.executor.submit(task, other.activities["new_one"])
    ending = bench.ending()
    assert (ending.type_names, ending.retryable) == (("UnknownActivityError",), True)


def test_attempt_whose_process_starts_has_not_begun_and_is_given_back_at_its_limit(bench, monkeypatch):
    started = threading.Event()
    man = bench.executor._man
    monkeypatch.setattr(bench.executor, "_man", lambda thread: started.wait(LONG) and man(thread))
    attempt = bench.submit("deaf", start_to_close=timedelta(seconds=LONGEST_WAIT + 1))
    wait_until(lambda: attempt.is_starting, "it to start")
    bench.clock.advance(timedelta(seconds=LONGEST_WAIT + 1))
    assert not bench.executor.has_stalled
    bench.clock.advance(timedelta(seconds=1))
    assert bench.executor.has_stalled, "its time would be over: the store would fail it"
    assert bench.executor.withdraw() == [attempt]
    started.set()
    assert bench.run("add", 1).result == "2"
    assert attempt.begun is None


def test_what_is_published_is_numbered_and_stored_by_the_worker(bench):
    assert bench.run("publishes").result == "null"
    assert bench.executor._publisher.items == [("default", 0, '"a"'), ("other", 4, '{"b":1}')]


@pytest.mark.parametrize(
    ("left", "is_left", "is_recorded", "canceled"),
    [
        (Detached.DONE, True, True, False),
        (Detached.GONE, True, True, False),
        (Detached.UNWANTED, False, False, True),
    ],
)
def test_attempt_is_left_to_others_by_the_worker(bench, left, is_left, is_recorded, canceled):
    completing = bench.executor._completions
    completing.left, completing.asked = left, []
    attempt = bench.submit("left", 90)
    ending = bench.ending()
    assert (attempt.is_left, ending.is_recorded, ending.canceled) == (is_left, is_recorded, canceled)
    assert completing.asked == [timedelta(seconds=90), EXPIRES]


@pytest.mark.parametrize(
    ("error", "told"),
    [(StoreUnavailable("gone"), ('"away"', None)), (DurableError("over"), (None, "over"))],
)
def test_what_the_worker_refuses_is_raised_in_the_process(bench, monkeypatch, error, told):
    monkeypatch.setattr(bench.executor._completions, "error", error)
    ending = bench.run("left", 90)
    assert (ending.result, ending.failure and ending.failure["message"]) == told


MESSAGES: list[Any] = [
    wire.Begin(
        task_id="1",
        run_id="2",
        call_id="0",
        activity_name="a\u00e9",
        queue="q",
        priority=1,
        input="{}",
        attempt=1,
        token=2,
        heartbeat_details=None,
    ),
    wire.Cancel("1", 2),
    wire.Answer(["a", "b"]),
    wire.Leave(),
    wire.Ready(),
    wire.Broken({"type": "X"}),
    wire.Alive('"\\ud800"'),
    wire.Published("s", "1", None),
    wire.TokenWanted(1.5),
    wire.Left("2026-01-02T00:00:00+00:00"),
    wire.Ended(result="null"),
]


def test_messages_come_as_they_went():
    assert {type(message) for message in MESSAGES} == set(wire._KINDS.values())
    message: Any
    for message in MESSAGES:
        there = wire.decode(wire.encode(message))
        assert type(there) is type(message)
        assert wire.encode(there) == wire.encode(message)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'["Begin", {}]', b'["Nothing", {}]', b'["Leave", 1]', b"\xff"])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError, match="no message"):
        wire.decode(data)
