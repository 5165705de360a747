"""What a worker process tells about itself.

It appends a line of JSON to a file whenever it gets SIGUSR1, and when it exits. *watch* adds one of these:

    statements   counts SQL statements of Django by thread, and what the loop asks of the queue
    clocks       splits the time of the loop's thread: its CPU, inside the database and the queue, at rest
    profile      runs the loop's thread under cProfile, whose statistics go to the file + ".prof"

The last two change what they measure, so they have runs of their own.
"""

from __future__ import annotations

import atexit
import cProfile
import functools
import json
import signal
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_durable.store.database import Database
from durable_core.hints import backend_of
from durable_core.ports import SystemClock
from durable_core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Clocks:
    """Seconds of the loop's thread, by what it did: on the wall, and of CPU."""

    thread: int = 0  # ident; 0: not running yet
    is_inside: bool = False  # in what is timed as a whole, whatever is called from there
    wall: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)

    def around(self, owner: type, method: str, label: str, *, whole: bool = True) -> None:
        """Time a method, where the loop's thread calls it; not *whole*: what is timed in it has times of its own."""
        original: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self.is_inside or threading.get_ident() != self.thread:
                return original(*args, **kwargs)
            self.is_inside = whole
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return original(*args, **kwargs)
            finally:
                self.is_inside = False
                self.wall[label] += time.perf_counter() - wall
                self.cpu[label] += time.thread_time() - cpu
                self.calls[label] += 1

        setattr(owner, method, timed)


def install(place: str, watch: str) -> None:
    file = Path(place)
    statements: Counter[str] = Counter()
    clocks = Clocks()

    def tell(*_: object) -> None:
        facts = {
            "cpu": time.process_time(),
            "statements": dict(statements),
            "wall": dict(clocks.wall),
            "loop_cpu": dict(clocks.cpu),
            "calls": dict(clocks.calls),
        }
        with file.open("a") as lines:
            lines.write(json.dumps(facts) + "\n")

    signal.signal(signal.SIGUSR1, tell)
    atexit.register(tell)
    match watch:
        case "":
            pass
        case "statements":
            _count(statements)
        case "clocks":
            _clock(clocks)
        case "profile":
            _profile(file.with_name(file.name + ".prof"))
        case _:
            raise ValueError(f"DURABLE_BENCH_WATCH is {watch!r}")


def _count(statements: Counter[str]) -> None:
    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        statements[threading.current_thread().name] += 1
        return execute(sql, params, many, context)

    def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
        connection.execute_wrappers.append(wrapper)

    connection_created.connect(watch, weak=False)
    asked = Clocks()
    asked.calls = statements
    _on_run(lambda worker: _clock_queue(asked, worker))


def _clock(clocks: Clocks) -> None:
    clocks.around(SystemClock, "wait", "rest")
    clocks.around(Database, "_run", "statements")
    clocks.around(BaseDatabaseWrapper, "_commit", "commits")
    clocks.around(Worker, "_round", "(round)", whole=False)
    clocks.around(Worker, "run", "loop", whole=False)
    _on_run(lambda worker: _clock_queue(clocks, worker))


def _clock_queue(clocks: Clocks, worker: Worker) -> None:
    """The chosen queue's own class is known when a worker has it."""
    clocks.thread = threading.get_ident()
    for method in ("enqueue", "claim", "complete", "release", "release_dead"):
        clocks.around(type(backend_of(worker._queue)), method, "queue")


def _on_run(prepare: Callable[[Worker], None]) -> None:
    run = Worker.run

    @functools.wraps(run)
    def prepared(self: Worker, **kwargs: Any) -> None:
        prepare(self)
        run(self, **kwargs)

    Worker.run = prepared  # type: ignore[method-assign]


def _profile(file: Path) -> None:
    run = Worker.run

    @functools.wraps(run)
    def profiled(self: Worker, **kwargs: Any) -> None:
        profiler = cProfile.Profile()
        try:
            profiler.runcall(run, self, **kwargs)
        finally:
            profiler.dump_stats(file)

    Worker.run = profiled  # type: ignore[method-assign]
