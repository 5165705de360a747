"""The store or the network fails at any one moment of a run's life: the worker goes on, and so does the run."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest

from durable_core.client import Client
from durable_core.definitions import Registry
from durable_core.errors import QueueUnavailable, StoreUnavailable
from durable_core.ports import HistoryStore
from durable_core.retry import RetryPolicy
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings

ROUNDS = 2_000  # more than any of these runs needs


class Failing(InMemoryHistoryStore):
    """Its call number *fails_at* finds no server; with *reply_lost*, a transaction is committed and nobody is told."""

    def __init__(self, clock, *, fails_at=0, reply_lost=False):
        super().__init__(clock)
        self.fails_at, self.reply_lost = fails_at, reply_lost
        self.armed = False
        self.calls = 0

    def strike(self):
        """Whether this call is the one."""
        if not self.armed or self._depth:
            return False
        self.calls += 1
        return self.calls == self.fails_at

    _depth = 0  # calls of ours inside of others

    @contextmanager
    def whole(self):
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @contextmanager
    def transaction(self):
        struck = self.strike()
        if struck and not self.reply_lost:
            raise StoreUnavailable("no server", ambiguous=False)
        with super().transaction():
            yield
        if struck:
            raise StoreUnavailable("no reply")


def _failing(name):
    inherited = getattr(InMemoryHistoryStore, name)

    def method(self, *args, **kwargs):
        if self.strike():
            raise StoreUnavailable("no server", ambiguous=False)
        with self.whole():
            return inherited(self, *args, **kwargs)

    return method


for _name in set(vars(HistoryStore)) & set(dir(InMemoryHistoryStore)) - {"transaction", "in_transaction", "lock"}:
    if not _name.startswith("_"):
        setattr(Failing, _name, _failing(_name))


class Silent(InMemoryTaskQueue):
    """The server of this queue does not answer call number *fails_at*; with *reply_lost*, it does what it is told."""

    def __init__(self, clock, *, store=None, fails_at=0, reply_lost=False):
        super().__init__(clock, store=store)
        self.fails_at, self.reply_lost = fails_at, reply_lost
        self.calls = 0


def _silent(name):
    inherited = getattr(InMemoryTaskQueue, name)

    def method(self, *args, **kwargs):
        self.calls += 1
        if self.calls != self.fails_at:
            return inherited(self, *args, **kwargs)
        if self.reply_lost:
            inherited(self, *args, **kwargs)
        raise QueueUnavailable("no server")

    return method


for _name in ("enqueue", "claim", "complete", "release", "release_dead", "stats"):
    setattr(Silent, _name, _silent(_name))


class Story:
    """A run with a bit of everything, and a worker that brings it to its end."""

    def __init__(self, *, transactional, cache_size, until_idle=False, queue=InMemoryTaskQueue, **failure):
        self.clock, self.registry = ManualClock(), Registry()
        self.done: Counter[str] = Counter()
        self.store = Failing(self.clock, **failure)
        self.queue = queue(self.clock, store=self.store if transactional else None)
        self.client = Client(self.store, self.queue, self.registry)
        self.settings = WorkerSettings(inline=True, cache_size=cache_size, batch=10)
        self._until_idle = until_idle

        def act(name):
            self.done[name] += 1
            if name == "flaky" and self.done[name] == 1:
                raise ValueError("not yet")
            return name

        self.registry.activity_from(act, name="act", retry_policy=RetryPolicy(initial_interval=0.3))

        @self.registry.workflow
        def child(ctx):
            return ctx.run_activity("act", "of child")

        @self.registry.workflow
        def parent(ctx):
            first = ctx.start_activity("act", "first")
            results = [ctx.run_activity("act", "flaky"), ctx.wait_activity(first)]
            ctx.sleep(0.5)
            return [*results, ctx.wait_signal("go"), ctx.run_workflow("child")]

    def play(self):
        run_id = self.client.start("parent", {}).run_id
        self.client.signal(run_id, "go", 7)
        self.store.armed = True
        while not self.run_once(run_id):
            pass
        self.store.armed = False
        return self.client.result(run_id, timeout=0)

    def run_once(self, run_id):
        rounds = 0

        def until():
            nonlocal rounds
            rounds += 1
            assert rounds < ROUNDS, "the run is stuck"
            with self.store.whole():
                return self.client.find(run_id).status.is_closed

        worker = Worker(self.store, self.queue, self.registry, self.clock, self.settings)
        worker.run(until=until, until_idle=self._until_idle)
        self.clock.advance(0.1)
        return until()


WAYS = [
    pytest.param({"transactional": transactional, "cache_size": cache_size, "until_idle": until_idle}, id=name)
    for name, transactional, cache_size, until_idle in (
        ("cached", True, 1000, False),
        ("replayed", True, 0, False),
        ("lossy queue", False, 1000, False),
        ("until idle", True, 1000, True),
    )
]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("reply_lost", [False, True], ids=["no server", "no reply"])
@pytest.mark.parametrize("way", WAYS)
def test_an_outage_at_any_one_call_costs_time_only(way, reply_lost):
    smooth = Story(**way)
    expected = smooth.play()
    assert expected == ["flaky", "first", 7, "of child"]
    for fails_at in range(1, smooth.store.calls + 1):
        story = Story(**way, fails_at=fails_at, reply_lost=reply_lost)
        try:
            assert story.play() == expected
            assert story.done == smooth.done  # nobody died: no attempt was made in vain
        except BaseException as error:
            error.add_note(f"the store failed at its call number {fails_at}")
            raise


@pytest.mark.promise("P9")
@pytest.mark.parametrize("reply_lost", [False, True], ids=["no server", "no reply"])
@pytest.mark.parametrize("cache_size", [1000, 0], ids=["cached", "replayed"])
def test_a_queue_that_is_away_at_any_one_call_costs_time_only(cache_size, reply_lost, monkeypatch):
    monkeypatch.setattr("durable_core.hints.FIRST_PAUSE", 0.0)  # it is of the host's time, and this clock runs ahead
    way = {"transactional": False, "cache_size": cache_size}
    smooth = Story(**way, queue=Silent)
    expected = smooth.play()
    for fails_at in range(1, smooth.queue.calls + 1):
        story = Story(**way, queue=partial(Silent, fails_at=fails_at, reply_lost=reply_lost))
        try:
            assert story.play() == expected
        except BaseException as error:
            error.add_note(f"the queue failed at its call number {fails_at}")
            raise
