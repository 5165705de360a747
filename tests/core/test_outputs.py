"""What code lets others read: events and streams."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import events as e
from durable_core import unpublished
from durable_core.activity import CurrentActivity, current_activity
from durable_core.audit import audit
from durable_core.codec import NULL, Payload
from durable_core.decision import RunSettings
from durable_core.errors import (
    ActivityError,
    ConfigurationError,
    NondeterminismError,
    PayloadError,
    StoreUnavailable,
    TransactionConflict,
    WorkflowClosed,
)
from durable_core.ports import Published
from durable_core.readings import event_of, items_of, pauses
from durable_core.retry import RetryPolicy
from durable_core.testing import HostClock, InMemoryHistoryStore, ManualClock
from durable_core.unpublished import BATCH, BATCH_BYTES, Unpublished
from durable_core.worker import publishing
from durable_core.worker.publishing import Publisher
from durable_core.worker.threads import SystemThreads
from tests.core.stories import Story, loads, signal
from tests.core.test_attempts import task_of
from tests.core.test_worker import Bench
from tests.waiting import wait_until


def packs(ctx, stages=("packed", "sent")):
    for stage in stages:
        ctx.set_event("stage", stage)
    ctx.set_event("done", None)
    ctx.wait_signal("go")
    ctx.set_event("stage", "there")
    return "done"


# Events


def test_an_event_is_a_fact_and_its_last_value_is_decided():
    story = Story(packs)
    decision = story.start()
    assert story.types == ["workflow_started", "event_set", "event_set", "event_set", "signal_wait_started"]
    assert {key: loads(value) for key, value in decision.values.items()} == {"stage": "sent", "done": None}
    set_first = e.event_of(story.history[1])
    assert isinstance(set_first, e.EventSet)
    assert (set_first.call_id, set_first.key, set_first.value) == ("0", "stage", '"packed"')
    decision = story.give(signal("go"))
    assert decision.values == {"stage": '"there"'}
    story.check()


def test_a_replay_sets_nothing():
    story = Story(packs)
    story.start()
    story.evict()
    decision = story.give(signal("go"))
    assert (decision.values, story.result) == ({"stage": '"there"'}, "done")


def test_another_key_is_a_mismatch_and_another_value_is_not():
    story = Story(packs)
    story.start()

    def other_value(ctx):
        packs(ctx, ("PACKED", "SENT"))

    def other_key(ctx):
        ctx.set_event("status", "packed")

    story.replayed(other_value).close()
    with pytest.raises(
        NondeterminismError, match=r"event 'stage' .call 0. at seq 2, but the code asked for event 'sta"
    ):
        story.replayed(other_key)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("", 1, ConfigurationError),
        ("k" * 201, 1, ConfigurationError),
        (7, 1, ConfigurationError),
        ("k", {1}, PayloadError),
        ("k", "x" * 100, PayloadError),
    ],
)
def test_what_cannot_be_stored_raises_at_the_call_and_takes_no_place(key, value, error):
    def fn(ctx):
        with pytest.raises(error):
            ctx.set_event(key, value)
        ctx.set_event("k", 1)

    story = Story(fn, settings=RunSettings(payload_limit=50))
    story.start()
    assert story.types == ["workflow_started", "event_set", "workflow_completed"]
    assert e.event_of(story.history[1]).call_id == "0"
    story.check()


@pytest.mark.parametrize("cache_size", [0, 100])
def test_others_read_what_was_set_last_before_and_behind_the_end(cache_size):
    bench = Bench(cache_size=cache_size)
    bench.registry.workflow(packs)
    run_id = bench.start("packs")
    assert event_of(bench.client, bench.store, run_id, "stage") is None
    bench.drive(run_id, to=lambda status: status == "RUNNING")
    assert event_of(bench.client, bench.store, run_id, "stage") == '"sent"'
    bench.client.signal(run_id, "go")
    bench.drive(run_id)
    assert event_of(bench.client, bench.store, run_id, "stage") == '"there"'
    assert event_of(bench.client, bench.store, run_id, "done") == "null"
    with pytest.raises(WorkflowClosed, match="COMPLETED, and has never set event 'never'"):
        event_of(bench.client, bench.store, run_id, "never")


def test_runs_of_a_chain_keep_an_event_until_a_later_one_sets_it():
    bench = Bench()

    @bench.registry.workflow
    def goes_on(ctx, n=0):
        if n != 1:
            ctx.set_event("n", n)
        ctx.set_event(f"key-{n}", n)
        if n < 2:
            ctx.continue_as_new(n=n + 1)

    first = bench.start("goes_on")
    bench.drive(first, to=lambda status: status == "CONTINUED_AS_NEW")
    while not (newest := bench.client.find_newest(first)).status.is_closed:
        bench.drive(newest.id)
    for run_id in (first, newest.id):
        found = [event_of(bench.client, bench.store, run_id, key) for key in ("n", "key-0", "key-1", "key-2")]
        assert found == ["2", "0", "1", "2"]


def test_pauses_grow_and_end_with_the_time():
    assert list(pauses(0, "it")) == []
    endless = pauses(None, "it")
    first = [next(endless) for _ in range(20)]
    assert first == sorted(first)
    assert first[-1] == 0.1
    assert 0 < next(pauses(0.001, "it")) <= 0.001


# Streams


def counts(ctx, n=3, stream="default"):
    for number in range(n):
        ctx.publish(number, stream=stream)
    ctx.wait_signal("go")
    ctx.publish({"the": "end"})
    return "done"


def read(bench, run_id, stream="default", after=0):
    found, is_over = items_of(bench.client, bench.store, run_id, stream, after=after, limit=1000)
    return [loads(item) for _, item in found], is_over


def test_an_item_is_a_fact_without_its_text():
    story = Story(counts)
    decision = story.start()
    assert story.types == ["workflow_started", *["item_published"] * 3, "signal_wait_started"]
    assert story.history[1].details == '{"stream":"default"}'
    assert [(seq, new.stream, new.call_id, new.item) for seq, new in decision.items] == [
        (n + 2, "default", f"{n}", f"{n}") for n in range(3)
    ]
    story.evict()
    assert [new.item for _, new in story.give(signal("go")).items] == ['{"the":"end"}']
    story.check()


def test_another_stream_is_a_mismatch():
    story = Story(counts)
    story.start()
    with pytest.raises(NondeterminismError, match=r"an item for stream 'default' .call 0. at seq 2"):
        story.replayed(lambda ctx: counts(ctx, stream="other"))


@pytest.mark.parametrize(("item", "stream"), [({1}, "s"), ("x" * 100, "s"), (1, ""), (1, "s" * 201)])
def test_an_item_that_cannot_be_stored_raises_at_the_call(item, stream):
    def fn(ctx):
        with pytest.raises((PayloadError, ConfigurationError)):
            ctx.publish(item, stream=stream)

    story = Story(fn, settings=RunSettings(payload_limit=50))
    assert story.start().items == []
    assert story.types == ["workflow_started", "workflow_completed"]


@pytest.mark.parametrize("cache_size", [0, 100])
def test_a_stream_ends_with_its_run(cache_size):
    bench = Bench(cache_size=cache_size)
    bench.registry.workflow(counts)
    run_id = bench.start("counts")
    assert read(bench, run_id) == ([], False)
    bench.drive(run_id, to=lambda status: status == "RUNNING")
    assert read(bench, run_id) == ([0, 1, 2], False)
    bench.client.signal(run_id, "go")
    bench.drive(run_id)
    assert read(bench, run_id) == ([0, 1, 2, {"the": "end"}], True)


def test_a_stream_of_a_chain_is_not_over_with_its_first_run():
    bench = Bench()

    @bench.registry.workflow
    def goes_on(ctx, n=0):
        ctx.publish(n)
        if n == 0:
            ctx.continue_as_new(n=1)
        ctx.wait_signal("go")

    first = bench.start("goes_on")
    bench.drive(first, to=lambda status: status == "CONTINUED_AS_NEW")
    newest = bench.client.find_newest(first).id
    bench.drive(newest, to=lambda status: status == "RUNNING")
    assert [read(bench, run_id) for run_id in (first, newest)] == [([0, 1], False)] * 2
    bench.client.signal(first, "go")
    bench.drive(newest)
    assert read(bench, first) == ([0, 1], True)


def test_a_run_that_is_opened_again_publishes_and_sets_again():
    """What its code has told in a step that was put aside stays told."""
    bench = Bench()
    broken = [True]

    @bench.registry.workflow
    def stumbles(ctx):
        ctx.publish("before")
        ctx.wait_signal("go")
        ctx.publish("behind")
        ctx.set_event("stage", "broken" if broken else "mended")
        if broken:
            raise ValueError("mend me")

    run_id = bench.start("stumbles")
    bench.client.signal(run_id, "go")
    bench.drive(run_id)
    assert (read(bench, run_id)[0], event_of(bench.client, bench.store, run_id, "stage")) == (
        ["before", "behind"],
        '"broken"',
    )
    broken.clear()
    bench.client.reopen(run_id)
    bench.drive(run_id)
    assert read(bench, run_id) == (["before", "behind", "behind"], True)
    assert event_of(bench.client, bench.store, run_id, "stage") == '"mended"'
    assert audit(bench.store, bench.queue) == []


# From activities


def publishing_bench(**options):
    bench = Bench(**options)

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=0.01))
    def tells(n, fails_at=()):
        current = current_activity()
        for number in range(n):
            current.publish(f"{current.attempt}-{number}")
            if [current.attempt, number] in fails_at:
                raise ValueError(number)
        current.publish("elsewhere", stream="other")

    @bench.registry.workflow
    def listens(ctx, n, fails_at=()):
        ctx.publish("before")
        ctx.run_activity(tells, n, fails_at)
        ctx.publish("behind")

    return bench


@pytest.mark.parametrize("clock", [None, HostClock()], ids=["inline", "threads"])
def test_items_of_an_activity_stand_before_what_comes_behind_it(clock):
    bench = publishing_bench(clock=clock)
    run_id = bench.start("listens", n=3)
    bench.drive(run_id)
    assert read(bench, run_id) == (["before", "1-0", "1-1", "1-2", "behind"], True)
    assert read(bench, run_id, "other") == (["elsewhere"], True)


def test_a_later_attempt_goes_on_where_an_earlier_one_ended():
    bench = publishing_bench(clock=HostClock())
    run_id = bench.start("listens", n=4, fails_at=[[1, 2], [2, 0]])
    bench.drive(run_id)
    assert read(bench, run_id)[0] == ["before", "1-0", "1-1", "1-2", "3-3", "behind"]
    assert read(bench, run_id, "other")[0] == ["elsewhere"]


def test_an_attempt_that_goes_on_from_a_heartbeat_says_which_item_comes():
    bench = Bench(clock=HostClock())

    @bench.registry.activity(retry_policy=RetryPolicy(initial_interval=0.01))
    def goes_on():
        current = current_activity()
        for number in range(2 * (current.attempt - 1), 4):
            current.publish(f"{current.attempt}-{number}", number=number)
            if [current.attempt, number] == [1, 2]:
                raise ValueError("item 2 was published, and not accounted for")
        current.publish("behind")

    @bench.registry.workflow
    def listens(ctx):
        ctx.run_activity(goes_on)

    run_id = bench.start("listens")
    bench.drive(run_id)
    assert read(bench, run_id)[0] == ["1-0", "1-1", "1-2", "2-3", "behind"]
    for wrong in (-1, 2**31, True, "1"):
        with pytest.raises(ConfigurationError, match="number="):
            CurrentActivity(task_of()).publish(1, number=wrong)  # type: ignore[arg-type] # that is the mistake


class Counting(InMemoryHistoryStore):
    """Says how often items were stored; not always at the first try."""

    writes = 0
    out = 0

    def publish(self, attempts):
        if self.out:
            self.out -= 1
            raise StoreUnavailable("out for lunch", ambiguous=False)
        self.writes += 1
        return super().publish(attempts)


def test_a_thousand_items_are_a_few_writes():
    bench = publishing_bench(store=Counting, clock=HostClock())
    run_id = bench.start("listens", n=1000)
    bench.drive(run_id)
    assert len(read(bench, run_id)[0]) == 1000  # as many as one look answers
    assert bench.store.writes <= 20


@pytest.mark.parametrize("clock", [None, HostClock()], ids=["inline", "threads"])
def test_what_could_not_be_stored_is_stored_later_and_before_the_outcome(clock):
    bench = publishing_bench(store=Counting, clock=clock)
    bench.store.out = 2
    run_id = bench.start("listens", n=2)
    bench.drive(run_id)
    found, _ = read(bench, run_id)
    assert [found[0], found[-1]] == ["before", "behind"]
    assert [item[2:] for item in found[1:-1]] == ["0", "1"]


def test_an_item_is_there_while_its_activity_goes_on():
    bench = Bench(clock=HostClock())
    seen = []

    @bench.registry.activity
    def tells():
        current_activity().publish("first")
        wait_until(lambda: read(bench, current_activity().execution_id)[0] == ["first"], "the first item")
        seen.append("first")
        current_activity().publish("second")
        wait_until(lambda: len(read(bench, current_activity().execution_id)[0]) == 2, "the second item")
        seen.append("second")

    @bench.registry.workflow
    def listens(ctx):
        ctx.run_activity(tells)

    bench.drive(bench.start("listens"))
    assert seen == ["first", "second"]


@pytest.mark.parametrize("clock", [None, HostClock()], ids=["inline", "threads"])
def test_a_local_activity_is_told_that_it_cannot_publish(clock):
    bench = Bench(clock=clock)

    @bench.registry.activity(retry_policy=RetryPolicy(maximum_attempts=1))
    def tells():
        current_activity().publish("lost")

    @bench.registry.workflow
    def listens(ctx):
        try:
            ctx.run_local_activity(tells)
        except ActivityError as error:
            return error.message

    run_id = bench.start("listens")
    bench.drive(run_id)
    assert "A local activity cannot publish" in bench.result(run_id)
    assert read(bench, run_id) == ([], True)


def test_async_activities_publish_too():
    bench = Bench(clock=HostClock())

    @bench.registry.activity
    async def tells(n):
        for number in range(n):
            current_activity().publish(number)
            await asyncio.sleep(0)

    @bench.registry.workflow
    def listens(ctx):
        ctx.run_activity(tells, 5)
        ctx.publish("behind")

    run_id = bench.start("listens")
    bench.drive(run_id)
    assert read(bench, run_id)[0] == [0, 1, 2, 3, 4, "behind"]


@pytest.mark.parametrize("clock", [None, HostClock()], ids=["inline", "threads"])
def test_items_of_a_transactional_activity_are_committed_with_its_outcome_or_not_at_all(clock):
    bench = Bench(clock=clock)
    seen = []

    @bench.registry.activity(transactional=True, retry_policy=RetryPolicy(initial_interval=0.01))
    def tells():
        attempt = current_activity().attempt
        seen.append(read(bench, current_activity().execution_id)[0])
        current_activity().publish(attempt)
        if attempt == 1:
            raise ValueError("once more")
        current_activity().publish("done")

    @bench.registry.workflow
    def listens(ctx):
        ctx.run_activity(tells)
        ctx.publish("behind")

    run_id = bench.start("listens")
    bench.drive(run_id)
    assert seen == [[], []]
    assert read(bench, run_id)[0] == [2, "done", "behind"]


def test_a_transactional_activity_that_is_done_again_counts_its_items_anew():
    bench = Bench()
    deadlocks = [1]

    @bench.registry.activity(transactional=True)
    def tells():
        for number in range(3):
            current_activity().publish(number)
        if deadlocks:
            deadlocks.pop()
            raise TransactionConflict("a deadlock")

    @bench.registry.workflow
    def listens(ctx):
        ctx.run_activity(tells)

    run_id = bench.start("listens")
    bench.drive(run_id)
    assert (deadlocks, read(bench, run_id)[0]) == ([], [0, 1, 2])


@pytest.mark.parametrize(("item", "stream"), [({1}, "s"), ("x", "")])
def test_an_activity_cannot_publish_what_cannot_be_stored(item, stream):
    with pytest.raises((PayloadError, ConfigurationError)):
        CurrentActivity(task_of()).publish(item, stream=stream)


# What is not stored yet


def test_a_box_gives_out_bounded_batches_and_forgets_what_was_sent():
    box = Unpublished(task_of(call_id="4"), None)
    for number in range(BATCH + 1):
        box.put("s", Payload(f"{number}"))
    batch = box.batch()
    assert (len(batch.items), batch.call_id, batch.items[-1]) == (BATCH, "4", ("s", BATCH - 1, f"{BATCH - 1}"))
    box.sent(BATCH)
    assert box.batch().items == [("s", BATCH, f"{BATCH}")]
    large = Payload("9" * BATCH_BYTES)
    box.put("t", large)
    box.put("t", large)
    assert [len(item) for _, _, item in box.batch().items] == [3]
    box.sent(1)
    assert [number for _, number, _ in box.batch().items] == [0]


def test_a_closed_box_takes_nothing():
    box = Unpublished(task_of(), None)
    box.put("s", Payload("1"))
    box.close()
    box.put("s", Payload("2"))
    assert box.is_empty


class Refuses(InMemoryHistoryStore):
    def publish(self, attempts):
        return Published(frozenset(attempt.task_id for attempt in attempts), frozenset())


def test_refused_items_are_dropped_and_nobody_waits_for_them():
    bench = publishing_bench(store=Refuses, clock=HostClock())
    run_id = bench.start("listens", n=3)
    bench.drive(run_id)
    assert read(bench, run_id) == (["before", "behind"], True)


def test_who_publishes_faster_than_the_store_takes_has_to_wait_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(publishing, "PATIENCE", 0.01)
    monkeypatch.setattr(unpublished, "MOST", 3)
    publisher = Publisher(Refuses(ManualClock()), threads=SystemThreads(), release_thread=lambda: None)
    waits = []
    monkeypatch.setattr(publisher, "_wait_for", lambda box, seconds: waits.append(seconds))
    monkeypatch.setattr(publisher, "_run", lambda: None)
    box = Unpublished(task_of(), publisher)
    for _ in range(5):
        box.put("s", NULL)
    assert waits == [0.01, 0.01]
    assert box.is_full
