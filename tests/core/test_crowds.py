"""Many at once, and long ones: what has to be done grows with what there is, and no faster."""

from __future__ import annotations

import sys

from durable_core.execution import Status
from tests.core.stories import Story, completed
from tests.core.test_worker import Bench

SLEEPERS = 1_200  # more than two turns of the scheduler find


def test_a_signal_is_heard_among_many_timers_that_are_due_at_once():
    bench = Bench(batch=50)

    @bench.registry.workflow
    def sleeps(ctx):
        ctx.sleep(60)

    @bench.registry.workflow
    def listens(ctx):
        ctx.wait_signal("go")

    listener = bench.start("listens")
    sleepers = [bench.start("sleeps") for _ in range(SLEEPERS)]
    bench.worker().run(until_idle=True)
    bench.clock.advance(60)
    worker = bench.worker()
    worker.run(iterations=1)  # the first of them are found due
    bench.client.signal(listener, "go")
    bench.drive(listener)
    ended = sum(bench.client.find(run_id).status is Status.COMPLETED for run_id in sleepers)
    assert 0 < ended < SLEEPERS * 2 / 3
    bench.drive(*sleepers)


def test_the_work_of_a_replay_grows_with_the_length_of_the_history_and_no_faster():
    """Measured in calls, which are the same on every machine."""

    def calls(steps):
        count = 0

        def counting(frame, event, arg):
            nonlocal count
            count += event == "call"

        story = Story(lambda ctx: sum(ctx.run_activity("add", n, n) for n in range(steps)))
        story.start()
        for n in range(steps):
            story.give(completed(n, 1))
        sys.setprofile(counting)
        try:
            run = story.replayed()
        finally:
            sys.setprofile(None)
        assert run.is_closed
        return count

    assert calls(1_000) < 2.1 * calls(500)
