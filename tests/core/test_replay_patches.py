"""Changing code under running workflows: patched, deprecated, removed; and versions."""

from __future__ import annotations

import pytest

from durable_core.errors import (
    NewerCodeNeeded,
    NondeterminismError,
)
from durable_core.execution import Status
from tests.core.stories import (
    Story,
    completed,
    loads,
)


def _patched(ctx):
    ctx.sleep(1)
    if ctx.patched("p"):
        ctx.run_activity("new")
    else:
        ctx.run_activity("old")


def _unpatched(ctx):
    ctx.sleep(1)
    ctx.run_activity("old")


def _patch_deprecated(ctx):
    ctx.sleep(1)
    ctx.deprecate_patch("p")
    ctx.run_activity("new")


def _patch_removed(ctx):
    ctx.sleep(1)
    ctx.run_activity("new")


def _ran(fn, seconds=1):
    story = Story(fn)
    story.start()
    story.wait(seconds)
    return story


def test_a_new_run_takes_the_patch_and_marks_it():
    story = _ran(_patched)
    assert story.types[-2:] == ["version_marker", "activity_scheduled"]
    assert story.decision.activities[0].activity_name == "new"
    story.check()


def test_a_run_that_is_past_the_point_does_not_take_the_patch():
    story = _ran(_unpatched)
    story.evict(_patched)
    assert story.give(completed(1)).status is Status.COMPLETED
    assert "version_marker" not in story.types
    story.check()


def test_a_run_that_has_not_come_to_the_point_takes_the_patch():
    story = Story(_unpatched)
    story.start()
    story.evict(_patched)
    assert story.wait(1).activities[0].activity_name == "new"
    story.check()


def test_a_patch_takes_no_call_id():
    first, second = _ran(_patched), _ran(_unpatched)
    assert first.decision.activities[0].call_id == second.decision.activities[0].call_id


def test_the_life_of_a_patch():
    story = _ran(_patched)
    story.replayed(_patch_deprecated).close()
    story = _ran(_patch_deprecated)
    assert loads(story.history[-2].details)["deprecated"] is True
    story.replayed(_patch_removed).close()
    story.replayed(_patched).close()  # a rollback by one step
    story = _ran(_patch_removed)
    story.replayed(_patch_deprecated).close()


def test_a_patch_that_was_removed_too_early_leaves_the_run_waiting():
    with pytest.raises(NewerCodeNeeded, match=r"patch marker p.*removed too early"):
        _ran(_patched).replayed(_patch_removed)


def test_an_older_worker_leaves_a_run_with_an_unknown_marker_to_a_newer_one():
    with pytest.raises(NewerCodeNeeded, match="newer code wrote it"):
        _ran(_patched).replayed(_unpatched)


def test_a_marker_as_the_last_event_of_a_step_is_noticed_too():
    def with_marker(ctx):
        handle = ctx.start_activity("old")
        ctx.patched("p")
        ctx.wait_activity(handle)

    def without(ctx):
        ctx.wait_activity(ctx.start_activity("old"))

    story = Story(with_marker)
    story.start()
    story.check()
    with pytest.raises(NewerCodeNeeded):
        story.replayed(without)


def test_a_mismatch_next_to_a_known_marker_is_a_mismatch():
    def then(ctx):
        ctx.sleep(1)
        if ctx.patched("p"):
            ctx.run_activity("send", 1)

    with pytest.raises(NondeterminismError, match="activity 'new'"):
        _ran(_patched).replayed(then)


def test_in_a_loop_all_iterations_get_one_answer():
    def loop(ctx):
        seen = []
        for _ in range(3):
            seen.append(ctx.patched("p"))
            ctx.sleep(1)
        return seen

    def old_loop(ctx):
        for _ in range(3):
            ctx.sleep(1)

    story = Story(loop)
    story.start()
    for _ in range(3):
        story.wait(1)
    assert story.result == [True, True, True]
    assert story.types.count("version_marker") == 1
    story.check()
    story = Story(old_loop)
    story.start()
    story.wait(1)
    story.evict(loop)
    story.wait(1)
    story.evict()
    story.wait(1)
    assert story.result == [False, False, False]
    story.check()


def test_two_patches_are_independent():
    def fn(ctx):
        a = ctx.patched("a")
        ctx.sleep(1)
        return [a, ctx.patched("b"), ctx.patched("a")]

    def before(ctx):
        ctx.sleep(1)

    story = Story(before)
    story.start()
    story.evict(fn)
    story.wait(1)
    assert story.result == [False, True, False]
    story.check()


def test_versions_are_recorded_and_hold():
    def fn_of(version):
        def fn(ctx):
            ctx.sleep(1)
            got = ctx.get_version("v", version)
            ctx.sleep(1)
            return got

        return fn

    story = _ran(fn_of(2))
    story.evict(fn_of(3))
    story.wait(1)
    assert story.result == 2
    story = _ran(lambda ctx: [ctx.sleep(1), ctx.sleep(1)])
    story.evict(fn_of(2))
    story.wait(1)
    assert story.result == 0


def test_a_version_of_newer_code_leaves_the_run_to_it():
    def fn_of(version):
        def fn(ctx):
            ctx.get_version("v", version)
            ctx.sleep(1)

        return fn

    story = Story(fn_of(3))
    story.start()
    with pytest.raises(NewerCodeNeeded, match=r"version 3 of change 'v'.*up to 2"):
        story.replayed(fn_of(2))


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_a_senseless_version_is_refused(version):
    story = Story(lambda ctx: ctx.get_version("v", version))
    assert story.start().status is Status.FAILED
    assert story.types == ["workflow_started", "workflow_failed"]
