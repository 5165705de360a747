"""Cancels: raised once, never lost, held back by a shield."""

from __future__ import annotations

from durable_core.errors import (
    WorkflowCanceled,
)
from durable_core.execution import Status
from tests.core.stories import (
    Story,
    cancel,
    completed,
    loads,
    signal,
)


def test_a_graceful_cancel_is_raised_once_at_the_current_wait():
    def fn(ctx):
        try:
            ctx.run_activity("old")
        except WorkflowCanceled as error:
            ctx.run_activity("send", 1, subject=error.reason)
            ctx.sleep(1)
            raise

    story = Story(fn)
    story.start()
    story.give(cancel("user asked"))
    assert story.decision.status is Status.RUNNING
    assert loads(story.decision.activities[0].input)["kwargs"] == {"subject": "user asked"}
    story.give(cancel("again"), completed(1))
    assert "again" not in "".join(record.details for record in story.history)
    decision = story.wait(1)
    assert (decision.status, decision.error) == (Status.CANCELED, "WorkflowCanceled: user asked")
    assert story.types[-1] == "workflow_canceled"
    story.check()


def test_a_cancel_that_is_caught_and_returned_from_cancels_all_the_same():
    def fn(ctx):
        try:
            ctx.wait_signal("s")
        except WorkflowCanceled:
            return "handled"

    story = Story(fn)
    story.start()
    assert story.give(cancel()).status is Status.CANCELED
    story.check()


def test_an_error_in_the_clean_up_fails_the_run():
    def fn(ctx):
        try:
            ctx.wait_signal("s")
        finally:
            raise ValueError("in clean-up")

    story = Story(fn)
    story.start()
    assert story.give(cancel()).status is Status.FAILED
    story.check()


def test_a_canceled_wait_for_a_signal_consumes_none():
    def fn(ctx):
        try:
            ctx.wait_signal("s")
        except WorkflowCanceled:
            ctx.set = ctx.wait_signal("s")
            ctx.run_activity("add", 1, ctx.set)

    story = Story(fn)
    story.start()
    story.give(cancel())
    story.give(signal("s", "for the second"))
    assert loads(story.decision.activities[0].input)["args"] == [1, "for the second"]
    story.check()


def test_a_cancel_before_the_first_wait_is_raised_there():
    def fn(ctx):
        side = ctx.side_effect(lambda: 1)
        try:
            ctx.sleep(100)
        except WorkflowCanceled:
            ctx.run_activity("add", side, 1)

    for story in (Story(fn), Story(fn)):
        story.start(cancel())
        assert story.types[-1] == "activity_scheduled"
        story.check()
    story = Story(fn)
    story.give(cancel(), story.started)
    assert story.types[-1] == "activity_scheduled"
    story.check()


def test_a_run_without_a_wait_completes_though_canceled():
    story = Story(lambda ctx: "done")
    assert story.start(cancel()).status is Status.COMPLETED
    assert "workflow_cancel_requested" not in story.types
    story.check()


def _cancelable(ctx):
    handle = ctx.start_activity("old")
    try:
        got = ctx.wait_activity(handle)
        return [got, ctx.wait_signal("s")]
    except WorkflowCanceled:
        ctx.run_activity("add", ctx.wait_activity(handle), 0)


def test_cancel_then_outcome_in_one_batch():
    story = Story(_cancelable)
    story.start()
    story.give(cancel(), completed(0, "a"))
    assert story.types[-3:] == ["workflow_cancel_requested", "activity_completed", "activity_scheduled"]
    assert story.give(completed(1)).status is Status.CANCELED
    story.check()


def test_outcome_then_cancel_in_one_batch():
    story = Story(_cancelable)
    story.start()
    story.give(completed(0, "a"), cancel())
    assert story.types[-4:] == [
        "activity_completed",
        "signal_wait_started",
        "workflow_cancel_requested",
        "activity_scheduled",
    ]
    assert story.give(completed(2)).status is Status.CANCELED
    story.check()


def test_cancel_and_timer_in_one_batch_loses_neither():
    def fn(ctx):
        try:
            ctx.sleep(10)
            return "slept"
        except WorkflowCanceled:
            ctx.sleep(5)

    story = Story(fn)
    story.start()
    story.give(cancel(), after=10)
    assert "timer_fired" not in story.types
    assert story.wait(5).status is Status.CANCELED
    story.check()


def test_a_shield_holds_a_cancel_back_until_its_end():
    def fn(ctx):
        seen = []
        try:
            with ctx.shield():
                with ctx.shield():
                    seen.append(ctx.run_activity("old"))
                seen.append(ctx.run_activity("new"))
            seen.append("not reached")
        except WorkflowCanceled:
            ctx.run_activity("add", seen, None)

    story = Story(fn)
    story.start()
    assert story.give(cancel()).activities == []
    assert story.give(completed(0, "a")).activities[0].activity_name == "new"
    story.give(completed(1, "b"))
    assert loads(story.decision.activities[0].input)["args"] == [["a", "b"], None]
    assert story.give(completed(2)).status is Status.CANCELED
    story.check()


def test_a_return_inside_a_shield_does_not_lose_the_cancel():
    def fn(ctx):
        with ctx.shield():
            ctx.run_activity("old")
            return "done"

    story = Story(fn)
    story.start()
    story.give(cancel())
    assert story.give(completed(0)).status is Status.CANCELED
    story.check()


def test_an_immediate_cancel_asks_no_code():
    seen = []

    def fn(ctx):
        try:
            ctx.sleep(10)
        except WorkflowCanceled:
            seen.append("asked")

    story = Story(fn)
    story.start()
    decision = story.give(signal("s"), cancel("now", graceful=False), signal("late"))
    assert (decision.status, decision.error, decision.wake_at) == (Status.CANCELED, "WorkflowCanceled: now", None)
    assert story.types[-2:] == ["signal_received", "workflow_canceled"]
    assert seen == []
    story.check()


def test_completion_before_an_immediate_cancel_wins():
    story = Story(lambda ctx: ctx.wait_signal("s"))
    story.start()
    assert story.give(signal("s", 1), cancel(graceful=False)).status is Status.COMPLETED
    story.check()


def test_raising_workflow_canceled_without_a_cancel_is_a_failure():
    def fn(ctx):
        raise WorkflowCanceled

    assert Story(fn).start().status is Status.FAILED


def test_a_signal_behind_a_cancel_that_asks_nobody_is_in_the_history():
    """Its sender was told that it was taken."""

    def fn(ctx):
        ctx.wait_signal("never")

    story = Story(fn)
    story.start()
    story.give(cancel(graceful=False), completed(7), signal("s", 1))
    assert story.types[-2:] == ["signal_received", "workflow_canceled"]
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_signal_behind_a_cancel_that_asks_nobody_leads_to_nothing():
    def fn(ctx):
        ctx.wait_signal("s")
        ctx.run_activity("old")

    story = Story(fn)
    story.start()
    decision = story.give(cancel(graceful=False), signal("s", 1))
    assert (decision.status, list(decision.activities)) == (Status.CANCELED, [])
    story.check()
