"""Children as code sees them: what it hands over, what it holds, and how their ends are told."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import ChildCanceled, PayloadError, WaitTimeout, WorkflowFailed, WorkflowTimeout
from durable_core.failures import describe
from tests.core.stories import Story, activities_and_children, child_completed, loads


def seen_of(end):
    """The exception that code gets from a child that ended so, as the code sees it."""

    def fn(ctx):
        try:
            ctx.run_workflow("child", n=1)
        except (ChildCanceled, WorkflowFailed, WorkflowTimeout) as error:
            caught.append(error)
            return str(error.execution_id)

    caught: list[ChildCanceled | WorkflowFailed | WorkflowTimeout] = []
    story = Story(fn)
    (child,) = story.start().children
    story.give(end)
    assert story.result == str(child.child_id)
    story.check()
    return caught[0]


def test_a_child_that_failed_is_raised_with_its_failure():
    failure = describe(KeyError("k"))
    error = seen_of(e.ChildWorkflowFailed(call_id="0", failure=failure))
    assert isinstance(error, WorkflowFailed)
    assert str(error) == "child workflow 'child' failed: KeyError: 'k'"
    assert (error.type_name, error.failure) == ("KeyError", failure)


def test_a_child_that_was_canceled_is_raised_with_the_reason():
    error = seen_of(e.ChildWorkflowCanceled(call_id="0", reason="enough"))
    assert isinstance(error, ChildCanceled)
    assert (str(error), error.reason) == ("child workflow 'child' was canceled", "enough")


def test_a_child_that_timed_out_is_raised_as_such():
    error = seen_of(e.ChildWorkflowTimedOut(call_id="0"))
    assert isinstance(error, WorkflowTimeout)
    assert str(error) == "child workflow 'child' timed out"


def test_a_timeout_beside_the_input_is_the_childs():
    story = Story(lambda ctx: ctx.run_workflow("child", n=3, timeout=60))
    (command,) = story.start().children
    assert (command.input, command.options.timeout) == ('{"n":3}', timedelta(minutes=1))
    story.give(child_completed(0, 7))
    assert story.result == 7
    story.check()


def test_a_childs_own_options_hold_where_the_call_says_nothing():
    registry = activities_and_children()
    wanted = registry.workflows["child"].using(timeout=5, queue="slow")
    story = Story(lambda ctx: ctx.run_workflow(wanted), registry=registry)
    (command,) = story.start().children
    assert (command.input, command.options.timeout, command.options.queue) == ("{}", timedelta(seconds=5), "slow")


def test_an_input_over_the_limit_is_refused_by_the_childs_name():
    def fn(ctx):
        with pytest.raises(
            PayloadError, match=r"the input of workflow 'child' takes 31 bytes as JSON; the limit is 30\b"
        ):
            ctx.start_workflow("child", n="x" * 23)
        return str(ctx.start_workflow("child", n="x" * 22).id)

    story = Story(fn, settings=RunSettings(payload_limit=30))
    decision = story.start()
    assert [command.input for command in decision.children] == ['{"n":"' + "x" * 22 + '"}']


def test_a_handle_knows_whom_it_stands_for():
    def fn(ctx):
        handle = ctx.start_workflow("child", n=1)
        assert (handle.workflow_name, handle.call_id) == ("child", "0")
        assert isinstance(handle.id, UUID)
        try:
            ctx.wait_workflow(handle, timeout=5)
        except WaitTimeout as error:
            return [str(error), str(handle)]

    story = Story(fn)
    decision = story.start()
    waiting_for = loads(decision.waiting_for)
    assert (waiting_for["kind"], waiting_for["what"]) == ("child", "child")
    story.wait(5)
    assert story.result == ["child 'child' was not done within 5 s", str(decision.children[0].child_id)]
    story.check()


def test_a_handle_of_an_activity_knows_whom_it_stands_for():
    def fn(ctx):
        handle = ctx.start_activity("add", 1, 2)
        assert (handle.activity_name, handle.call_id) == ("add", "0")
        try:
            ctx.wait_activity(handle, timeout=timedelta(seconds=1.5))
        except WaitTimeout as error:
            return str(error)

    story = Story(fn)
    waiting_for = loads(story.start().waiting_for)
    assert (waiting_for["kind"], waiting_for["what"]) == ("activity", "add")
    story.wait(1.5)
    assert story.result == "activity 'add' was not done within 1.5 s"
    story.check()
