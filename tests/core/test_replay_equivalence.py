"""Random programs and random facts: a run that stayed in memory and one that is replayed at every step never differ."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable_core import events as e
from durable_core.context import ChildHandle, TimerHandle
from durable_core.errors import ActivityError, PayloadError, SideEffectError, TimerCanceled, WaitTimeout
from durable_core.failures import describe
from tests.core.stories import Story, cancel, child_completed, completed, failed, signal, timed_out

# Programs


def program(ctx, steps):
    trace: list[object] = []
    handles: list[Any] = []
    ctx.trace = trace
    children: list[ChildHandle] = []
    _interpret(ctx, steps, trace, handles, children)
    return trace


def _interpret(ctx, steps, trace, handles, children):
    for step in steps:
        kind, *rest = step
        if kind == "try":
            body, handler, last = rest
            try:
                _interpret(ctx, body, trace, handles, children)
            except Exception as error:  # noqa: BLE001 - as users do
                trace.append(type(error).__name__)
                _interpret(ctx, handler, trace, handles, children)
            finally:
                _interpret(ctx, last, trace, handles, children)
        elif kind == "shield":
            with ctx.shield():
                _interpret(ctx, rest[0], trace, handles, children)
        elif kind == "branch":

            def branch(body=rest[0]):
                _interpret(ctx, body, trace, handles, children)
                return len(trace)

            handles.append(ctx.spawn(branch))
        elif kind == "if":
            _interpret(ctx, rest[0 if len(str(trace)) % 2 else 1], trace, handles, children)
        elif kind == "repeat":
            for _ in range(2):
                _interpret(ctx, rest[0], trace, handles, children)
        else:
            try:
                trace.append(_do(ctx, kind, rest, handles, children))
            except (ActivityError, WaitTimeout, TimerCanceled, SideEffectError, PayloadError) as error:
                trace.append([type(error).__name__, str(error)])


def _do(ctx, kind, rest, handles, children):
    match kind:
        case "run":
            return ctx.run_activity("add", rest[0], [len(handles)])
        case "start":
            handles.append(ctx.start_activity("old"))
        case "wait" if handles:
            return ctx.wait(handles[rest[0] % len(handles)], timeout=rest[1])
        case "gather":
            return [str(result) for result in ctx.gather(*handles[-rest[0] :], return_exceptions=True)]
        case "select" if handles:
            return ctx.select(timeout=rest[1], s=ctx.signal("a"), h=handles[rest[0] % len(handles)], t=ctx.signal("b"))
        case "timer":
            handles.append(ctx.timer(rest[0]))
        case "stop timers":
            return [ctx.cancel(handle) for handle in handles if isinstance(handle, TimerHandle)]
        case "until":
            goal = len(ctx.trace) + rest[0]
            ctx.wait_until(lambda: len(ctx.trace) >= goal, timeout=rest[1])
        case "run child":
            return ctx.run_workflow("child", n=rest[0])
        case "start child":
            children.append(ctx.start_workflow("child"))
        case "wait child" if children:
            return ctx.wait_workflow(children[rest[0] % len(children)], timeout=rest[1])
        case "sleep":
            ctx.sleep(rest[0])
        case "signal":
            return ctx.wait_signal(rest[0], timeout=rest[1])
        case "effect":
            return ctx.side_effect(lambda: (1, {2: rest[0]}))
        case "bad effect":
            ctx.side_effect(lambda: 1 // 0)
        case "odd effect":
            ctx.side_effect(object)
        case "bad call":
            return ctx.run_activity("add", object(), 1)
        case "patched":
            return ctx.patched(rest[0])
        case "version":
            return ctx.get_version("v", 2)
        case "now":
            return ctx.now().isoformat()
        case "random":
            return [ctx.random().random(), str(ctx.uuid4())]
        case "again":
            ctx.continue_as_new(steps=[])
        case "raise":
            raise ZeroDivisionError(rest[0])
    return None


TIMEOUTS = st.sampled_from([None, None, 0, 1, 5])
SMALL = st.integers(0, 3)
NAMES = st.sampled_from(["a", "b"])

simple_steps = st.one_of(
    st.tuples(st.just("run"), SMALL),
    st.tuples(st.just("start")),
    st.tuples(st.just("wait"), SMALL, TIMEOUTS),
    st.tuples(st.just("run child"), SMALL),
    st.tuples(st.just("start child")),
    st.tuples(st.just("wait child"), SMALL, TIMEOUTS),
    st.tuples(st.just("sleep"), st.sampled_from([0, 1, 3])),
    st.tuples(st.just("signal"), NAMES, TIMEOUTS),
    st.tuples(st.sampled_from(["effect", "bad effect", "odd effect", "bad call"]), SMALL),
    st.tuples(st.just("patched"), NAMES),
    st.tuples(st.sampled_from(["version", "now", "random"])),
    st.tuples(st.just("raise"), SMALL),
    st.tuples(st.just("again")),
    st.tuples(st.just("gather"), SMALL),
    st.tuples(st.just("select"), SMALL, TIMEOUTS),
    st.tuples(st.just("timer"), st.sampled_from([0, 1, 3])),
    st.tuples(st.just("stop timers")),
    st.tuples(st.just("until"), SMALL, TIMEOUTS),
)


def _nested(inner):
    block = st.lists(inner, max_size=3)
    return st.one_of(
        st.tuples(st.just("try"), block, block, block),
        st.tuples(st.just("shield"), block),
        st.tuples(st.just("branch"), block),
        st.tuples(st.just("if"), block, block),
        st.tuples(st.just("repeat"), block),
    )


programs = st.lists(st.recursive(simple_steps, _nested, max_leaves=8), min_size=1, max_size=8)


# Facts


def _fact(draw, story):
    calls = [record for record in story.history if record.type == "activity_scheduled"]
    children = [record for record in story.history if record.type == "child_workflow_scheduled"]
    kinds = ["signal", "signal", "unknown"] + ["outcome"] * 4 * bool(calls) + ["child"] * 3 * bool(children)
    if draw(st.integers(0, 9)) == 0:
        return cancel("enough", graceful=draw(st.integers(0, 4)) > 0)
    match draw(st.sampled_from(kinds)):
        case "signal":
            return signal(draw(NAMES), draw(SMALL))
        case "outcome":
            call_id = draw(st.sampled_from(calls)).call_id
            return draw(
                st.sampled_from(
                    [
                        completed(call_id, {"of": [call_id]}),
                        completed(call_id, None),
                        failed(call_id),
                        timed_out(call_id),
                        e.ActivityCanceled(call_id=call_id, reason="r"),
                    ]
                )
            )
        case "child":
            call_id = draw(st.sampled_from(children)).call_id
            return draw(
                st.sampled_from(
                    [
                        child_completed(call_id, [call_id]),
                        e.ChildWorkflowFailed(call_id=call_id, failure=describe(ValueError("c"))),
                        e.ChildWorkflowCanceled(call_id=call_id, reason="r"),
                        e.ChildWorkflowTimedOut(call_id=call_id),
                    ]
                )
            )
        case _:
            return completed("999")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=programs, data=st.data(), deadline=st.sampled_from([None, None, 6]))
def test_a_replayed_run_and_one_in_memory_decide_the_same(steps, data, deadline):
    story = Story(program, deadline=deadline, steps=steps)
    facts, after = [story.started], 0.0
    for _ in range(12):
        cold = story.replayed()
        decision = story.give(*facts, after=after)
        assert cold.advance(facts, story.time) == decision
        assert cold.history_length == story.run.history_length == len(story.history)
        cold.close()
        if decision.end is not None:
            break
        facts = [_fact(data.draw, story) for _ in range(data.draw(st.integers(0, 3)))]
        after = data.draw(st.sampled_from([0.0, 0.0, 1.0, 5.0]))
    story.check()
    assert sum(kind in e.TERMINAL_TYPES for kind in story.types) <= 1
    times = [record.created_at for record in story.history]
    assert times == sorted(times)
    story.run.close()
