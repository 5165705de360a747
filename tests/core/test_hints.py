from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from durable_core import hints
from durable_core.errors import QueueUnavailable
from durable_core.hints import Hints, as_hint, backend_of
from durable_core.ports import Entry, EntryKind, new_id
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock

ENTRY = Entry(EntryKind.RUN, new_id(), "default")


class Away(InMemoryTaskQueue):
    """A queue whose server does not answer while *error* is set."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.error: QueueUnavailable | None = QueueUnavailable("connection refused")
        self.calls = 0

    def enqueue(self, *args: Any, **options: Any) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        super().enqueue(*args, **options)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr("durable_core.hints.random.uniform", lambda low, high: high)
    return ManualClock()


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def claimed(queue: Any) -> int:
    return len(queue.claim(new_id(), {EntryKind.RUN: 10}, queues=(), exclude=()))


def test_outage_is_no_error_and_is_said_once_in_a_while(clock, caplog) -> None:
    queue = Hints(Away(), clock)
    for _ in range(3):
        queue.enqueue([ENTRY])
        clock.advance(1)
    assert len(complaints(caplog)) == 1
    assert "the queue does not answer" in complaints(caplog)[0]
    assert "connection refused" in complaints(caplog)[0]
    clock.advance(hints.LOG_INTERVAL)
    queue.enqueue([ENTRY])
    assert len(complaints(caplog)) == 2


def test_server_that_is_away_is_left_alone_for_longer_and_longer(clock) -> None:
    away = Away()
    queue = Hints(away, clock)
    for attempt, pause in enumerate((0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0), 1):
        queue.enqueue([ENTRY])
        assert away.calls == attempt
        clock.advance(pause * 0.99)
        queue.enqueue([ENTRY])
        assert claimed(queue) == 0
        assert away.calls == attempt, "it was asked too soon"
        clock.advance(pause * 0.02)


def test_contact_is_said_and_begins_anew(clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    away = Away()
    queue = Hints(away, clock)
    for _ in range(4):
        queue.enqueue([ENTRY])
        clock.advance(10)
    away.error = None
    queue.enqueue([ENTRY])
    assert caplog.records[-1].getMessage() == "the queue answers again"
    assert claimed(queue) == 1
    away.error = QueueUnavailable("again")
    queue.enqueue([ENTRY])
    clock.advance(hints.FIRST_PAUSE * 1.01)
    calls = away.calls
    queue.enqueue([ENTRY])
    assert away.calls == calls + 1, "the first pause is short again"


def test_refusal_does_not_keep_other_calls_away(clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    away = Away()
    away.error = None
    queue = Hints(away, clock)
    queue.enqueue([ENTRY])
    away.error = QueueUnavailable("out of memory", refused=True)
    queue.enqueue([ENTRY])
    assert claimed(queue) == 1, "or a server that is full is never emptied"
    assert complaints(caplog) == [
        "the queue refuses something; what it misses comes later, from the store: out of memory"
    ]
    assert "answers again" not in caplog.text


def test_wake_up_opens_a_closed_door(clock) -> None:
    away = Away()
    queue = Hints(away, clock)
    queue.enqueue([ENTRY])
    woken = []
    with queue.watch(lambda: woken.append(1)):
        away.error = None
        away._wake_watchers()
        queue.enqueue([ENTRY])
    assert woken
    assert away.calls == 2


class Recorder:
    """A backend that notes its calls, and answers with their names."""

    transactional = False
    wakeup = False

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error: QueueUnavailable | None = None

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> str:
            self.calls.append((name, *args, options))
            if self.error is not None:
                raise self.error
            return name

        return call


def ask(queue: Any) -> list[object]:
    """Every call there is, once."""
    worker, second, limits = new_id(), timedelta(seconds=1), {EntryKind.RUN: 3}
    return [
        queue.enqueue(iter([ENTRY]), delay=second),
        queue.claim(worker, limits, queues=("a",), exclude=("b",)),
        queue.complete(["claim"]),
        queue.release(["claim"], delay=second),
        queue.release_dead([worker]),
        queue.stats(),
    ]


def test_every_call_is_passed_on_whole_and_its_answer_back(clock, monkeypatch) -> None:
    worker = new_id()
    monkeypatch.setattr(f"{__name__}.new_id", lambda: worker)
    backend: Any = Recorder()
    answers = ask(Hints(backend, clock))
    assert backend.calls == [
        ("enqueue", [ENTRY], {"delay": timedelta(seconds=1)}),
        ("claim", worker, {EntryKind.RUN: 3}, {"queues": ("a",), "exclude": ("b",)}),
        ("complete", ["claim"], {}),
        ("release", ["claim"], {"delay": timedelta(seconds=1)}),
        ("release_dead", [worker], {}),
        ("stats", {}),
    ]
    assert answers == [None, "claim", None, None, "release_dead", "stats"]


def test_every_call_has_an_answer_while_the_server_is_away(clock) -> None:
    backend: Any = Recorder()
    backend.error = QueueUnavailable("full", refused=True)  # so that each is asked
    assert ask(Hints(backend, clock)) == [None, [], None, None, [], []]
    assert len(backend.calls) == 6
    backend.error = QueueUnavailable("gone")
    assert ask(Hints(backend, clock)) == [None, [], None, None, [], []]
    assert len(backend.calls) == 7


def test_processes_do_not_come_back_all_at_once(clock, monkeypatch) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    monkeypatch.setattr("durable_core.hints.random.uniform", uniform)
    queue = Hints(Away(), clock)
    for _ in range(8):
        queue.enqueue([ENTRY])
        clock.advance(5)
    assert drawn[:3] == [(0.05, 0.1), (0.1, 0.2), (0.2, 0.4)]
    assert drawn[-1] == (2.5, 5.0)


def test_only_queues_of_their_own_are_wrapped_and_once() -> None:
    clock = ManualClock()
    joined = InMemoryTaskQueue(clock, store=InMemoryHistoryStore(clock))
    assert as_hint(joined) is joined
    alone = InMemoryTaskQueue(clock)
    assert as_hint(as_hint(alone)) is not alone
    assert backend_of(as_hint(as_hint(alone))) is alone
    assert backend_of(joined) is joined
