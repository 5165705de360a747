"""What code lets others read: events."""

from __future__ import annotations

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import ConfigurationError, NondeterminismError, PayloadError, WorkflowClosed
from durable_core.readings import event_of, pauses
from tests.core.stories import Story, loads, signal
from tests.core.test_worker import Bench


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
