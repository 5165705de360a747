"""The places where tests kill the process: all of them are passed, inside of a transaction or behind it."""

from __future__ import annotations

import pytest

from durable_core.client import Client
from durable_core.crashpoints import CRASHPOINTS, watched
from durable_core.retry import RetryPolicy
from durable_core.testing import InMemoryTaskQueue
from tests.core.test_worker import Bench


def everything(*, lossy):
    """The places that a run passes which makes use of all that there is; and whether the store was in a transaction."""
    bench = Bench(cache_size=0, threads=1)
    if lossy:
        bench.queue = InMemoryTaskQueue(bench.clock)
        bench.client = Client(bench.store, bench.queue, bench.registry)
    tries = []

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=1))
    def act():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError

    @bench.registry.workflow
    def calls(ctx):
        first, second = ctx.start_activity("act"), ctx.start_activity("act")
        ctx.gather(first, second)
        ctx.sleep(1)

    passed = []
    with watched(lambda name: passed.append((name, bench.store.in_transaction()))):
        bench.drive(bench.start("calls"))
    return passed


@pytest.mark.parametrize("lossy", [False, True])
def test_every_crash_point_is_passed(lossy):
    names = {name for name, _ in everything(lossy=lossy)}
    assert set(CRASHPOINTS) - names == (set() if lossy else {"queue-untold"})


def test_crash_points_lie_on_the_side_of_the_transaction_that_they_are_named_for():
    for name, inside in everything(lossy=True):
        if name.endswith("-inside"):
            assert inside, name
        if name.endswith(("-committed", "-untold", "-claimed", "-dequeued")):
            assert not inside, name


def test_what_a_queue_is_told_is_part_of_the_transaction_where_it_can_be():
    for lossy in (False, True):
        told = {inside for name, inside in everything(lossy=lossy) if name == "queue-unacknowledged"}
        assert told == {not lossy}
