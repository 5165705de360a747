"""What goes wrong inside of workflow code, and what the code is told went wrong elsewhere."""

from __future__ import annotations

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.definitions import Registry
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    ChildCanceled,
    CodeFailed,
    DurableError,
    PayloadError,
    UnknownActivityError,
    UnknownWorkflowError,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.execution import Status
from durable_core.failures import describe
from tests.core.stories import (
    Story,
    activities_and_children,
    child_completed,
    completed,
    failed,
    loads,
    timed_out,
)


def test_an_exception_of_the_code_fails_the_run():
    def fn(ctx):
        raise KeyError("a\x00\ud800")

    story = Story(fn)
    decision = story.start()
    assert decision.status is Status.FAILED
    assert decision.error.startswith("KeyError: ")
    assert loads(story.history[-1].details)["failure"]["bases"][0] == "LookupError"
    assert __file__ in loads(story.history[-1].details)["failure"]["traceback"]
    story.check()


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("odd")])
def test_any_other_base_exception_fails_the_run_too(error):
    def fn(ctx):
        raise error

    assert Story(fn).start().status is Status.FAILED


def test_ctrl_c_is_for_the_process_and_writes_nothing():
    def fn(ctx):
        ctx.sleep(1)
        raise KeyboardInterrupt

    story = Story(fn)
    story.start()
    with pytest.raises(KeyboardInterrupt):
        story.wait(1)
    story.run.close()
    assert story.replayed().history_length == 2


def test_failures_of_activities_carry_their_parts():
    def fn(ctx):
        seen = []
        for _ in range(3):
            try:
                ctx.run_activity("old")
            except ActivityTimeout as error:
                seen.append(["timeout", error.kind, isinstance(error, TimeoutError)])
            except ActivityCanceled as error:
                seen.append(["canceled", error.message])
            except ActivityError as error:
                seen.append([error.type_name, error.message, error.attempt, error.is_caused_by("LookupError")])
        return seen

    story = Story(fn)
    story.start()
    story.give(failed(0, KeyError("k")))
    story.give(timed_out(1, "heartbeat"))
    story.give(e.ActivityCanceled(call_id="2", reason="enough"))
    assert story.result == [["KeyError", "'k'", 3, True], ["timeout", "heartbeat", True], ["canceled", "enough"]]
    story.check()


def test_a_failure_is_read_whole_and_what_it_lacks_is_empty():
    """Another release may have written a record with less in it."""

    def fn(ctx):
        seen = []
        for name in ("old", "new"):
            try:
                ctx.run_activity(name)
            except ActivityError as error:
                seen.append([error.type_name, error.message, error.attempt, list(error.base_type_names)])
                seen.append([error.traceback, error.cause, error.activity_name])
        return seen

    story = Story(fn)
    story.start()
    try:
        raise KeyError("k") from OSError("disk")
    except KeyError as error:
        failure = describe(error, attempt=3)
    story.give(e.ActivityFailed(call_id="0", failure=failure))
    story.give(e.ActivityFailed(call_id="1", failure={}))
    whole, rest, empty, nothing = story.result
    assert whole == ["KeyError", "'k'", 3, ["LookupError", "Exception", "BaseException"]]
    assert f"{__file__}" in rest[0]
    assert (rest[1]["type"], rest[2]) == ("OSError", "old")
    assert (empty, nothing) == (["", "", 0, []], ["", None, "new"])
    story.check()


def test_ends_of_children_are_told_apart():
    def fn(ctx):
        seen = []
        for n in range(4):
            try:
                seen.append(ctx.run_workflow("child", n=n))
            except ChildCanceled as error:
                seen.append(["canceled", error.reason])
            except WorkflowTimeout:
                seen.append(["timed out"])
            except WorkflowFailed as error:
                seen.append([error.type_name, error.failure["message"], error.execution_id is not None])
        return seen

    story = Story(fn)
    first = story.start().children[0]
    assert (first.workflow_name, loads(first.input)) == ("child", {"n": 0})
    story.give(child_completed(0, "ok"))
    story.give(e.ChildWorkflowFailed(call_id="1", failure=describe(ValueError("bad"))))
    story.give(e.ChildWorkflowCanceled(call_id="2", reason="why"))
    story.give(e.ChildWorkflowTimedOut(call_id="3"))
    assert story.result == ["ok", ["ValueError", "bad", True], ["canceled", "why"], ["timed out"]]
    story.check()


def test_a_child_has_the_same_id_on_every_replay_and_no_two_the_same():
    def fn(ctx):
        ctx.start_workflow("child")
        ctx.start_workflow("child")
        ctx.sleep(1)

    story = Story(fn)
    first, second = story.start().children
    assert first.child_id != second.child_id
    story.check()


def test_a_child_that_closes_before_its_parent_waits_delivers_its_result():
    def fn(ctx):
        handle = ctx.start_workflow("child")
        ctx.sleep(10)
        return ctx.wait_workflow(handle, timeout=5)

    story = Story(fn)
    story.start()
    story.give(child_completed(0, "early"))
    story.wait(10)
    assert story.result == "early"
    story.check()


def test_a_child_that_was_canceled_fails_its_parent_and_does_not_cancel_it():
    def fn(ctx):
        ctx.run_workflow("child")

    story = Story(fn)
    story.start()
    assert story.give(e.ChildWorkflowCanceled(call_id="0", reason="")).status is Status.FAILED
    story.check()


def test_open_children_are_abandoned_when_their_parent_closes():
    def fn(ctx):
        done, open_one = ctx.start_workflow("child"), ctx.start_workflow("child")
        kept = ctx.start_workflow(kept_child)
        ctx.wait_workflow(done)
        return [str(open_one), str(kept)]

    registry = activities_and_children()
    kept_child = registry.workflows["child"].using(cancel_with_parent=False)
    story = Story(fn, registry=registry)
    story.start()
    story.give(child_completed(0))
    open_one, kept = story.result
    assert [str(child) for child in story.decision.abandoned] == [open_one]
    assert kept != open_one


def test_block_on_error_parks_the_run_and_writes_nothing():
    def broken(ctx):
        ctx.run_activity("old")
        raise ValueError("oops")

    def mended(ctx):
        ctx.run_activity("old")
        return "mended"

    story = Story(broken, settings=RunSettings(block_on_error=True))
    story.start()
    with pytest.raises(CodeFailed, match="ValueError: oops") as caught:
        story.give(completed(0))
    assert isinstance(caught.value.__cause__, ValueError)
    assert story.types[-1] == "activity_scheduled"
    story.evict(mended)
    story.give(completed(0))
    assert story.result == "mended"


def test_an_unserialisable_result_fails_the_run():
    story = Story(lambda ctx: {"a": [object()]})
    assert story.start().status is Status.FAILED
    assert "the result of workflow 'story'" in story.decision.error
    assert "$.a[0]" in story.decision.error
    story.check()


def test_a_result_over_the_limit_fails_the_run():
    story = Story(lambda ctx, size: "x" * size, settings=RunSettings(payload_limit=10), size=9)
    assert story.start().status is Status.FAILED
    assert "the result of workflow 'story' takes 11 bytes" in story.decision.error
    story.check()


def test_what_was_left_under_way_by_a_run_that_completed_is_said():
    def fn(ctx, fails):
        ctx.start_activity("old")
        ctx.start_workflow("child")
        ctx.start_workflow(registry.workflows["child"].using(cancel_with_parent=False))
        ctx.wait_activity(ctx.start_activity("new"))
        if fails:
            raise ValueError("no")

    registry = activities_and_children()
    for fails in (False, True):
        story = Story(fn, registry=registry, fails=fails)
        assert story.start().warnings == []
        warnings = story.give(completed(3)).warnings
        assert [text.startswith("The workflow returned while 2 of its activities") for text in warnings] == (
            [] if fails else [True]
        )
        story.check()


@pytest.mark.parametrize("bad", [object(), b"x", float("nan"), {1, 2}, {"deep": [float("inf")]}])
def test_arguments_that_json_cannot_hold_raise_before_any_command(bad):
    def fn(ctx):
        problems = 0
        for call in (lambda: ctx.run_activity("add", 1, bad), lambda: ctx.run_workflow("child", n=bad)):
            try:
                call()
            except PayloadError:
                problems += 1
        ctx.sleep(1)
        return problems

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "timer_started"]
    story.wait(1)
    assert story.result == 2
    story.check()


def test_wrong_arguments_and_unknown_names_raise_at_the_call_on_replay_too():
    def fn(ctx):
        problems = []
        for call in (
            lambda: ctx.run_activity("add", 1),
            lambda: ctx.run_activity("send", 1, colour=2),
            lambda: ctx.run_activity("ad", 1, 2),
            lambda: ctx.run_activity(fn),
            lambda: ctx.run_workflow("child", m=1),
            lambda: ctx.run_workflow("chidl"),
            lambda: ctx.start_workflow(registry.workflows["child"].using(workflow_id="mine")),
            lambda: ctx.wait_activity("0"),
            lambda: ctx.wait_workflow("0"),
            lambda: ctx.wait_signal(""),
            lambda: ctx.wait_signal(5),
        ):
            try:
                call()
            except (TypeError, UnknownActivityError, UnknownWorkflowError, DurableError) as error:
                problems.append(str(error))
        ctx.sleep(1)
        return problems

    registry = activities_and_children()
    story = Story(fn, registry=registry)
    story.start()
    assert story.types == ["workflow_started", "timer_started"]
    story.check()  # a replay took the unknown name for one that only this worker does not know
    story.wait(1)
    problems = story.result
    assert len(problems) == 11
    assert "its signature is add(a, b)" in problems[0]
    assert "Did you mean 'add'?" in problems[2]
    assert "not a registered activity" in problems[3]
    assert "its signature is child(ctx, n=0)" in problems[4]
    assert "Did you mean 'child'?" in problems[5]


def test_a_call_that_was_refused_is_refused_on_replay_also_where_the_next_one_has_its_name():
    """A replay took the recorded call for the refused one, whose name and place it has."""

    def fn(ctx):
        problems = []
        for refused, accepted in (
            (lambda: ctx.run_activity("add", 1), lambda: ctx.run_activity("add", 1, 2)),
            (lambda: ctx.run_workflow("child", m=object()), lambda: ctx.run_workflow("child", n=1)),
        ):
            try:
                refused()
            except TypeError as error:
                problems.append(str(error))
            accepted()
        ctx.sleep(1)
        return len(problems)

    story = Story(fn)
    story.start()
    story.give(completed(0))
    story.give(child_completed(1))
    story.check()
    story.evict()
    assert story.wait(1).warnings == []
    assert story.result == 2


def test_a_replay_needs_the_name_alone():
    """Another worker may not have the function, and a new signature must not break what has happened."""

    def fn(ctx):
        ctx.run_activity("add", 1, 2)
        ctx.run_workflow("child", n=1)
        return "past"

    story = Story(fn)
    story.start()
    story.give(completed(0))
    other = Registry()

    @other.activity(name="add")
    def add(a, b, c): ...

    story.registry = other
    story.evict()
    story.give(child_completed(1))
    assert story.result == "past"
