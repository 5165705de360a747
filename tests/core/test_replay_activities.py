"""Activities as code asks for them: what is handed over with a call, and what is refused at it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_core import events as e
from durable_core.decision import RunSettings
from durable_core.errors import ActivityCanceled, ActivityError, ActivityTimeout, PayloadError, WorkflowCanceled
from durable_core.retry import RetryPolicy
from tests.core.stories import RUN_ID, Story, activities_and_children, cancel, completed, loads, timed_out


def test_a_call_hands_over_name_arguments_and_options():
    registry = activities_and_children()
    add = registry.activities["add"].using(timeout=5, queue="slow", retry_policy=RetryPolicy(maximum_attempts=2))
    story = Story(lambda ctx: ctx.run_activity(add, 1, b=2), registry=registry)
    (command,) = story.start().activities
    assert (command.call_id, command.activity_name) == ("0", "add")
    assert loads(command.input) == {"args": [1], "kwargs": {"b": 2}}
    assert (command.options.timeout, command.options.queue) == (timedelta(seconds=5), "slow")
    assert command.options.retry_policy == RetryPolicy(maximum_attempts=2)
    story.give(completed(0, 3))
    assert story.result == 3
    story.check()


def test_arguments_over_the_limit_are_refused_by_the_activitys_name():
    says = r"the arguments of activity 'add' takes? 31 bytes as JSON; the limit is 30\b"

    def fn(ctx):
        with pytest.raises(PayloadError, match=says):
            ctx.start_activity("add", "xxxx", 1)
        ctx.start_activity("add", "xxx", 1)

    decision = Story(fn, settings=RunSettings(payload_limit=30)).start()
    assert [command.input for command in decision.activities] == ['{"args":["xxx",1],"kwargs":{}}']


def test_a_cancel_says_of_which_run_and_why():
    def fn(ctx):
        try:
            ctx.sleep(60)
        except WorkflowCanceled as error:
            caught.append(error)
            raise

    caught: list[WorkflowCanceled] = []
    story = Story(fn)
    story.start()
    story.give(cancel("enough"))
    assert (caught[0].execution_id, caught[0].reason) == (RUN_ID, "enough")
    assert story.decision.error == "WorkflowCanceled: enough"
    story.check()


def test_each_end_of_an_activity_says_whose_it_is():
    def fn(ctx):
        for _ in range(2):
            try:
                ctx.run_activity("old")
            except ActivityError as error:
                caught.append(error)

    caught: list[ActivityError] = []
    story = Story(fn)
    story.start()
    story.give(timed_out(0, "heartbeat"))
    story.give(e.ActivityCanceled(call_id="1", reason="enough"))
    late, canceled = caught
    assert isinstance(late, ActivityTimeout)
    assert (late.activity_name, late.kind, late.type_name, late.message) == ("old", "heartbeat", "TimeoutError", "late")
    assert isinstance(canceled, ActivityCanceled)
    assert (canceled.activity_name, canceled.type_name, canceled.message) == ("old", "ActivityCanceled", "enough")
    story.run.close()
