"""Facts in, decisions out; and every prefix of a history replays to the same place."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from greenlet import greenlet

from durable_core import events as e
from durable_core import replay
from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    ChildCanceled,
    CodeStuck,
    DurableError,
    LimitExceeded,
    NewerCodeNeeded,
    NondeterminismError,
    PayloadError,
    RunEvicted,
    SideEffectError,
    UnknownActivityError,
    UnknownWorkflowError,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.execution import Status
from durable_core.failures import describe
from durable_core.replay import CodeFailed, RunSettings
from tests.core.stories import (
    EPOCH,
    Story,
    activities_and_children,
    cancel,
    child_completed,
    completed,
    failed,
    loads,
    signal,
    timed_out,
)

# How a run goes on


def test_a_run_starts_with_what_its_code_asks_for():
    def fn(ctx, a):
        return ctx.run_activity("add", a, b=2)

    story = Story(fn, a=1)
    decision = story.start()
    assert story.types == ["workflow_started", "activity_scheduled"]
    assert [record.seq for record in story.history] == [1, 2]
    assert [command.activity_name for command in decision.activities] == ["add"]
    assert loads(decision.activities[0].input) == {"args": [1], "kwargs": {"b": 2}}
    assert decision.status is Status.RUNNING
    waiting = loads(decision.waiting_for)
    assert (waiting["kind"], waiting["what"], waiting["until"]) == ("activity", "add", None)
    assert waiting["at"].startswith(__file__)
    story.give(completed(0, 3), after=1)
    assert story.result == 3
    assert story.types[2:] == ["activity_completed", "workflow_completed"]
    story.check()


def test_a_workflow_that_returns_none_completes_with_null():
    story = Story(lambda ctx: None)
    assert story.start().status is Status.COMPLETED
    assert story.decision.result == "null"
    story.check()


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 0.0])
def test_falsy_outcomes_are_values(value):
    def fn(ctx):
        handle = ctx.start_activity("old")
        by_timeout = ctx.wait_activity(handle, timeout=5)
        return [by_timeout, ctx.wait_signal("s", timeout=5), ctx.side_effect(lambda: value), ctx.run_workflow("child")]

    story = Story(fn)
    story.start()
    story.give(completed(0, value))
    story.give(signal("s", value))
    story.give(child_completed(4, value))
    assert story.result == [value] * 4
    story.check()


def test_handles_may_be_awaited_out_of_order_and_twice():
    def fn(ctx):
        first, second, third = (ctx.start_activity("add", n, n) for n in range(3))
        return [ctx.wait_activity(handle) for handle in (third, first, second, first, third)]

    story = Story(fn)
    assert len(story.start().activities) == 3
    story.give(completed(1, "b"))
    assert not story.decision.events[1:]
    story.give(completed(2, "c"), completed(0, "a"))
    assert story.result == ["c", "a", "b", "a", "c"]
    story.check()


def test_a_handle_of_another_run_is_an_error_not_an_endless_wait():
    handles = []

    def one(ctx):
        handles.append(ctx.start_activity("old"))
        ctx.start_activity("old")
        handles.append(ctx.start_activity("old"))

    def other(ctx):
        ctx.wait_activity(handles[1])

    Story(one).start()
    story = Story(other)
    story.start()
    assert story.decision.status is Status.FAILED
    assert "call 2" in story.decision.error
    story.check()


def test_what_is_changed_by_the_code_does_not_leak():
    def fn(ctx):
        handle = ctx.start_activity("old")
        first = ctx.wait_activity(handle)
        first["list"].append(1)
        noted = ctx.side_effect(lambda: first)
        noted["list"].append(2)
        got = ctx.wait_signal("s")
        got.append(3)
        return [ctx.wait_activity(handle), first, noted, got]

    story = Story(fn)
    story.start()
    story.give(completed(0, {"list": []}))
    story.give(signal("s", []))
    assert story.result == [{"list": []}, {"list": [1]}, {"list": [1, 2]}, [3]]
    story.check()


def test_a_first_run_sees_what_a_replay_sees():
    seen = []

    def fn(ctx, **kwargs):
        seen.append([kwargs, ctx.side_effect(lambda: (1, {2: ("x",)}))])
        ctx.sleep(1)

    story = Story(fn, t=(1, 2), d={3: 4})
    story.start()
    story.replayed().close()
    assert seen == [[{"t": [1, 2], "d": {"3": 4}}, [1, {"2": ["x"]}]]] * 2


def test_now_is_the_time_of_the_step_and_never_goes_back():
    def fn(ctx):
        times = [ctx.now()]
        ctx.wait_signal("a")
        times.append(ctx.now())
        ctx.wait_signal("b")
        times.append(ctx.now())
        return [time.isoformat() for time in times]

    story = Story(fn)
    story.start()
    story.give(signal("a"), after=10)
    story.give(signal("b"), after=-5)  # the store's clock was set back
    ten = (EPOCH + timedelta(seconds=10)).isoformat()
    assert story.result == [EPOCH.isoformat(), ten, ten]
    story.check()


def test_random_numbers_are_the_same_on_every_replay():
    seen = []

    def fn(ctx):
        numbers = [ctx.random().random(), str(ctx.uuid4())]
        ctx.sleep(1)
        seen.append([*numbers, str(ctx.uuid4())])
        ctx.sleep(1)

    story = Story(fn)
    story.start()
    story.wait(1)
    story.replayed().close()
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


# Time


def test_sleep_suspends_until_its_time_and_not_before():
    def fn(ctx):
        ctx.sleep(timedelta(minutes=1))
        return "woken"

    story = Story(fn)
    assert story.start().wake_at == EPOCH + timedelta(minutes=1)
    assert story.wait(59.999999).events == []
    story.wait(0.000001)
    assert story.types == ["workflow_started", "timer_started", "timer_fired", "workflow_completed"]
    assert story.result == "woken"
    story.check()


@pytest.mark.parametrize(
    "duration",
    [-1, -0.000001, timedelta(seconds=-1), float("nan"), float("inf"), timedelta.max, 1e300, True, None, "5", [5]],
)
def test_a_senseless_duration_is_refused_before_any_command(duration):
    def fn(ctx):
        problems = 0
        handle = ctx.start_activity("old")
        attempts = [lambda: ctx.sleep(duration)]
        if duration is not None:
            attempts += [
                lambda: ctx.wait_activity(handle, timeout=duration),
                lambda: ctx.wait_signal("s", timeout=duration),
            ]
        for attempt in attempts:
            try:
                attempt()
            except DurableError:
                problems += 1
        ctx.sleep(1)
        return problems == len(attempts)

    story = Story(fn)
    story.start()
    assert story.types == ["workflow_started", "activity_scheduled", "timer_started"]
    story.wait(1)
    assert story.result is True
    story.check()


@pytest.mark.parametrize("duration", [0, 0.0, -0.0, timedelta(0)])
def test_a_sleep_of_nothing_ends_in_the_same_step(duration):
    def fn(ctx):
        ctx.sleep(duration)
        return "done"

    story = Story(fn)
    assert story.start().status is Status.COMPLETED
    story.check()


def test_a_sleep_of_ten_years_is_one_timer():
    def fn(ctx):
        ctx.sleep(timedelta(days=3653))

    story = Story(fn)
    story.start()
    assert story.wait(3652 * 86400).events == []
    assert story.wait(86400).status is Status.COMPLETED
    story.check()


def test_a_timeout_is_a_logged_timer():
    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            return ctx.wait_activity(handle, timeout=5)
        except WaitTimeout as error:
            assert isinstance(error, TimeoutError)
            return ["timeout", ctx.wait_activity(handle)]

    story = Story(fn)
    story.start()
    assert story.types[-1] == "timer_started"
    story.wait(5)
    assert story.types[-1] == "timer_fired"
    story.give(completed(0, "late"))
    assert story.result == ["timeout", "late"]
    story.check()


@pytest.mark.parametrize("first", ["timer", "activity"])
def test_the_winner_of_a_race_is_the_first_in_the_log(first):
    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            return ctx.wait_activity(handle, timeout=5)
        except WaitTimeout:
            return "timeout"

    story = Story(fn)
    story.start()
    # Both have happened by now. Facts that were delivered come before timers that are merely due.
    story.give(*([completed(0, "done")] if first == "activity" else []), after=10)
    assert story.result == ("done" if first == "activity" else "timeout")
    story.check()


def test_a_wait_for_what_is_there_needs_no_timer_but_takes_its_id():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_signal("go")
        ctx.wait_activity(handle, timeout=5)
        ctx.run_activity("new")

    story = Story(fn)
    story.start()
    story.give(completed(0), signal("go"))
    assert "timer_started" not in story.types
    assert story.decision.activities[0].call_id == "3"  # as if the timer had been needed
    story.check()


def test_a_timer_behind_the_deadline_never_fires_however_late_the_worker():
    def fn(ctx):
        ctx.sleep(3600)
        return "too late"

    story = Story(fn, deadline=60)
    assert story.start().wake_at == EPOCH + timedelta(seconds=60)
    decision = story.wait(7200)
    assert decision.status is Status.TIMED_OUT
    assert decision.error.startswith("WorkflowTimeout")
    assert story.types[-1] == "workflow_timed_out"
    assert "timer_fired" not in story.types
    story.check()


def test_a_timer_before_the_deadline_fires_even_when_both_have_passed():
    def fn(ctx):
        ctx.sleep(10)
        return "in time"

    story = Story(fn, deadline=60)
    story.start()
    story.wait(7200)
    assert story.result == "in time"


def test_a_deadline_that_passed_before_the_start_ends_the_run_all_the_same():
    story = Story(lambda ctx: ctx.sleep(1), deadline=10)
    assert story.give(story.started, after=11).status is Status.TIMED_OUT
    story.check()


# Signals


def test_signals_are_kept_in_order_and_consumed_once():
    def fn(ctx):
        ctx.sleep(1)
        return [ctx.wait_signal("a"), ctx.wait_signal("b"), ctx.wait_signal("a")]

    story = Story(fn)
    story.start(signal("a", 1), signal("a", 2), signal("b", 3))
    story.wait(1)
    assert story.result == [1, 3, 2]
    story.check()


def test_a_signal_behind_a_timeout_is_for_the_next_wait():
    def fn(ctx):
        try:
            return ctx.wait_signal("s", timeout=5)
        except WaitTimeout as error:
            return [str(error), ctx.wait_signal("s")]

    story = Story(fn)
    story.start()
    assert story.decision.wake_at == EPOCH + timedelta(seconds=5)
    story.wait(5)
    story.give(signal("s", "late"))
    assert story.result == ["no signal 's' came within 5 s", "late"]
    story.check()


def test_a_signal_that_came_late_in_the_last_batch_is_recorded_before_the_end():
    def fn(ctx):
        return ctx.wait_signal("s")

    story = Story(fn)
    story.start()
    story.give(signal("s", 1), signal("s", 2), completed(77))
    assert story.types[-3:] == ["signal_received", "signal_received", "workflow_completed"]
    assert story.result == 1
    story.check()


def test_nothing_is_recorded_behind_the_end():
    story = Story(lambda ctx: None)
    story.start()
    assert story.give(signal("s"), cancel(), completed(0)).events == []


# Facts that must leave no trace


def test_second_and_unknown_outcomes_leave_no_trace():
    def fn(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_signal("go")
        return ctx.wait_activity(handle)

    story = Story(fn)
    story.start()
    story.give(completed(0, "first"), completed(0, "second"), failed(0), completed(99), child_completed("7"))
    assert story.types[-1] == "activity_completed"
    assert story.give(failed(0), story.started).events == []
    story.give(signal("go"))
    assert story.result == "first"
    story.check()


def test_a_fact_nobody_asked_for_is_an_error_of_the_caller():
    story = Story(lambda ctx: ctx.sleep(1))
    story.start()
    with pytest.raises(NondeterminismError, match="timer_fired"):
        story.run.advance([e.TimerFired(call_id="9")], story.time)


# Errors


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
                assert isinstance(error, TimeoutError)
                seen.append(["timeout", error.kind])
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
    assert story.result == [["KeyError", "'k'", 3, True], ["timeout", "heartbeat"], ["canceled", "enough"]]
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
    assert "$.a[0]" in story.decision.error
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


# Side effects


def test_a_side_effect_happens_once():
    calls = []

    def fn(ctx):
        value = ctx.side_effect(lambda: calls.append(1) or len(calls))
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


# except, finally and eviction


def test_except_exception_does_not_catch_a_suspension():
    def fn(ctx):
        try:
            return ctx.run_activity("old")
        except Exception:
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
        except:  # noqa: E722
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
        except Exception:
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
                lambda: ctx.random(),
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
            try:
                ctx.sleep(1)
            except BaseException:
                pass

    story = Story(fn)
    story.start()
    story.run.close()  # ends, although the code does not
    assert story.types == ["workflow_started", "timer_started"]
    replay._UNSTOPPABLE.clear()


def test_code_that_swallows_its_eviction_once_and_returns_does_not_complete():
    def fn(ctx):
        try:
            ctx.sleep(1)
        except BaseException:
            pass
        return "swallowed"

    story = Story(fn)
    decision = story.start()
    story.run.close()
    assert decision.end is None
    assert not story.run.is_closed


def test_a_run_that_never_began_can_be_closed():
    run = Story(lambda ctx: None).run
    run._code = greenlet(run._main)
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


# Cancel


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


# Mismatches


def _mismatch(first, then, *facts) -> str:
    story = Story(first)
    story.start()
    for fact in facts:
        story.give(fact, after=1)
    before = list(story.history)
    with pytest.raises(NondeterminismError) as caught:
        story.replayed(then)
    assert story.history == before
    return str(caught.value)


def test_swapped_calls_are_a_mismatch():
    def first(ctx):
        ctx.run_activity("old")
        ctx.wait_signal("s")

    def then(ctx):
        ctx.wait_signal("s")
        ctx.run_activity("old")

    message = _mismatch(first, then)
    assert "The history holds activity 'old' (call 0) at seq 2" in message
    assert "the code asked for a wait for signal 's' without time limit (call 0)" in message
    line = then.__code__.co_firstlineno + 1
    assert f"at {__file__}:{line}" in message
    assert "reordered" in message
    assert "ctx.patched()" in message


def test_a_renamed_activity_is_a_mismatch_that_says_how_to_rename():
    message = _mismatch(lambda ctx: ctx.run_activity("old"), lambda ctx: ctx.run_activity("new"))
    assert "at seq 2" in message
    assert "register it with name=" in message


def test_an_added_call_is_a_mismatch():
    def then(ctx):
        ctx.start_activity("new")
        ctx.run_activity("old")

    message = _mismatch(lambda ctx: ctx.run_activity("old"), then)
    assert "activity 'new' (call 0)" in message

    def then(ctx):
        handle = ctx.start_activity("old")
        ctx.start_activity("new")
        ctx.wait_activity(handle)

    message = _mismatch(lambda ctx: ctx.run_activity("old"), then)
    assert "holds no such call behind seq 1 (workflow_started)" in message
    assert "A call was probably added" in message


def test_a_removed_call_is_a_mismatch():
    def first(ctx):
        ctx.run_activity("old")
        ctx.start_activity("send", 1)
        ctx.sleep(10)

    def waits(ctx):
        ctx.run_activity("old")
        ctx.sleep(10)

    def ends(ctx):
        ctx.run_activity("old")

    def raises(ctx):
        ctx.run_activity("old")
        raise ValueError("new bug")

    assert "activity 'send' (call 1) at seq 4" in _mismatch(first, waits, completed(0))
    message = _mismatch(first, ends, completed(0))
    assert "activity 'send' (call 1) at seq 4" in message
    assert "has ended (workflow_completed)" in message
    assert "workflow_failed: ValueError: new bug" in _mismatch(first, raises, completed(0))


def test_code_that_ends_too_early_is_a_mismatch():
    message = _mismatch(lambda ctx: ctx.wait_signal("s"), lambda ctx: ctx.start_activity("old"))
    assert "a wait for signal 's'" in message

    def first(ctx):
        ctx.start_activity("old")
        ctx.wait_activity(ctx.start_activity("new"))

    def then(ctx):
        ctx.start_activity("old")
        ctx.start_activity("new")

    message = _mismatch(first, then)
    assert "has ended" in message
    assert "of 3 events" in message


def test_code_that_waits_for_something_else_is_a_mismatch():
    def first(ctx):
        ctx.sleep(1)
        ctx.start_activity("old")
        ctx.sleep(1)

    def then(ctx):
        ctx.sleep(1)
        ctx.wait_activity(ctx.start_activity("old"))

    assert "the code never asked for it and waits at " in _mismatch(first, then, signal("x"))

    def unbounded(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_activity(handle)

    def bounded(ctx):
        handle = ctx.start_activity("old")
        ctx.wait_activity(handle, timeout=1)

    assert "the time limit of a wait for call 0" in _mismatch(bounded, unbounded)


def test_a_changed_end_of_a_closed_run_is_a_mismatch():
    def then(ctx):
        raise ValueError("now it fails")

    message = _mismatch(lambda ctx: 1, then)
    assert "workflow_completed at seq 2" in message
    assert "workflow_failed: ValueError: now it fails" in message


def test_an_outcome_nobody_can_have_asked_for_is_a_mismatch():
    story = Story(lambda ctx: ctx.run_activity("old"))
    story.start()
    story.history.append(e.EventRecord(3, "child_workflow_timed_out", "5", "{}", EPOCH))
    with pytest.raises(NondeterminismError, match=r"child_workflow_timed_out \(call 5\) at seq 3.*waits at"):
        story.replayed()


def test_a_mismatch_heals_when_the_old_code_is_back():
    def first(ctx):
        return ctx.run_activity("old")

    story = Story(first)
    story.start()
    with pytest.raises(NondeterminismError):
        story.replayed(lambda ctx: ctx.sleep(1))
    story.evict(first)
    story.give(completed(0, "healed"))
    assert story.result == "healed"


def test_a_mismatch_swallowed_by_the_code_is_a_mismatch_still():
    def then(ctx):
        try:
            ctx.sleep(1)
        except BaseException:
            pass
        return "swallowed"

    assert "a sleep" in _mismatch(lambda ctx: ctx.run_activity("old"), then)


def test_changed_arguments_warn_and_the_recorded_ones_hold():
    def first(ctx):
        ctx.run_activity("add", 1, 2)
        ctx.sleep(1)

    def then(ctx):
        ctx.run_activity("add", 1, 3)
        ctx.sleep(1)

    story = Story(first)
    story.start()
    story.give(completed(0))
    story.evict(then)
    (warning,) = story.wait(0).warnings
    assert '"args":[1,2]' in warning
    assert '"args":[1,3]' in warning
    assert f"{__file__}:{then.__code__.co_firstlineno + 1}" in warning
    assert story.wait(0).warnings == []
    with pytest.raises(NondeterminismError, match="STRICT_INPUTS"):
        story.replayed(settings=RunSettings(strict_inputs=True))


def test_arguments_in_another_order_of_keys_are_the_same():
    story = Story(lambda ctx: ctx.run_activity("send", 1, subject={"a": 1, "b": 2}))
    story.start()
    story.evict(lambda ctx: ctx.run_activity("send", 1, subject={"b": 2, "a": 1}))
    assert story.wait(0).warnings == []


def test_changed_durations_are_no_mismatch_and_the_recorded_ones_hold():
    story = Story(lambda ctx: ctx.sleep(60))
    story.start()
    story.evict(lambda ctx: ctx.sleep(5))
    assert story.wait(5).status is Status.RUNNING
    assert story.wait(55).status is Status.COMPLETED


def test_an_event_of_a_newer_release_leaves_the_run_to_a_newer_worker():
    story = Story(lambda ctx: ctx.sleep(1))
    story.start()
    story.history.append(e.EventRecord(3, "workflow_teleported", None, "{}", EPOCH))
    with pytest.raises(NewerCodeNeeded, match="workflow_teleported"):
        story.replayed()


# Limits


def test_the_history_has_a_limit_and_a_replay_meets_it_at_the_same_place(monkeypatch):
    monkeypatch.setattr(replay, "MAX_HISTORY", 6)

    def fn(ctx):
        handle = ctx.start_activity("old")
        try:
            while True:
                ctx.patched("p")
                ctx.start_activity("new")
        except LimitExceeded:
            return ctx.wait_activity(handle)

    story = Story(fn)
    story.start()
    assert len(story.history) == 6
    story.check()
    story.give(completed(0, "fine"))
    assert story.result == "fine"
    story.check()


def test_the_limit_fails_code_that_ignores_it(monkeypatch):
    monkeypatch.setattr(replay, "MAX_HISTORY", 20)

    def fn(ctx):
        while True:
            ctx.sleep(0)

    story = Story(fn)
    assert story.start().status is Status.FAILED
    assert story.decision.error.startswith("LimitExceeded")
    story.check()


def test_payloads_over_the_limit_raise_at_the_call():
    def fn(ctx):
        try:
            ctx.run_activity("add", 1, "x" * 2000)
        except PayloadError:
            return "refused"

    story = Story(fn, settings=RunSettings(payload_limit=1000))
    story.start()
    assert story.result == "refused"
    assert story.types == ["workflow_started", "workflow_completed"]


# Stuck code and logging


def test_code_that_is_stopped_as_stuck_blocks_its_run():
    def fn(ctx):
        ctx.sleep(1)
        raise CodeStuck  # as the worker raises it, asynchronously

    story = Story(fn)
    story.start()
    with pytest.raises(CodeFailed, match=f"{__file__}:{fn.__code__.co_firstlineno + 2}"):
        story.wait(1)
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


# Patches


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
    with pytest.raises(NewerCodeNeeded, match="patch marker p.*removed too early"):
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
    with pytest.raises(NewerCodeNeeded, match="version 3 of change 'v'.*up to 2"):
        story.replayed(fn_of(2))


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_a_senseless_version_is_refused(version):
    story = Story(lambda ctx: ctx.get_version("v", version))
    assert story.start().status is Status.FAILED
    assert story.types == ["workflow_started", "workflow_failed"]


# One small thing


def test_text_of_any_kind_survives_in_names_and_payloads():
    odd = "\x00\ud800\U0001f600é%s'\";--"

    def fn(ctx, **kwargs):
        return [kwargs, ctx.wait_signal(odd), ctx.side_effect(lambda: odd)]

    story = Story(fn, **{odd: odd})
    story.start()
    story.give(signal(odd, {odd: odd}))
    assert story.result == [{odd: odd}, {odd: odd}, odd]
    assert all(record.details.isascii() for record in story.history)
    assert encode(odd).isascii()
    story.check()
