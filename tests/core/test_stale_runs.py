"""A run in the memory of one worker, with which another has gone on: nothing that wakes it is lost on the first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_core.client import Client
from durable_core.definitions import Registry
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings

ROUNDS = 500  # more than any of these runs needs


def first():
    return "first"


def second():
    return "second"


class Two:
    """A worker that has a run in memory, and another that takes a turn with it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Registry()
        self.store = InMemoryHistoryStore(self.clock)
        self.queue = InMemoryTaskQueue(self.clock, store=self.store, preference=timedelta(0))
        self.client = Client(self.store, self.queue, self.registry)
        self.there = self.registry.activity(first).using(queue="theirs")
        self.here = self.registry.activity(second).using(queue="mine")

    def worker(self, exclude):
        settings = WorkerSettings(inline=True, exclude=(exclude,))
        return Worker(self.store, self.queue, self.registry, self.clock, settings)

    def result(self, workflow):
        """Of a run whose first step is here, its second there, and what follows here again."""
        run_id = self.client.start(workflow, {}).run_id
        rounds = 0

        def until():
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                self.worker("mine").run(until_idle=True)
            assert rounds < ROUNDS, "the run is stuck"
            return self.client.find(run_id).status.is_closed

        self.worker("theirs").run(until=until)
        return self.client.result(run_id, timeout=0)


@pytest.fixture
def two():
    return Two()


def test_timer_that_another_worker_has_set_wakes_the_run(two):
    @two.registry.workflow
    def sleeps(ctx):
        ctx.run_activity(two.there)
        ctx.sleep(10)
        return "woken"

    assert two.result(sleeps) == "woken"


def test_outcome_of_an_activity_that_another_worker_has_scheduled_reaches_the_run(two):
    @two.registry.workflow
    def calls(ctx):
        return [ctx.run_activity(two.there), ctx.run_activity(two.here)]

    assert two.result(calls) == ["first", "second"]
