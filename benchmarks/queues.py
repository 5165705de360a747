"""The queue by itself, without a workflow engine, beside the least that a queue on the same server can be.

Both do the same, by turns, in one process: what else goes on in the machine meets both.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from multiprocessing import get_context
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from benchmarks.plain import WithWakeups, make_plain, watching
from django_durable.engine import engine
from django_durable.store import DjangoHistoryStore
from durable_core.hints import backend_of
from durable_core.ports import Entry, EntryKind, WorkerInfo, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from benchmarks.plain import Plain
    from benchmarks.rig import Options, Row

RUNS = 5_000  # `--runs` to which the numbers here belong
ENTRIES = {1: 500, 10: 5_000, 100: 10_000}  # by size of batch
WAKEUPS = 300
TURNS = 25  # how often the two take turns: a disk is slow for a second at a time
# Seconds between two wake-ups, of the two by turns. The Postgres queue looks again 50 ms after a notification.
PAUSE = (0.028, 0.035)
PATIENCE = 30.0  # seconds
OURS, LIMIT = "", " limit"  # end the names of figures


def measure(o: Options) -> Row:
    ours, plain = Ours(), make_plain()
    plain.setup()
    for one in (ours, plain):
        one.send(1)
        one.take(1)
    row: Row = {}
    for size, entries in ENTRIES.items():
        calls = max(entries * o.runs // RUNS // size, 1)
        row |= _rates(f"enqueue/s {size}", size, calls, ours.send, plain.send)
        plain.analyze()
        row |= _rates(f"claim+complete/s {size}", size, calls, ours.take, plain.take)
    return row | _wakeups(max(WAKEUPS * o.runs // RUNS, 2), ours, plain)


class Ours:
    """The queue as the engine uses it: what can join the store's transaction does, here one of its own."""

    def __init__(self) -> None:
        self._queue = backend_of(engine().queue)
        store = DjangoHistoryStore()
        self._transaction = store.transaction if self._queue.transactional else nullcontext
        self._worker = WorkerInfo(id=new_id(), host=socket.gethostname(), pid=os.getpid(), queues=())
        store.add_worker(self._worker)  # whose connection is set up for what workers do

    def send(self, count: int) -> None:
        entries = [Entry(EntryKind.RUN, new_id(), "default") for _ in range(count)]
        with self._transaction():
            self._queue.enqueue(entries)

    def take(self, count: int) -> None:
        claims = self._queue.claim(self._worker.id, {EntryKind.RUN: count}, queues=(), exclude=())
        assert len(claims) == count
        with self._transaction():
            self._queue.complete(claims)


# Rates


def _rates(name: str, size: int, calls: int, ours: Callable[[int], None], plain: Callable[[int], None]) -> Row:
    """Entries per second, in so many *calls* for *size* entries each."""
    spent = {ours: 0.0, plain: 0.0}
    for turn in range(TURNS):
        share = calls * (turn + 1) // TURNS - calls * turn // TURNS
        for call in spent:
            begun = time.perf_counter()
            for _ in range(share):
                call(size)
            spent[call] += time.perf_counter() - begun
    rate, limit = (calls * size / seconds for seconds in spent.values())
    return {name + OURS: rate, name + LIMIT: limit, f"{name} ratio": rate / limit}


# Wake-ups


def _wakeups(count: int, ours: Ours, plain: Plain) -> Row:
    """From the call of `enqueue` here to the call of what another process watches with (ms).

    Entries are removed before the next one comes, so nothing is left out for a twin, and every wake-up is that of an
    idle worker.
    """
    rivals = {OURS: (lambda: ours.send(1), ours.take)}
    if isinstance(plain, WithWakeups):
        rivals[LIMIT] = (plain.tell, plain.take)
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    with Listener(list(rivals)) as listener:
        for _ in range(count):
            for name, (tell, take) in rivals.items():
                time.sleep(random.uniform(*PAUSE))  # whoever waits must have gone to sleep again
                taken[name].append(listener.time(name, tell) * 1e3)
                take(1)
    row: Row = {}
    for percent in (50, 95, 99):
        figure = f"wake-up-p{percent}(ms) 1"
        for name, times in taken.items():
            row[figure + name] = quantiles(times, n=100, method="inclusive")[percent - 1]
        if isinstance(plain, WithWakeups):
            row[f"{figure} ratio"] = row[figure + LIMIT] / row[figure + OURS]
    return row


class Listener:
    """Another process, that watches under all these names; entered when it does."""

    def __init__(self, names: list[str]) -> None:
        context = get_context("spawn")
        self._names = names
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_listen, args=(names, other), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Listener:
        silent = set(self._names)
        while silent:
            silent.discard(self._hear()[0])  # each says when it begins
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it may be gone already
            self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()

    def time(self, name: str, tell: Callable[[], None]) -> float:
        """Seconds from the call of *tell* to the wake-up over there."""
        while self._pipe.poll():
            self._pipe.recv()
        begun = time.monotonic()
        tell()
        while True:
            woken, moment = self._hear()
            if woken == name and moment > begun:
                return moment - begun

    def _hear(self) -> tuple[str, float]:
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError(f"no wake-up within {PATIENCE} s")
        heard: tuple[str, float] = self._pipe.recv()
        return heard


def _listen(names: list[str], pipe: Connection[Any, Any]) -> None:
    """In the other process: send the time of each wake-up, by the clock that all processes of a host have in common."""
    import django

    django.setup()
    lock = threading.Lock()

    def wake(name: str) -> None:
        moment = time.monotonic()
        with lock:
            pipe.send((name, moment))

    with ExitStack() as stack:
        for name in names:
            call = partial(wake, name)
            stack.enter_context(watching(call) if name == LIMIT else engine().queue.watch(call))
        with suppress(EOFError, ConnectionError):
            pipe.recv()
