"""Side effects: once per run, recorded whatever they do."""

from __future__ import annotations

import pytest

from durable_core.errors import (
    PayloadError,
    SideEffectError,
)
from tests.core.stories import (
    Story,
)


def test_a_side_effect_happens_once():
    calls = []

    def effect():
        calls.append(1)
        return len(calls)

    def fn(ctx):
        value = ctx.side_effect(effect)
        ctx.sleep(1)
        return value

    story = Story(fn)
    story.start()
    story.check()
    story.wait(1)
    assert story.result == 1
    assert calls == [1]
    story.check()


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(2)])
def test_a_side_effect_that_raises_is_recorded(error):
    calls = []

    def effect():
        calls.append(1)
        raise error

    def fn(ctx):
        try:
            ctx.side_effect(effect)
        except SideEffectError as raised:
            ctx.sleep(1)
            return [raised.type_name, raised.message]

    story = Story(fn)
    story.start()
    story.wait(1)
    assert story.result == [type(error).__name__, str(error)]
    story.check()
    assert calls == [1]


def test_a_side_effect_that_json_cannot_hold_is_recorded_too():
    def fn(ctx):
        try:
            ctx.side_effect(object)
        except PayloadError as error:
            ctx.sleep(1)
            return str(error)

    story = Story(fn)
    story.start()
    story.wait(1)
    assert "object" in story.result
    story.check()


def test_an_error_of_the_users_own_is_not_taken_for_ours_because_of_its_name():
    namesake = type("PayloadError", (ValueError,), {})

    def refuse():
        raise namesake("card declined")

    def fn(ctx):
        try:
            ctx.side_effect(refuse)
        except SideEffectError as error:
            ctx.sleep(1)
            return [error.type_name, error.message]

    story = Story(fn)
    story.start()
    story.wait(1)
    assert story.result == ["PayloadError", "card declined"]
    story.check()


@pytest.mark.parametrize(
    "use", [lambda ctx: ctx.run_activity("old"), lambda ctx: ctx.random().random(), lambda ctx: str(ctx.uuid4())]
)
def test_ctx_cannot_be_used_inside_of_a_side_effect(use):
    def fn(ctx):
        try:
            ctx.side_effect(lambda: use(ctx))
        except SideEffectError as error:
            ctx.sleep(1)
            return [str(error), ctx.random().random()]

    story = Story(fn)
    story.start()
    assert "activity_scheduled" not in story.types
    story.wait(1)
    assert "inside the function of a side effect" in story.result[0]
    story.check()
