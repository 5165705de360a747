"""Suspending raises nothing; leaving memory writes and logs nothing."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from greenlet import greenlet

from durable_core import branch
from durable_core.errors import (
    CodeFailed,
    CodeStuck,
    DurableError,
    RunEvicted,
)
from durable_core.execution import Status
from tests.core.stories import (
    Story,
    completed,
)

# except, finally and eviction


def test_except_exception_does_not_catch_a_suspension():
    def fn(ctx):
        try:
            return ctx.run_activity("old")
        except Exception:  # noqa: BLE001 - as users do
            return "swallowed"

    story = Story(fn)
    assert story.start().status is Status.RUNNING
    story.give(completed(0, "real"))
    assert story.result == "real"
    story.check()


def test_bare_except_and_finally_do_not_see_a_suspension():
    seen = []

    def fn(ctx):
        try:
            return ctx.run_activity("old")
        except:
            seen.append("except")
            raise
        finally:
            seen.append("finally")

    story = Story(fn)
    story.start()
    assert seen == []
    story.give(completed(0, "real"))
    assert seen == ["finally"]
    assert story.result == "real"


def test_eviction_unwinds_the_code_and_writes_nothing():
    seen = []

    def fn(ctx):
        try:
            ctx.run_activity("old")
        except Exception:  # noqa: BLE001 - as users do
            seen.append("except Exception")
        finally:
            for use in (
                lambda: ctx.run_activity("new"),
                lambda: ctx.start_activity("new"),
                lambda: ctx.sleep(1),
                lambda: ctx.wait_signal("s"),
                lambda: ctx.side_effect(lambda: seen.append("effect")),
                lambda: ctx.patched("p"),
                lambda: ctx.start_workflow("child"),
                lambda: ctx.shield().__enter__(),
                ctx.random,
            ):
                try:
                    use()
                except RunEvicted:
                    seen.append("evicted")
            seen.append("finally")

    story = Story(fn)
    decision = story.start()
    before = list(decision.events)
    story.run.close()
    assert seen == ["evicted"] * 9 + ["finally"]
    assert decision.events == before
    assert decision.end is None
    story.run.close()  # again is fine
    story.run = story.replayed()
    story.give(completed(0))
    assert story.types[-1] == "activity_scheduled"  # the real finally


def test_code_that_swallows_its_eviction_cannot_write():
    def fn(ctx):
        while True:
            with suppress(BaseException):
                ctx.sleep(1)

    story = Story(fn)
    story.start()
    story.run.close()  # ends, although the code does not
    assert story.types == ["workflow_started", "timer_started"]
    branch._UNSTOPPABLE.clear()


def test_code_that_swallows_its_eviction_once_and_returns_does_not_complete():
    def fn(ctx):
        with suppress(BaseException):
            ctx.sleep(1)
        return "swallowed"

    story = Story(fn)
    decision = story.start()
    story.run.close()
    assert decision.end is None
    assert not story.run.is_closed


def test_a_run_that_never_began_can_be_closed():
    run = Story(lambda ctx: None).run
    run._branches.main.begin(run._main)
    run.close()
    assert not run.is_closed


def test_ctx_is_refused_from_another_thread_and_another_greenlet():
    def fn(ctx):
        problems = []

        def use():
            try:
                ctx.run_activity("old")
            except DurableError as error:
                problems.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        greenlet(use).switch()
        ctx.sleep(1)
        return problems

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "timer_started"]
    story.wait(1)
    assert len(story.result) == 2
    assert all("outside its workflow's own code" in problem for problem in story.result)
    story.check()


# Stuck code and logging


def test_code_that_is_stopped_as_stuck_blocks_its_run():
    def fn(ctx):
        ctx.sleep(1)
        raise CodeStuck  # as the worker raises it, asynchronously

    story = Story(fn)
    story.start()
    with pytest.raises(CodeFailed) as caught:
        story.wait(1)
    assert str(caught.value).endswith(f" It was at {__file__}:{fn.__code__.co_firstlineno + 2}.")
    story.run.close()


def test_the_logger_is_silent_on_replay_and_on_eviction(caplog):
    def fn(ctx):
        try:
            ctx.logger.warning("begun in %s", ctx.info.workflow_name)
            ctx.sleep(1)
            ctx.logger.warning("slept")
            ctx.sleep(1)
        finally:
            ctx.logger.warning("left")

    story = Story(fn)
    story.start()
    story.evict()
    story.wait(1)
    story.check()
    story.evict()
    assert caplog.messages == ["begun in story", "slept"]
    assert caplog.records[0].name == "durable.workflow.story"
    assert caplog.records[0].execution_id == str(story.run.info.execution_id)
    story.wait(1)
    assert caplog.messages == ["begun in story", "slept", "left"]


def test_code_knows_whether_it_is_replayed():
    seen = []

    def fn(ctx):
        seen.append(ctx.is_replaying)
        ctx.sleep(1)
        seen.append(ctx.is_replaying)
        ctx.sleep(1)

    story = Story(fn)
    story.start()
    story.evict()
    story.wait(1)
    assert seen == [False, True, False]
