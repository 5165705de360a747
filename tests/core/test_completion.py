"""Activities that somebody else completes, by a token: once, in time, and whatever becomes of the worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import tokens
from durable_core.activity import CurrentActivity, activity_heartbeat, current_activity
from durable_core.completion import Completer
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    CompleteLater,
    CompletionTokenExpired,
    CompletionTokenUnknown,
    CompletionTokenUsed,
    ConfigurationError,
    DurableError,
    PayloadError,
)
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Detached, new_id
from durable_core.retry import RetryPolicy
from durable_core.worker.completions import Completions
from tests.core.test_attempts import task_of
from tests.core.test_worker import Bench

HOUR = 3600
SOON = RetryPolicy(initial_interval=1, backoff_coefficient=1, maximum_attempts=3)


class Desk(Bench):
    """A run with an activity that gives its token away; and who has it."""

    def __init__(self, before=lambda token: None, **options):
        super().__init__()
        self.outside = Completer(self.store, self.queue, payload_limit=1000)
        self.tokens: list[str] = []
        self.before = before

        @self.registry.activity(**{"retry_policy": SOON, **options})
        def asks(expires=HOUR):
            me = current_activity()
            self.tokens.append(me.completion_token(expires))
            assert me.completion_token(1) == self.tokens[-1]
            self.before(me)
            try:
                raise CompleteLater
            except Exception as error:
                raise AssertionError("it must not be caught by accident") from error

        @self.registry.workflow
        def code(ctx, expires=HOUR):
            try:
                return ctx.run_activity(asks, expires)
            except ActivityError as error:
                return [type(error).__name__, error.type_name, error.message, error.attempt]

        @self.registry.workflow
        def gives_up(ctx):
            handle = ctx.start_activity(asks)
            ctx.wait_signal("enough")
            ctx.cancel(handle, "enough")
            try:
                return ctx.wait_activity(handle)
            except ActivityCanceled as error:
                return ["canceled", error.message]

    def begin(self, name="code", **kwargs):
        """The token."""
        self.run_id = self.start(name, **kwargs)
        self.work()
        return self.tokens[-1]

    def work(self, seconds=0.0):
        self.clock.advance(seconds)
        self.worker().run(until_idle=True)

    @property
    def task(self):
        [run] = self.store.audited([self.run_id])
        return run.tasks[0]

    @property
    def outcome(self):
        self.work()
        return self.result(self.run_id)


def test_who_has_the_token_says_what_came_out():
    desk = Desk()
    token = desk.begin()
    task = desk.task
    assert (task.record.status, task.worker_id, task.record.is_detached) == (TaskStatus.RUNNING, None, True)
    assert token not in str(task)
    desk.outside.complete(token, {"paid": 7})
    assert desk.outcome == {"paid": 7}
    assert desk.task.record.status is TaskStatus.COMPLETED


def test_a_token_is_used_once():
    desk = Desk()
    token = desk.begin()
    desk.outside.complete(token, 1)
    for again in (lambda: desk.outside.complete(token, 2), lambda: desk.outside.heartbeat(token)):
        with pytest.raises(CompletionTokenUsed, match=r"'asks' of run .* is COMPLETED already"):
            again()
    assert desk.outcome == 1


def test_what_is_no_token_is_told_in_the_words_for_what_is_forged():
    desk = Desk()
    token = desk.begin()
    forged = tokens.new_token(tokens.task_of(token))
    said = set()
    wrongs: list[Any] = [
        "",
        "x",
        "é" * 64,
        "A" * 64,
        token[:-1],
        token + "A",
        forged,
        tokens.new_token(new_id()),
        None,
        7,
    ]
    for wrong in wrongs:
        with pytest.raises(CompletionTokenUnknown) as caught:
            desk.outside.complete(wrong, 1)
        assert isinstance(caught.value, DurableError)
        said.add(str(caught.value))
    assert len(said) == 1
    assert desk.task.record.status is TaskStatus.RUNNING


def test_what_is_stored_is_bound_to_the_attempt():
    token = tokens.new_token(new_id())
    tokens.check(token, 3, tokens.digest_of(token, 3))
    for fence, digest in ((4, tokens.digest_of(token, 3)), (3, tokens.digest_of(token, 4)), (3, token), (3, None)):
        with pytest.raises(CompletionTokenUnknown):
            tokens.check(token, fence, digest)


def test_a_result_that_cannot_be_stored_is_refused_and_the_token_holds():
    desk = Desk()
    token = desk.begin()
    for wrong in ({1, 2}, "x" * 1000):
        with pytest.raises(PayloadError):
            desk.outside.complete(token, wrong)
    with pytest.raises(PayloadError):
        desk.outside.heartbeat(token, "x" * 1000)
    desk.outside.complete(token)
    assert desk.outcome is None


def test_a_failure_is_one_of_the_activity_and_the_next_attempt_has_another_token():
    desk = Desk()
    first = desk.begin()
    desk.outside.fail(first, ConnectionError("later"))
    desk.work(1)
    second = desk.tokens[-1]
    assert second != first
    with pytest.raises(CompletionTokenUnknown):
        desk.outside.complete(first, "stale")
    desk.outside.fail(second, "no money", retryable=False)
    assert desk.outcome == ["ActivityError", "CompletionFailed", "no money", 2]


def test_failures_end_by_the_retry_policy():
    desk = Desk(retry_policy=RetryPolicy(non_retryable_error_types=("LookupError",)))
    desk.outside.fail(desk.begin(), KeyError("gone"))
    assert desk.outcome[:2] == ["ActivityError", "KeyError"]


@pytest.mark.parametrize(
    ("options", "expires", "after", "kind"),
    [
        ({}, 10, 10, "completion"),
        ({"start_to_close": 5}, HOUR, 5, "start_to_close"),
        ({"heartbeat_timeout": 5}, HOUR, 5, "heartbeat"),
        ({"timeout": 5}, HOUR, 5, "schedule_to_close"),
    ],
)
def test_time_limits_hold_without_a_worker(options, expires, after, kind):
    once = {} if "timeout" in options else {"retry_policy": RetryPolicy(maximum_attempts=1)}
    desk = Desk(**{**once, **options})
    desk.begin(expires=expires)
    desk.work(after - 0.1)
    assert desk.task.record.status is TaskStatus.RUNNING
    desk.work(0.1)
    assert desk.outcome[:2] == ["ActivityTimeout", "ActivityTimeout"]
    assert kind in str(desk.store.load([desk.run_id])[desk.run_id].events)


def test_a_token_whose_time_is_over_is_worth_nothing():
    desk = Desk()
    token = desk.begin(expires=10)
    desk.clock.advance(10)
    with pytest.raises(CompletionTokenExpired, match="held until 2"):
        desk.outside.complete(token, 1)
    desk.work()
    desk.work(1)
    assert (len(desk.tokens), desk.task.record.attempt) == (2, 2)  # as any attempt that ran out of time


def test_heartbeats_keep_it_alive_and_are_handed_on():
    seen = []
    desk = Desk(before=lambda me: seen.append(me.heartbeat_details), heartbeat_timeout=5)
    token = desk.begin()
    for step in range(4):
        desk.work(4)
        desk.outside.heartbeat(token, {"step": step} if step < 3 else None)
    desk.work(4.9)
    assert desk.task.record.attempt == 1
    desk.work(0.1)
    desk.work(1)
    assert seen == [None, {"step": 2}]


def test_who_is_quicker_than_the_activity_ends_it():
    desk: Desk = Desk(before=lambda me: desk.outside.complete(desk.tokens[-1], "quick"))
    desk.begin()
    assert desk.outcome == "quick"


def test_the_end_of_the_run_ends_it():
    desk = Desk()
    token = desk.begin()
    assert desk.client.cancel(desk.run_id)
    assert desk.task.record.status is not TaskStatus.RUNNING
    with pytest.raises(CompletionTokenUsed):
        desk.outside.heartbeat(token)


def test_code_cancels_it_as_what_waits_for_a_worker():
    desk = Desk()
    token = desk.begin("gives_up")
    desk.client.signal(desk.run_id, "enough")
    assert desk.outcome == ["canceled", "enough"]
    with pytest.raises(CompletionTokenUsed, match="CANCELED"):
        desk.outside.complete(token, 1)


def test_what_nobody_wants_any_more_is_not_left_to_others():
    desk: Desk = Desk(before=lambda me: desk.client.cancel(desk.run_id))
    desk.begin()
    assert desk.task.record.status is TaskStatus.CANCELED


def test_a_worker_that_dies_leaves_it_alone():
    desk = Desk()
    token = desk.begin()
    assert desk.store.buried_alive() == []
    assert desk.store.bury([new_id()]) == []
    desk.outside.complete(token, 1)
    assert desk.outcome == 1


def test_an_attempt_that_is_over_gets_no_token():
    desk = Desk()
    desk.begin()
    record = desk.task.record
    desk.outside.complete(desk.tokens[0], 1)
    with pytest.raises(DurableError, match="is over"):
        Completions(desk.store).issue(record, record.queued_at - record.queued_at)
    assert Completions(desk.store).leave(record, desk.store.now()) is Detached.GONE


# Where nobody could complete it


def test_to_leave_it_to_nobody_is_a_failure():
    bench = Bench()

    @bench.registry.activity
    def leaves():
        activity_heartbeat()
        raise CompleteLater

    @bench.registry.workflow
    def code(ctx):
        try:
            ctx.run_activity(leaves)
        except ActivityError as error:
            return [error.type_name, error.message]

    run_id = bench.start("code")
    bench.drive(run_id)
    assert bench.result(run_id)[0] == "CompleteLater"
    assert "no completion_token() was given away" in bench.result(run_id)[1]


def test_what_ends_with_its_function_gets_no_token():
    bench = Bench()
    said = []

    def asks():
        try:
            current_activity().completion_token(60)
        except ConfigurationError as error:
            said.append(str(error))

    async def asks_async():
        asks()
        token = await current_activity().acompletion_token(60)
        assert token == await current_activity().acompletion_token(1)

    bench.registry.activity_from(asks, name="plain")
    bench.registry.activity_from(asks, name="books", transactional=True)
    bench.registry.activity_from(asks_async, name="fetches")

    @bench.registry.workflow
    def code(ctx):
        ctx.run_local_activity("plain")
        ctx.run_activity("books")
        ctx.run_activity("fetches")

    run_id = bench.start("code")
    bench.drive(run_id)
    assert bench.client.find(run_id).status is Status.COMPLETED
    assert len(said) == 3
    assert ["expected an ordinary activity" in text for text in said] == [True, True, False]
    assert "expected await current_activity().acompletion_token(...)" in said[2]
    with pytest.raises(ConfigurationError):
        CurrentActivity(task_of()).completion_token(60)
    with pytest.raises(ConfigurationError):
        asyncio.run(CurrentActivity(task_of(), is_async=True).acompletion_token(60))


@pytest.mark.parametrize("completes", ["first", "behind"])
def test_an_async_activity_is_left_to_others_too(completes):
    bench = Bench()
    outside = Completer(bench.store, bench.queue)
    tokens_: list[str] = []

    @bench.registry.activity
    async def asks():
        me = current_activity()
        tokens_.extend(await asyncio.gather(me.acompletion_token(HOUR), me.acompletion_token(HOUR)))
        if completes == "first":
            outside.complete(tokens_[0], 7)
        raise CompleteLater

    @bench.registry.workflow
    def code(ctx):
        return ctx.run_activity(asks)

    run_id = bench.start("code")
    bench.worker().run(until_idle=True)
    if completes == "behind":
        outside.complete(tokens_[1], 7)
    bench.worker().run(until_idle=True)
    assert bench.result(run_id) == 7
    assert tokens_[0] == tokens_[1]
