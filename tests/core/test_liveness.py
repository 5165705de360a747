"""Signs of life: of the worker as often as it promised, of an activity when it calls in, and of code that computes."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from durable_core.activity import CurrentActivity
from durable_core.codec import Payload
from durable_core.errors import CodeStuck, StoreUnavailable
from durable_core.ports import OVERRUN, Beat, BeatReply
from durable_core.testing import ManualClock
from durable_core.worker.attempt import Attempt
from durable_core.worker.liveness import CodeWatch, Liveness
from durable_core.worker.settings import WorkerSettings
from durable_core.worker.threads import SystemThreads
from tests.core.test_attempts import NOW, task_of

SECOND = timedelta(seconds=1)
WORKER = UUID(int=50)
LONG = 10.0  # real seconds: only ever waited for when a test fails


class Threads(SystemThreads):
    """Starts none: what one would do is done by the test. Interruptions are written down."""

    def __init__(self):
        self.started: list[Any] = []
        self.interrupted: list[Any] = []

    def start(self, work, name):
        self.started.append((work, name))
        return SimpleNamespace(join=lambda: self.started.append("joined"))

    def current(self):
        return 77

    def interrupt(self, thread_id, error):
        self.interrupted.append((thread_id, error))


class Store:
    """Hears beats, and answers as it is told to."""

    def __init__(self):
        self.beats: list[Any] = []
        self.known, self.canceled, self.lost = True, set(), set()
        self.is_away = False

    def now(self):
        return NOW + 100 * SECOND

    def beat(self, worker_id, beats):
        if self.is_away:
            raise StoreUnavailable("no server")
        self.beats.append((worker_id, beats))
        return BeatReply(self.known, frozenset(self.canceled), frozenset(self.lost))


class Room:
    """What the beating thread sees: attempts that are held, and what it does to them."""

    def __init__(self, **settings):
        self.clock, self.store, self.threads = ManualClock(), Store(), Threads()
        self.clock.advance(1000)
        self.held: list[Attempt] = []
        self.forfeited: list[Attempt] = []
        self.deaths = self.released = 0
        self.watch = CodeWatch(self.clock, 10.0, self.threads)
        executor: Any = SimpleNamespace(attempts=lambda: list(self.held), forfeit=self.forfeited.append)
        store: Any = self.store
        self.liveness = Liveness(
            WORKER,
            store,
            executor,
            self.clock,
            WorkerSettings(**settings),
            self.watch,
            declared_dead=self.die,
            release_thread=self.release,
            threads=self.threads,
        )

    def die(self):
        self.deaths += 1

    def release(self):
        self.released += 1

    def hold(self, *, begun=0.0, number=1, **limits):
        """An attempt that began so many seconds ago; None: it waits for a thread."""
        task = task_of(id=UUID(int=number), **limits)
        definition: Any = None
        attempt = Attempt(task, definition, CurrentActivity(task))
        attempt.begun = None if begun is None else self.clock.monotonic() - begun
        self.held.append(attempt)
        return attempt

    def turn(self):
        """The beats of one turn; None: it did not ask the store."""
        before = len(self.store.beats)
        self.liveness._turn()
        return self.store.beats[-1][1] if len(self.store.beats) > before else None


@pytest.fixture
def room():
    room = Room()
    with room.liveness:
        yield room


def test_worker_beats_for_an_attempt_whose_process_starts(room):
    """It cannot do so itself, and its limit runs."""
    attempt = room.hold(begun=None, heartbeat_timeout=timedelta(seconds=3))
    assert room.turn() is None
    attempt.is_starting = True
    [beat] = room.turn()
    assert (beat.is_sign_of_life, beat.details) == (True, None)
    assert beat.due_at == room.store.now() + timedelta(seconds=3)


# The worker


def test_worker_beats_as_often_as_it_promised(room):
    asked = []
    for seconds in (0, 4.9, 0.1, 4.9, 0.1):
        room.clock.advance(seconds)
        asked.append(room.turn())
    assert asked == [None, None, [], None, []]
    assert room.store.beats == [(WORKER, []), (WORKER, [])]


def test_worker_that_is_not_known_any_more_hears_of_it(room):
    room.clock.advance(5)
    room.turn()
    assert room.deaths == 0
    room.store.known = False
    room.clock.advance(5)
    room.turn()
    assert room.deaths == 1


def test_beat_that_was_not_heard_is_made_again_at_once(room):
    room.clock.advance(5)
    room.store.is_away = True
    room.turn()
    room.store.is_away = False
    assert room.turn() == []


def test_thread_is_named_and_waited_for():
    room = Room()
    with room.liveness:
        [(work, name)] = room.threads.started
        assert name == "durable-heartbeat"
    assert room.threads.started[-1] == "joined"
    work()  # it is told to leave before it begins
    assert (room.released, room.store.beats) == (1, [])


def test_thread_that_meets_an_error_goes_on_and_lets_go_of_what_it_has_at_its_end(caplog, monkeypatch):
    room = Room(heartbeat_interval=0.001)
    room.liveness._threads = SystemThreads()
    tried = threading.Semaphore(0)

    def beat(worker_id, beats):
        room.clock.advance(1)
        tried.release()
        raise OSError("of the driver")

    monkeypatch.setattr(room.store, "beat", beat)
    with room.liveness:
        room.clock.advance(1)
        for _ in range(3):
            assert tried.acquire(timeout=LONG)
        assert room.released == 0
    assert room.released == 1
    assert "no heartbeat: OSError" in caplog.text
    assert {record.levelno for record in caplog.records if "no heartbeat" in record.getMessage()} == {logging.ERROR}


def test_code_is_looked_at_by_the_thread_that_beats(monkeypatch):
    room = Room(heartbeat_interval=0.001)
    looked = threading.Semaphore(0)
    room.liveness._threads = SystemThreads()
    monkeypatch.setattr(room.watch, "look", looked.release)
    with room.liveness:
        assert looked.acquire(timeout=LONG)


# Activities


def test_activity_that_called_in_is_heard_of_with_its_details(room):
    attempt = room.hold()
    attempt.current.heartbeat([1])
    assert room.turn() == [Beat(attempt.task.id, 4, Payload("[1]"), None, is_sign_of_life=True)]
    assert room.turn() is None


@pytest.mark.parametrize(
    ("limits", "due_after"),
    [
        ({}, None),
        ({"start_to_close": SECOND}, None),
        ({"heartbeat_timeout": 3 * SECOND}, 103 * SECOND),
        ({"heartbeat_timeout": 3 * SECOND, "expires_at": NOW + 102 * SECOND}, 102 * SECOND),
        ({"heartbeat_timeout": 3 * SECOND, "start_to_close": 99 * SECOND}, 99 * SECOND + OVERRUN),
        ({"heartbeat_timeout": 3 * SECOND, "start_to_close": 110 * SECOND}, 103 * SECOND),
        ({"heartbeat_timeout": 3 * SECOND, "start_to_close": 99 * SECOND, "started_at": None}, 103 * SECOND),
    ],
)
def test_scheduler_looks_again_when_the_first_limit_may_be_over(room, limits, due_after):
    room.hold(**limits).current.heartbeat()
    [beat] = room.turn()
    assert (beat.details, beat.is_sign_of_life) == (None, True)
    assert beat.due_at == (None if due_after is None else NOW + due_after)


def test_silent_activity_is_asked_about_once_it_is_a_second_old(room):
    attempt = room.hold(begun=1.0, heartbeat_timeout=SECOND)
    assert room.turn() is None
    room.clock.advance(0.1)
    assert room.turn() == [Beat(attempt.task.id, 4, None, None, is_sign_of_life=False)]


def test_attempt_that_waits_for_a_thread_is_not_asked_about(room):
    room.hold(begun=None).current.heartbeat()
    room.clock.advance(4)
    assert room.turn() is None


def test_answer_reaches_the_attempts_that_it_is_about(room):
    whole, canceled, lost = (room.hold(begun=2, number=number) for number in (1, 2, 3))
    room.store.canceled, room.store.lost = {canceled.task.id}, {(lost.task.id, lost.task.token)}
    room.turn()
    assert [attempt.current.canceled for attempt in (whole, canceled, lost)] == [False, True, False]
    assert room.forfeited == [lost]


def test_newer_attempt_goes_on_when_the_older_one_of_its_task_is_lost(room):
    older, newer = room.hold(begun=2, number=1, token=4), room.hold(begun=2, number=1, token=6)
    room.store.lost = {(older.task.id, 4)}
    room.turn()
    assert room.forfeited == [older]
    assert not newer.current.canceled


def test_details_that_did_not_arrive_are_sent_again(room):
    attempt, other = room.hold(), room.hold(number=2)
    attempt.current.heartbeat("half")
    room.store.is_away = True
    room.turn()
    room.store.is_away = False
    assert room.turn() == [Beat(attempt.task.id, 4, Payload('"half"'), None, is_sign_of_life=True)]
    assert other.current.take_beat() is None


# How often the thread looks


@pytest.mark.parametrize(
    ("settings", "limits", "interval"),
    [
        ({}, (), 1.0),
        ({"heartbeat_interval": 0.5}, (), 0.5),
        ({"stuck_after": 0.25}, (), 0.25),
        ({}, (None, 1.5), 0.5),
        ({}, (1.5, 0.75), 0.25),
        ({}, (30,), 1.0),
    ],
)
def test_thread_looks_three_times_in_the_shortest_limit(settings, limits, interval):
    room = Room(**settings)
    for limit in limits:
        room.hold(heartbeat_timeout=None if limit is None else timedelta(seconds=limit))
    assert room.liveness._interval() == interval


@pytest.mark.parametrize(("limit", "is_woken"), [(None, False), (3.0, False), (2.9, True)])
def test_thread_is_woken_for_an_attempt_whose_heartbeats_must_come_soon(room, limit, is_woken):
    room.liveness.on_begin(task_of(heartbeat_timeout=None if limit is None else timedelta(seconds=limit)))
    assert room.liveness._wake.is_set() == is_woken


def test_worker_that_starts_again_beats_again():
    room = Room()
    for _ in range(2):
        with room.liveness:
            assert not room.liveness._wake.is_set()
            assert not room.liveness._is_leaving
            assert room.turn() is None
            room.clock.advance(5)
            assert room.turn() == []
        assert room.liveness._wake.is_set()


# Code


class Code:
    """Some that runs under a watch, and is looked at now and then."""

    def __init__(self):
        self.clock, self.threads = ManualClock(), Threads()
        self.clock.advance(100)
        self.watch = CodeWatch(self.clock, 10.0, self.threads)
        self.run: Any = SimpleNamespace(history_length=5)

    def computes(self, seconds):
        self.clock.advance(seconds)
        self.watch.look()

    @property
    def interrupted(self):
        return len(self.threads.interrupted)


def test_code_is_interrupted_in_its_thread_when_it_has_made_no_call_for_too_long():
    code = Code()
    code.watch.look()  # at nothing

    def long_one():
        with code.watch.over(code.run):
            code.computes(10)
            assert code.interrupted == 0
            code.computes(0.1)
            assert code.threads.interrupted == [(77, CodeStuck)]
            code.computes(10)
            assert code.interrupted == 1
            code.computes(0.1)  # it caught that and went on
            assert code.interrupted == 2

    with pytest.raises(CodeStuck):
        long_one()
    code.computes(100)
    assert code.interrupted == 2


def test_each_call_of_code_gives_it_as_long_again():
    code = Code()
    with code.watch.over(code.run):
        code.computes(9)
        code.run.history_length += 1
        code.computes(9)
        code.computes(10)
    assert code.interrupted == 0
    code.clock.advance(50)
    with code.watch.over(code.run):
        code.watch.look()
    assert code.interrupted == 0


def test_error_of_interrupted_code_is_not_replaced():
    code = Code()

    def broken():
        with code.watch.over(code.run):
            code.computes(11)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
