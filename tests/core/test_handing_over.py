"""From hand to hand: mail to a run in memory, outcomes to a store that cannot take them yet."""

from __future__ import annotations

from collections.abc import Callable

from durable_core.client import Client
from durable_core.execution import Status
from durable_core.ports import Receipt
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue
from tests.core.test_worker import Bench, attempts_of_one_activity

SOON = 5.0  # seconds of the bench's clock; unread mail is looked after half a minute later


def test_a_signal_to_a_run_in_memory_is_read_at_its_wake_up():
    bench = Bench()

    @bench.registry.workflow
    def waits(ctx):
        return ctx.wait_signal("go")

    run_id = bench.start("waits")

    def until():
        record = bench.client.find(run_id)
        if record.status is Status.RUNNING and record.version == 1:
            bench.client.signal(run_id, "go", 7)
        return record.status.is_closed or bench.clock.monotonic() > SOON

    bench.worker().run(until=until)  # one worker from beginning to end: the run stays in its memory
    assert bench.result(run_id) == 7


class HeldForAWhile(InMemoryHistoryStore):
    """Somebody holds the activity when its first outcomes are reported."""

    left = 3

    def record_outcomes(self, outcomes):
        if self.left:
            self.left -= 1
            return Receipt(frozenset(), [], frozenset(outcome.task_id for outcome in outcomes))
        return super().record_outcomes(outcomes)


def test_an_outcome_whose_task_somebody_holds_is_reported_until_it_is_taken():
    bench = Bench(HeldForAWhile, cache_size=0)
    attempts = attempts_of_one_activity(bench)
    run_id = bench.start("calls")
    bench.worker().run(until=lambda: bench.client.find(run_id).status.is_closed or bench.clock.monotonic() > SOON)
    assert bench.result(run_id) == "done"
    assert (attempts, bench.store.left) == ([1], 0)


class Overtaken(InMemoryHistoryStore):
    """Another worker makes the first decision too, and commits it first."""

    is_overtaken = False

    def commit(self, commits):
        if not self.is_overtaken:
            self.is_overtaken = True
            super().commit(commits)
        return super().commit(commits)


def test_a_run_that_another_worker_was_quicker_with_is_loaded_again():
    bench = Bench(Overtaken)

    @bench.registry.workflow
    def waits(ctx):
        return ctx.wait_signal("go")

    run_id = bench.start("waits")

    def is_closed(status):
        if status is Status.RUNNING and not bench.store.load([run_id])[run_id].mail:
            bench.client.signal(run_id, "go", 7)
        return status.is_closed

    bench.drive(run_id, to=is_closed)  # by one worker, which has the run in memory
    assert bench.result(run_id) == 7
    types = [event.type for event in bench.store.load([run_id])[run_id].events]
    assert types == ["workflow_started", "signal_wait_started", "signal_received", "workflow_completed"]


class Leaky(InMemoryTaskQueue):
    """Its server forgets the first entries that it is given."""

    left = 3

    def enqueue(self, entries, *, delay=None):
        if self.left:
            self.left -= 1
        else:
            super().enqueue(entries, delay=delay)


def on_a_queue_apart(kind=InMemoryTaskQueue, **options):
    """A bench with a queue that has no part in the store's transactions."""
    bench = Bench(tick=5.0)
    bench.queue = kind(bench.clock)
    bench.client = Client(bench.store, bench.queue, bench.registry, **options)
    bench.registry.workflow(ends_at_once)
    return bench


def ends_at_once(ctx):
    pass


def test_an_entry_that_is_lost_again_and_again_is_made_again():
    bench = on_a_queue_apart(Leaky)
    run_id = bench.start("ends_at_once")
    bench.drive(run_id)
    assert bench.queue.left == 0


def test_a_wake_up_is_sent_when_the_callers_transaction_has_committed():
    sent_later: list[Callable[[], None]] = []
    bench = on_a_queue_apart(after_commit=sent_later.append)
    bench.start("ends_at_once")
    assert bench.queue.stats() == []  # a worker would find no run yet, and take the entry for done
    [send] = sent_later
    send()
    [stats] = bench.queue.stats()
    assert stats.ready == 1
