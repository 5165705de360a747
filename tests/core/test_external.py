"""Runs that write to other runs: sent with the commit, once, and told what has become of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.errors import NondeterminismError, UnknownExecutionError, WorkflowClosed
from durable_core.execution import Status
from tests.core.stories import Story, signal
from tests.core.test_worker import Bench

OTHER = UUID(int=9)


def sends(ctx):
    try:
        ctx.signal_workflow("go", {"n": 1}, to=OTHER)
    except (WorkflowClosed, UnknownExecutionError) as error:
        return type(error).__name__
    return "delivered"


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        (e.ExternalMessageDelivered(call_id="0"), "delivered"),
        (e.ExternalMessageFailed(call_id="0", reason="closed"), "WorkflowClosed"),
        (e.ExternalMessageFailed(call_id="0", reason="unknown"), "UnknownExecutionError"),
    ],
)
def test_the_code_hears_what_has_become_of_it(word, outcome):
    story = Story(sends)
    decision = story.start()
    assert [command.call_id for command in decision.outgoing] == ["0"]
    assert '"kind":"run"' in (decision.waiting_for or "")
    story.evict()
    assert story.give(word).outgoing == []
    assert story.result == outcome
    assert story.types[1:3] == ["external_signal_sent", word.type]
    story.check()


def test_a_message_in_a_branch_that_nobody_waits_for_is_no_work_left_behind():
    def fn(ctx):
        ctx.spawn(ctx.signal_workflow, "go", to=OTHER)
        ctx.wait_signal("end")

    story = Story(fn)
    story.start()
    decision = story.give(signal("end"))
    assert [warning for warning in decision.warnings if "activities" in warning] == []


def test_another_target_is_a_mismatch_and_another_payload_a_warning():
    story = Story(sends)
    story.start()
    with pytest.raises(NondeterminismError, match="signal 'go' to"):
        story.replayed(lambda ctx: ctx.signal_workflow("go", {"n": 1}, workflow_id="w"))
    with pytest.raises(NondeterminismError, match="a cancel of"):
        story.replayed(lambda ctx: ctx.cancel_workflow(to=OTHER))
    run = story.replayed(lambda ctx: ctx.signal_workflow("go", {"n": 2}, to=OTHER))
    assert any(r"see $.n" in warning for warning in run.advance((), story.time).warnings)
    run.close()


@pytest.mark.parametrize("target", [{}, {"to": OTHER, "workflow_id": "w"}, {"to": "no id"}, {"to": 1}, {"to": ""}])
def test_a_target_that_cannot_be_one_raises_at_the_call(target):
    for use in (lambda ctx: ctx.signal_workflow("go", **target), lambda ctx: ctx.cancel_workflow(**target)):
        story = Story(use)
        assert story.start().error.startswith("TypeError")
        assert story.types == ["workflow_started", "workflow_failed"]


# Through the worker


class Post(Bench):
    def __init__(self, **settings):
        super().__init__(**settings)

        @self.registry.workflow
        def hears(ctx):
            ctx.on_query("nothing", list)
            return ctx.wait_signal("go")

        @self.registry.workflow
        def tells(ctx, to=None, workflow_id=None, cancel=False):
            try:
                if cancel:
                    ctx.cancel_workflow(to=to, workflow_id=workflow_id, reason="enough")
                else:
                    ctx.signal_workflow("go", "hello", to=to, workflow_id=workflow_id)
            except (WorkflowClosed, UnknownExecutionError) as error:
                return str(error)

        @self.registry.workflow
        def parent(ctx):
            child = ctx.start_workflow("hears")
            ctx.signal_workflow("go", "child", to=child)
            return ctx.wait_workflow(child)

        @self.registry.workflow
        def to_itself(ctx):
            ctx.signal_workflow("go", "me", to=ctx.info.execution_id)
            return ctx.wait_signal("go")

        self.hears, self.tells = hears, tells

    def told(self, **kwargs):
        run_id = self.start("tells", **kwargs)
        self.worker().run(until_idle=True)
        return self.result(run_id)


@pytest.mark.parametrize("cache_size", [0, 10])
def test_a_signal_reaches_runs_by_id_and_by_workflow_id(cache_size):
    post = Post(cache_size=cache_size)
    one = post.start("hears")
    two = post.client.start(post.hears.using(workflow_id="w"), {}).run_id
    assert post.told(to=str(one)) is None
    assert post.told(workflow_id="w") is None
    assert post.result(one) == post.result(two) == "hello"
    assert post.told(to=str(one)) == f"run {one} is closed; it takes no signal 'go'."
    assert post.told(workflow_id="w") == "There is no open run with workflow_id 'w' to take signal 'go'."
    assert post.told(to=str(OTHER)) == f"There is no run {OTHER} to take signal 'go'."


def test_a_child_and_the_run_itself_are_runs_too():
    post = Post()
    parent, itself = post.start("parent"), post.start("to_itself")
    post.drive(parent, itself)
    assert (post.result(parent), post.result(itself)) == ("child", "me")


def test_a_cancel_reaches_another_run():
    post = Post()
    run_id = post.start("hears")
    assert post.told(to=str(run_id), cancel=True) is None
    assert post.client.find(run_id).error == "WorkflowCanceled: enough"
    assert post.told(to=str(run_id), cancel=True) == f"run {run_id} is closed; it takes no cancel request."
    assert post.client.find(run_id).status is Status.CANCELED
