"""Local activities: one fact each, which replays find; performed beside the code, tried again in place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durable_core import events as e
from durable_core.codec import encode
from durable_core.commands import digest_of
from durable_core.decision import LOCAL_PATIENCE, RunSettings
from durable_core.definitions import remote_activity
from durable_core.errors import (
    ActivityError,
    ActivityTimeout,
    ConfigurationError,
    NondeterminismError,
    WorkflowCanceled,
)
from durable_core.execution import Status
from durable_core.failures import describe
from durable_core.retry import RetryPolicy
from durable_core.worker.inline import InlineExecutor
from durable_core.worker.local import LocalDesk
from tests.core.stories import Story, cancel, completed, signal
from tests.core.test_worker import Bench

LIMIT = timedelta(seconds=10)


def digest(*args, **kwargs):
    return digest_of(encode({"args": args, "kwargs": kwargs}))


def ended(call_id, value=None, *args, name="add"):
    return e.LocalActivityCompleted(
        call_id=str(call_id), activity_name=name, arguments=digest(*args), attempt=1, result=encode(value)
    )


def broke(call_id, kind=None, *args):
    return e.LocalActivityFailed(
        call_id=str(call_id),
        activity_name="add",
        arguments=digest(*args),
        kind=kind,
        failure=describe(ValueError("no"), attempt=2),
    )


def adds(ctx):
    return ctx.run_local_activity("add", 1, b=2)


def adds_twice(ctx):
    return [ctx.run_local_activity("add", n, n) for n in (1, 2)]


# In the code


def test_a_local_activity_is_one_event_and_its_result_is_a_fresh_copy():
    def code(ctx):
        found = ctx.run_local_activity("add", 1, 2)
        found.append("mine")
        return [found, ctx.run_local_activity("add", 3, 4)]

    story = Story(code)
    decision = story.start()
    [command] = decision.local
    assert (command.call_id, command.activity_name, command.input) == ("0", "add", '{"args":[1,2],"kwargs":{}}')
    assert (decision.activities, story.types) == ([], ["workflow_started"])
    assert '"kind":"local activity","what":"add"' in (decision.waiting_for or "")
    story.give(ended(0, [3], 1, 2))
    story.give(ended(1, 7, 3, 4))
    assert story.result == [[3, "mine"], 7]
    assert story.types[1:3] == ["local_activity_completed"] * 2
    story.check()


def test_who_has_the_run_next_is_told_of_it_in_time():
    story = Story(adds)
    decision = story.start()
    assert decision.wake_at == story.time + LOCAL_PATIENCE
    story.evict()
    again = story.wait(7)
    assert [command.call_id for command in again.local] == ["0"]
    assert again.wake_at == story.time + LOCAL_PATIENCE
    assert story.give(ended(0, 3, 1)).local == []


@pytest.mark.parametrize(("kind", "error"), [(None, ActivityError), ("schedule_to_close", ActivityTimeout)])
def test_a_local_activity_fails_as_any_other_does(kind, error):
    def code(ctx):
        try:
            adds(ctx)
        except ActivityError as caught:
            return [
                type(caught).__name__,
                caught.type_name,
                caught.message,
                caught.attempt,
                getattr(caught, "kind", None),
            ]

    story = Story(code)
    story.start()
    story.give(broke(0, kind))
    assert story.result == [error.__name__, "ValueError", "no", 2, kind]
    story.check()


def test_of_two_outcomes_the_first_holds():
    story = Story(adds_twice)
    story.start()
    story.give(ended(0, "first", 1, 1), ended(0, "late", 1, 1))
    story.give(ended(0, "later", 1, 1))
    story.give(ended(1, "second", 2, 2))
    assert story.result == ["first", "second"]
    assert story.types.count("local_activity_completed") == 2
    story.check()


def test_facts_that_come_before_the_outcome_stand_before_it():
    def code(ctx):
        branch = ctx.spawn(ctx.wait_signal, "go")
        return [ctx.run_local_activity("add", 1, 2), ctx.wait(branch)]

    story = Story(code)
    story.start()
    story.give(signal("go", 5))
    story.evict()
    story.give(ended("1", 3, 1, 2))
    assert story.result == [3, 5]
    story.check()


def test_a_graceful_cancel_does_not_wait_for_it():
    def code(ctx):
        try:
            adds(ctx)
        except WorkflowCanceled:
            return ctx.run_local_activity("add", 7, 7)

    story = Story(code)
    story.start()
    decision = story.give(cancel("enough"))
    assert [command.call_id for command in decision.local] == ["0", "1"]
    story.give(ended(1, 14, 7, 7))
    assert story.decision.status is Status.CANCELED
    story.check()


# What the history says


def recorded(code, *facts):
    story = Story(code)
    story.start()
    for fact in facts:
        story.give(fact)
    return story


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda ctx: ctx.run_local_activity("send", 1), "asked for local activity 'send' by that call"),
        (lambda ctx: ctx.run_activity("add", 1, 1), "asked for activity 'add'"),
        (lambda ctx: ctx.sleep(5), "asked for a sleep"),
        (lambda ctx: ctx.wait_signal("x"), "asked for a wait for signal"),
        (lambda ctx: None, "has ended"),
    ],
)
def test_code_that_does_not_ask_for_it_any_more_is_a_mismatch(changed, says):
    story = recorded(adds_twice, ended(0, 2, 1, 1))
    with pytest.raises(NondeterminismError, match=says):
        story.replayed(changed)


def test_an_activity_that_becomes_local_is_a_mismatch():
    story = recorded(lambda ctx: ctx.run_activity("add", 1, 1), completed(0, 2))
    with pytest.raises(NondeterminismError, match="activity 'add'"):
        story.replayed(adds)


def test_changed_arguments_warn_or_are_a_mismatch():
    story = recorded(adds_twice, ended(0, 2, 1, 1))

    def changed(ctx):
        return [ctx.run_local_activity("add", n, 0) for n in (1, 2)]

    run = story.replayed(changed)
    [warning] = run.advance((), story.time).warnings
    assert "not those that led to the recorded outcome" in warning
    with pytest.raises(NondeterminismError, match="STRICT_INPUTS"):
        story.replayed(changed, settings=RunSettings(strict_inputs=True))


def test_a_recorded_call_needs_no_signature_and_no_function():
    story = recorded(
        adds,
        e.LocalActivityCompleted(
            call_id="0",
            activity_name="add",
            arguments=digest_of(encode({"args": [1], "kwargs": {"b": 2}})),
            attempt=1,
            result=encode(3),
        ),
    )
    story.registry = type(story.registry)()
    assert story.replayed().is_closed

    @story.registry.activity
    def add(): ...

    assert story.replayed().is_closed


def test_a_call_that_was_refused_is_refused_on_replay_too():
    def code(ctx):
        try:
            ctx.run_local_activity("add", 1)
        except TypeError:
            return ctx.run_local_activity("add", 1, 2)

    story = recorded(code, ended(0, 3, 1, 2))
    assert story.result == 3
    story.check()


# What cannot be local


def test_what_needs_a_row_or_other_workers_is_refused():
    story = Story(lambda ctx: None)

    @story.registry.activity(transactional=True)
    def books(): ...

    @story.registry.activity(at_most_once=True)
    def opens(): ...

    @story.registry.activity(executor="process")
    def apart(): ...

    def code(ctx):
        said = []
        for activity in (books, opens, apart, remote_activity("far", queue="away")):
            try:
                ctx.run_local_activity(activity)
            except ConfigurationError as refused:
                said.append(str(refused))
        return said

    story.fn = code
    story.run = story.fresh()
    story.start()
    said = story.result
    expected = ["transactional", "at_most_once", "executor='process'", "is remote"]
    assert [word in text for word, text in zip(expected, said, strict=True)] == [True] * 4
    story.check()


# At the worker's desk


class Here(Bench):
    """A desk of local activities, in the thread of the test."""

    def __init__(self, fn, **options):
        super().__init__()
        self.registry.activity_from(fn, name="act")
        self.executor = InlineExecutor(slots=3, clock=self.clock, wake=lambda: None, payload_limit=100)
        self.desk = LocalDesk(self.executor, self.registry, self.clock, limit=LIMIT)
        story = Story(lambda ctx: ctx.run_local_activity(self.registry.activities["act"].using(**options)))
        story.registry = self.registry
        story.run = story.fresh()
        self.commands = story.start().local
        self.run_id = story.run.info.execution_id

    def want(self, commands=None):
        self.desk.want(self.run_id, self.commands if commands is None else commands, self.clock.now())

    def collect(self):
        return [fact for _, fact in self.desk.collect(self.clock.now())]


def failing(times):
    done: list[None] = []

    def act():
        done.append(None)
        if len(done) <= times:
            raise ValueError("no")
        return len(done)

    return act


def test_it_is_tried_again_in_place_by_its_policy():
    here = Here(failing(2))
    here.want()
    assert here.collect() == []
    assert here.desk.next_due() == 1.0
    here.clock.advance(0.99)
    assert here.collect() == []
    here.clock.advance(0.01)
    assert here.collect() == []  # it begins now, and has ended when it is asked next
    assert here.collect() == []
    assert here.desk.next_due() == 3.0
    here.clock.advance(2)
    here.collect()
    [fact] = here.collect()
    assert (fact.type, fact.result, fact.attempt) == ("local_activity_completed", "3", 3)
    assert here.desk.is_idle


def test_no_attempt_begins_beyond_its_limit():
    here = Here(failing(99))
    here.want()
    facts: list[Any] = []
    while not facts:
        facts = here.collect()
        here.clock.advance(0.5)
    assert here.clock.monotonic() <= LIMIT.total_seconds()
    assert (facts[0].kind, facts[0].failure["type"]) == ("schedule_to_close", "ActivityTimeout")
    assert facts[0].failure["cause"]["type"] == "ValueError"
    assert facts[0].failure["attempt"] == 4  # at 0, 1, 3 and 7 s


@pytest.mark.parametrize(
    "options", [{"timeout": 0.5}, {"retry_policy": RetryPolicy(maximum_attempts=1)}, {"timeout": 60}]
)
def test_its_own_options_hold(options):
    here = Here(failing(1), **options)
    here.want()
    facts = here.collect()
    if options == {"timeout": 60}:
        assert facts == []  # the worker's limit is shorter, and leaves room for another attempt
    else:
        assert facts[0].failure["attempt"] == 1
        assert facts[0].kind == ("schedule_to_close" if "timeout" in options else None)


def test_what_is_under_way_is_not_begun_again_and_what_nobody_wants_is_forgotten():
    done: list[None] = []
    here = Here(lambda: done.append(None))
    here.want()
    here.want()
    here.want([])
    assert (here.collect(), here.desk.is_idle) == ([], True)
    assert here.executor.attempts() == []
    here.want()
    assert [fact.type for fact in here.collect()] == ["local_activity_completed"]
    assert len(done) <= 2


# In the worker


@pytest.mark.parametrize("cache_size", [0, 1000])
def test_a_worker_performs_them_and_the_store_has_no_task(cache_size):
    bench = Bench(cache_size=cache_size)

    @bench.registry.activity
    def add(a, b):
        return a + b

    @bench.registry.workflow
    def sums(ctx, n):
        return sum(ctx.run_local_activity(add, number, 1) for number in range(n))

    run_id = bench.start("sums", n=4)
    bench.drive(run_id)
    assert bench.result(run_id) == 10
    [run] = bench.store.audited([run_id])
    assert run.tasks == []
    assert [event.type for event in run.events[1:-1]] == ["local_activity_completed"] * 4


def test_a_run_is_charged_with_a_death_until_what_may_have_led_to_it_is_done():
    bench = Bench()
    crashes = []

    @bench.registry.activity
    def looks():
        crashes.append(bench.store.get(run_id).crashes)

    @bench.registry.workflow
    def code(ctx):
        ctx.run_local_activity(looks)
        ctx.wait_signal("go")

    run_id = bench.start("code")
    bench.store.charge([run_id])
    bench.worker().run(until_idle=True)
    assert crashes == [1]
    assert bench.store.get(run_id).crashes == 0


def test_its_outcome_outlives_a_commit_that_came_too_late():
    bench = Bench()
    done: list[None] = []

    @bench.registry.activity
    def late():
        bench.clock.advance(1)  # its time is over when it has ended: two commits tell of it, of which one is refused

    @bench.registry.activity
    def add():
        done.append(None)

    @bench.registry.workflow
    def code(ctx):
        ctx.start_activity(late.using(timeout=0.1))
        ctx.run_local_activity(add)

    run_id = bench.start("code")
    bench.drive(run_id)
    assert "activity_timed_out" in [event.type for event in bench.store.load([run_id])[run_id].events]
    assert done == [None]
