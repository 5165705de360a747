"""Who listens to a replay hears what the code asks for, and what the history holds in its place."""

from __future__ import annotations

from contextlib import suppress

from durable_core.errors import SideEffectError
from durable_core.execution import record
from tests.core.stories import Story, child_completed, completed, signal


def everything(ctx):
    ctx.patched("a-change")
    ctx.run_activity("add", 1, 2)
    ctx.side_effect(lambda: {"a": (1, 2)})
    with suppress(SideEffectError):
        ctx.side_effect(lambda: 1 // 0)
    ctx.sleep(0)
    ctx.wait_signal("go", timeout=60)
    ctx.run_workflow("child", n=3)
    return "done"


def test_each_call_is_heard_with_its_fact():
    story = Story(everything)
    story.start()
    for fact in (completed(0, 3), signal("go"), child_completed(5)):
        story.give(fact, after=1)
    assert story.result == "done"
    heard = []
    run = story.fresh()
    run.replay(story.history, heard=lambda command, fact: heard.append((command, fact)))
    assert [fact.type for _, fact in heard] == [
        "activity_scheduled",
        "side_effect_recorded",
        "side_effect_recorded",
        "timer_started",
        "signal_wait_started",
        "child_workflow_scheduled",
    ]
    assert [record(command) for command, _ in heard] == [fact for _, fact in heard]
    run.close()


def test_what_is_new_is_heard_by_nobody():
    story = Story(everything)
    story.start()
    heard = []
    run = story.fresh()
    run.replay(story.history, heard=lambda command, fact: heard.append(fact.type))
    before = list(heard)
    run.advance((completed(0, 3),), story.time)
    assert heard == before == ["activity_scheduled"]
    run.close()
