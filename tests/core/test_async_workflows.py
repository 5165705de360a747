"""Workflows that are `async def`: asyncio on a loop of our own, where every replay has the same turns."""

from __future__ import annotations

import asyncio
import gc
import sys
from datetime import date, timedelta

import pytest

from durable_core import events as e
from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import (
    ActivityError,
    ConfigurationError,
    DurableError,
    LimitExceeded,
    NondeterminismError,
    NotInWorkflow,
    RunEvicted,
    WaitTimeout,
    WorkflowCanceled,
)
from durable_core.execution import Status
from tests.core.stories import Story, cancel, child_completed, completed, failed, signal

BOX: type[asyncio.Queue[int]] = asyncio.Queue


def ids(story, kind="activity_scheduled"):
    return [record.call_id for record in story.history if record.type == kind]


@pytest.fixture(autouse=True)
def _no_loop_is_left_behind():
    yield
    assert asyncio._get_running_loop() is None


# Calls


def test_an_awaited_call_suspends_the_code_and_gives_its_result():
    async def workflow(ctx, a):
        total = await ctx.run_activity("add", a, 1)
        return [total, await ctx.run_workflow("child", n=total)]

    story = Story(workflow, a=1)
    assert story.start().waiting_for is not None
    assert '"what":"add"' in (story.decision.waiting_for or "")
    assert f"{__file__}:" in (story.decision.waiting_for or "")
    story.give(completed(0, 2))
    story.give(child_completed(1, "done"))
    assert story.check().result == [2, "done"]


def test_a_call_begins_where_it_stands_and_refuses_wrong_arguments_there():
    async def workflow(ctx):
        with pytest.raises(TypeError, match="add"):
            ctx.run_activity("add", 1)
        pending = ctx.run_activity("add", 1, 2)
        other = await ctx.run_activity("old")
        return [other, await pending]

    story = Story(workflow)
    story.start()
    assert ids(story) == ["0", "1"]
    story.give(completed(0, 3))
    story.give(completed(1, 4))
    assert story.check().result == [4, 3]


def test_a_failed_activity_is_raised_where_it_is_awaited():
    async def workflow(ctx):
        try:
            await ctx.run_activity("old")
        except ActivityError as error:
            return error.type_name

    story = Story(workflow)
    story.start()
    story.give(failed(0))
    assert story.check().result == "ValueError"


def test_what_leaves_the_coroutine_fails_the_run():
    async def workflow(ctx):
        await ctx.sleep(1)
        raise LookupError("nowhere")

    story = Story(workflow)
    story.start()
    assert story.wait(1).error == "LookupError: nowhere"
    story.check()


def test_sys_exit_in_a_task_fails_the_run():
    async def leaves():
        sys.exit(1)

    async def workflow(ctx):
        await asyncio.create_task(leaves())

    assert Story(workflow).start().error == "SystemExit: 1"


def test_handles_are_waited_for_as_often_as_asked():
    async def workflow(ctx):
        handle, timer = ctx.start_activity("old"), ctx.timer(60)
        first = await ctx.wait(handle)
        return [first, await ctx.wait(handle), ctx.cancel(timer)]

    story = Story(workflow)
    story.start()
    story.give(completed(0, "x"))
    assert story.check().result == ["x", "x", True]


def test_wait_takes_handles_only():
    async def workflow(ctx):
        with pytest.raises(TypeError, match=r"wait\(\) got 7"):
            ctx.wait(7)

    Story(workflow).start()


# asyncio


def test_gather_keeps_the_order_of_its_arguments():
    async def workflow(ctx):
        return await asyncio.gather(*[ctx.run_activity("add", n, n) for n in range(3)])

    story = Story(workflow)
    story.start()
    for n in (2, 0, 1):
        story.give(completed(n, n * 10))
    assert story.check().result == [0, 10, 20]


def test_a_task_has_ids_of_its_own_so_that_others_may_change():
    def code(more):
        async def steps(ctx, n):
            for _ in range(1 + (more if n == 0 else 0)):
                await ctx.run_activity("add", n, 0)
            return await ctx.run_activity("old")

        async def workflow(ctx):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(steps(ctx, n)) for n in range(2)]
            return [task.result() for task in tasks]

        return workflow

    story = Story(code(0))
    story.start()
    assert ids(story) == ["0.0", "1.0"]
    story.give(completed("1.0"))
    assert ids(story) == ["0.0", "1.0", "1.1"]
    story.give(completed("0.0"))
    story.give(completed("0.1", "a"))
    story.give(completed("1.1", "b"))
    assert story.check().result == ["a", "b"]
    changed = Story(code(1))
    changed.start()
    changed.give(completed("1.0"))
    assert ids(changed) == ["0.0", "1.0", "1.1"]


def test_sleep_is_a_durable_timer():
    async def workflow(ctx):
        await asyncio.sleep(60)
        await ctx.sleep(timedelta(minutes=1))
        await asyncio.sleep(0)
        await asyncio.sleep(-1)
        return ctx.now().minute

    story = Story(workflow)
    story.start()
    assert story.decision.wake_at == story.time + timedelta(minutes=1)
    story.wait(60)
    story.wait(60)
    assert story.check().result == 2
    assert story.types.count("timer_fired") == 2


@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_a_time_limit_lets_the_activity_go_on(how):
    async def workflow(ctx):
        handle = ctx.start_activity("old")
        try:
            if how == "wait_for":
                return await asyncio.wait_for(ctx.wait(handle), 10)
            async with asyncio.timeout(10):
                return await ctx.wait(handle)
        except TimeoutError:
            return ["late", await ctx.wait(handle)]

    story = Story(workflow)
    story.start()
    story.wait(10)
    assert story.decision.wake_at is None
    story.give(completed(0, 1))
    assert story.check().result == ["late", 1]


@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_a_time_limit_that_was_kept_never_fires(how):
    async def workflow(ctx):
        if how == "wait_for":
            value = await asyncio.wait_for(ctx.run_activity("old"), 10)
        else:
            async with asyncio.timeout(10):
                value = await ctx.run_activity("old")
        return [value, await ctx.wait_signal("go")]

    story = Story(workflow)
    story.start()
    story.give(completed(ids(story)[0], 1))
    assert story.decision.wake_at is None
    story.wait(60)
    story.give(signal("go", 2))
    assert story.check().result == [1, 2]


def test_ids_behind_wait_for_are_those_of_the_task_that_calls_it_in_every_python():
    async def steps(ctx):
        await ctx.run_activity("old")
        return await ctx.run_activity("new")

    async def workflow(ctx):
        value = await asyncio.wait_for(steps(ctx), 10)
        return [value, await ctx.run_activity("old")]

    story = Story(workflow)
    story.start()
    story.give(completed(1))
    story.give(completed(2, "x"))
    story.give(completed(3, "y"))
    assert story.check().result == ["x", "y"]


def test_events_locks_queues_and_semaphores_work():
    async def workflow(ctx):
        ready, lock, box, room = asyncio.Event(), asyncio.Lock(), BOX(), asyncio.Semaphore(2)
        order = []

        async def works(n):
            await ready.wait()
            async with room:
                await ctx.run_activity("add", n, 0)
            async with lock:
                order.append(n)
                await box.put(n)

        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(works(n))
            await ctx.run_activity("old")
            ready.set()
            got = [await box.get() for _ in range(4)]
        return [order, got]

    story = Story(workflow)
    story.start()
    story.give(completed(4))
    assert ids(story) == ["4", "0.0", "1.0"]
    story.give(completed("1.0"))
    assert ids(story)[-1] == "2.0"
    story.give(completed("2.0"))
    story.give(completed("3.0"))
    story.give(completed("0.0"))
    assert story.check().result == [[1, 2, 3, 0]] * 2


def test_time_of_the_loop_is_that_of_the_run():
    async def workflow(ctx):
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(5)
        main = asyncio.current_task()
        return [before, loop.time(), main and main.get_name()]

    story = Story(workflow)
    story.start()
    story.wait(5.5)
    assert story.check().result == [0.0, 5.5, "workflow"]


def test_callbacks_run_in_turn_and_what_they_raise_fails_the_run():
    async def workflow(ctx):
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        loop.call_soon(seen.append, 1)
        timer = loop.call_later(5, seen.append, 2)
        loop.call_later(6, seen.append, 3).cancel()
        assert (timer.when(), timer.cancelled()) == (5.0, False)
        await asyncio.sleep(10)
        loop.call_soon(lambda: seen[7])
        await asyncio.sleep(0)

    story = Story(workflow)
    story.start()
    story.wait(5)
    assert story.wait(5).error == "IndexError: list index out of range"
    story.check()


def raises_not_in_workflow(match):
    return pytest.raises(NotInWorkflow, match=match)


@pytest.mark.parametrize(
    ("asks", "match"),
    [
        (lambda: asyncio.to_thread(print), "a thread .* activity"),
        (lambda: asyncio.get_running_loop().run_in_executor(None, print), "a thread"),
        (lambda: asyncio.open_connection("localhost", 80), "the network"),
        (lambda: asyncio.create_subprocess_exec("true"), "a process"),
        (lambda: asyncio.start_server(print, "localhost", 0), "create_server"),
        (lambda: asyncio.wait([asyncio.get_running_loop().create_future()]), r"asyncio.wait\(\) .* sets"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_word_about_what_to_do(asks, match):
    async def workflow(ctx):
        with raises_not_in_workflow(match):
            await asks()
        return "went on"

    story = Story(workflow)
    story.start()
    assert story.check().result == "went on"


def test_as_completed_takes_no_coroutines():
    async def steps():
        return 1

    async def workflow(ctx):
        with raises_not_in_workflow("as_completed"):
            for future in asyncio.as_completed([steps()]):
                await future
        handles = [ctx.run_activity("old"), ctx.run_activity("new")]
        return [await future for future in asyncio.as_completed(handles)]

    story = Story(workflow)
    story.start()
    gc.collect()  # of what was refused no coroutine is left that nobody has awaited
    story.give(completed(1, "second"))
    story.give(completed(0, "first"))
    assert story.check().result == ["second", "first"]


@pytest.mark.parametrize("name", ["stop", "run_forever", "add_signal_handler", "call_soon_threadsafe", "add_reader"])
def test_a_loop_lends_itself_to_nothing_else(name):
    async def workflow(ctx):
        with raises_not_in_workflow("activity"):
            getattr(asyncio.get_running_loop(), name)()

    assert Story(workflow).start().status is Status.COMPLETED


def test_sets_of_tasks_have_one_order_in_every_process():
    """A TaskGroup cancels its tasks in the order of a set."""

    async def cleans_up(ctx, n):
        try:
            await ctx.wait_signal("never")
        finally:
            await ctx.run_activity("add", n, 0)

    async def workflow(ctx):
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(cleans_up(ctx, n))
            await ctx.wait_signal("go")
            raise LookupError

    orders = []
    for _ in range(3):
        orders.append([object() for _ in range(997)])  # other addresses
        story = Story(workflow)
        story.start()
        story.give(signal("go"))
        orders[-1] = ids(story)
        story.check()
    assert orders[0] == orders[1] == orders[2]
    assert len(orders[0]) == 40


def test_tasks_that_nobody_has_waited_for_end_with_the_run_and_are_told_of():
    left: list[str] = []
    kept: list[asyncio.Task[None]] = []

    async def lingers(ctx):
        try:
            await ctx.run_activity("old")
        finally:
            left.append("unwound")
            await asyncio.sleep(1)

    async def fails():
        raise ValueError("unheard")

    async def workflow(ctx):
        kept.extend([asyncio.create_task(lingers(ctx)), asyncio.create_task(fails())])
        await ctx.run_activity("new")
        return "over"

    story = Story(workflow)
    story.start()
    decision = story.give(completed(2))
    assert story.result == "over"
    assert "2 of its branches" in decision.warnings[-1]
    assert left == ["unwound"]
    assert story.types.count("timer_started") == 0
    story.check()


def test_tasks_cannot_be_nested_for_ever():
    async def deeper(ctx):
        await asyncio.create_task(deeper(ctx))

    assert (Story(deeper).start().error or "").startswith(LimitExceeded.__name__)


# What ctx has of its own


def test_select_takes_what_the_history_has_first():
    async def workflow(ctx):
        handle = ctx.start_activity("old")
        first = await ctx.select(done=handle, answer=ctx.signal("answer"), timeout=60)
        return [*first, await ctx.wait(handle)]

    story = Story(workflow)
    story.start()
    assert "the first of done, answer" in (story.decision.waiting_for or "")
    story.give(signal("answer", 42))
    story.give(completed(0, "x"))
    assert story.check().result == ["answer", 42, "x"]


def test_wait_signal_and_wait_until_may_time_out():
    async def workflow(ctx):
        votes = []

        async def collects():
            while True:
                votes.append(await ctx.wait_signal("vote"))

        task = asyncio.create_task(collects())
        await ctx.wait_until(lambda: len(votes) == 2)
        task.cancel()
        told = []
        for wait in (ctx.wait_signal("never", timeout=5), ctx.wait_until(lambda: False, timeout=5)):
            with pytest.raises(WaitTimeout) as caught:
                await wait
            told.append(str(caught.value))
        return [votes, await ctx.wait_signal("vote"), told]

    story = Story(workflow)
    story.start()
    story.give(signal("vote", 1), signal("vote", 2))
    story.wait(5)
    story.give(signal("vote", 3))
    votes, last, told = story.check().result
    assert (votes, last) == ([1, 2], 3)  # the task that was canceled has taken nothing
    assert [text.startswith(("no signal 'never'", "the condition")) for text in told] == [True, True]


def test_a_signal_that_is_waited_for_no_more_is_for_the_next():
    async def workflow(ctx):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.wait_signal("x"), 5)
        return await ctx.wait_signal("x")

    story = Story(workflow)
    story.start()
    story.wait(5)
    story.give(signal("x", 1))
    assert story.check().result == 1


def test_ordinary_code_runs_beside_the_coroutine():
    def steps(ctx, a, *, b):
        first = ctx.run_activity("add", a, b)
        return ctx.gather(ctx.start_activity("old"), ctx.start_activity("new"))[0], first

    async def workflow(ctx):
        beside, own = await asyncio.gather(ctx.run_sync(steps, 1, b=2), ctx.run_activity("old"))
        return [*beside, own]

    story = Story(workflow)
    story.start()
    assert ids(story) == ["1", "0.0"]
    story.give(completed("0.0", 3))
    story.give(completed("0.2"), completed("1", "own"))
    story.give(completed("0.1", "beside"))
    assert story.check().result == ["beside", 3, "own"]


def test_ordinary_code_that_nobody_waits_for_any_more_is_canceled_and_clears_up():
    left = []

    def waits(ctx):
        try:
            ctx.wait_signal("x")
        except WorkflowCanceled as canceled:
            left.append(canceled.reason)
            ctx.run_activity("old")
            raise

    async def workflow(ctx):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.run_sync(waits), 5)
        return await ctx.wait_signal("x")

    story = Story(workflow)
    story.start()
    story.wait(5)
    assert left == ["nobody waits for it any more"]
    story.give(completed(ids(story)[0]))
    story.give(signal("x", 1))
    assert story.check().result == 1
    assert story.decision.warnings == []


def test_each_kind_of_code_has_the_ctx_that_is_its_own():
    async def workflow(ctx):
        with pytest.raises(DurableError, match="outside its workflow's own code"):
            await ctx.run_sync(lambda ordinary: ctx.run_activity("old"))
        with pytest.raises(AttributeError, match=r"in an async one use asyncio.gather"):
            ctx.gather()
        with pytest.raises(AttributeError, match=r"ctx has no 'gathre'"):
            ctx.gathre()
        return await ctx.run_sync(lambda ordinary: type(ordinary).__name__)

    story = Story(workflow)
    story.start()
    assert story.check().result == "WorkflowContext"


def test_values_are_the_same_on_every_replay():
    async def workflow(ctx):
        values = [ctx.random().random(), str(ctx.uuid4()), ctx.side_effect(lambda: 7), ctx.patched("p"), ctx.info.queue]
        ctx.deprecate_patch("q")
        values += [ctx.get_version("v", 2), ctx.is_replaying]
        await ctx.run_activity("old")
        return values[:-1]

    story = Story(workflow)
    story.start()
    story.evict()
    story.give(completed(1))
    fresh = Story(workflow)
    fresh.start()
    fresh.give(completed(1))
    assert story.check().result == fresh.result
    assert story.result[2:] == [7, True, "default", 2]


def test_a_run_may_go_on_as_a_new_one_from_within_a_task():
    async def goes_on(ctx):
        ctx.continue_as_new(n=1)

    async def workflow(ctx, n=0):
        await asyncio.create_task(goes_on(ctx))

    story = Story(workflow)
    assert story.start().status is Status.CONTINUED_AS_NEW
    story.check()


# Cancels


def test_a_graceful_cancel_is_a_cancelled_error_in_the_main_task_and_reaches_those_it_waits_for():
    heard = []

    async def steps(ctx, n):
        try:
            await ctx.wait_signal("never")
        except asyncio.CancelledError:
            heard.append(n)
            await ctx.run_activity("add", n, 0)
            raise

    async def workflow(ctx):
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(2):
                    group.create_task(steps(ctx, n))
        except asyncio.CancelledError as error:
            heard.append(str(error))
            await ctx.run_activity("old")
            raise

    story = Story(workflow)
    story.start()
    story.give(cancel("enough"))
    assert heard[:2] == [0, 1]
    story.give(completed("1.1"))
    story.give(completed("0.1"))
    decision = story.give(completed("2"))
    assert (decision.status, "enough" in heard) == (Status.CANCELED, True)
    assert decision.end == e.WorkflowCanceled(reason="enough")
    story.check()


@pytest.mark.parametrize("early", [True, False])
def test_a_cancel_that_is_caught_ends_the_run_canceled_all_the_same(early):
    async def workflow(ctx):
        try:
            await ctx.run_activity("old")
        except asyncio.CancelledError:
            await ctx.run_activity("new")
        return "made the best of it"

    story = Story(workflow)
    if early:
        story.start(cancel())
    else:
        story.start()
        story.give(cancel())
    story.give(completed(1))
    assert story.check().decision.status is Status.CANCELED


def test_a_task_that_cancels_itself_without_a_request_fails_the_run():
    async def workflow(ctx):
        raise asyncio.CancelledError("my own idea")

    assert Story(workflow).start().error == "CancelledError: my own idea"


@pytest.mark.parametrize("inside", ["main", "task"])
def test_a_shield_puts_a_cancel_off_to_its_end(inside):
    async def shielded(ctx):
        with ctx.shield():
            await ctx.run_activity("old")
            await ctx.run_activity("new")

    async def workflow(ctx):
        if inside == "main":
            await shielded(ctx)
        else:
            await asyncio.create_task(shielded(ctx))
        await ctx.wait_signal("never")

    story = Story(workflow)
    story.start()
    old, new = ("0", "1") if inside == "main" else ("0.0", "0.1")
    story.give(completed(old), cancel())
    assert story.decision.status is Status.RUNNING
    assert story.give(completed(new)).status is Status.CANCELED
    story.check()


def test_a_shield_of_asyncio_keeps_a_task_going():
    async def steps(ctx):
        return await ctx.run_activity("old")

    async def workflow(ctx):
        task = asyncio.create_task(steps(ctx))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await ctx.run_activity("add", await task, 1)
            raise

    story = Story(workflow)
    story.start()
    story.give(cancel())
    story.give(completed("0.0", 5))
    assert ids(story) == ["0.0", "1"]
    assert story.give(completed(1)).status is Status.CANCELED
    story.check()


def test_ordinary_code_clears_up_by_itself_before_the_cancel_goes_on():
    def saga(ctx):
        ctx.run_activity("old")
        try:
            ctx.wait_signal("never")
        except WorkflowCanceled as canceled:
            ctx.run_activity("add", canceled.reason, 0)
            raise

    async def workflow(ctx):
        try:
            await ctx.run_sync(saga)
        except asyncio.CancelledError:
            await ctx.run_activity("new")
            raise

    story = Story(workflow)
    story.start()
    story.give(completed("0.0"))
    story.give(cancel("enough"))
    assert ids(story) == ["0.0", "0.2"]
    story.give(completed("0.2"))
    assert ids(story)[-1] == "1"
    assert story.give(completed(1)).status is Status.CANCELED
    story.check()


# Leaving memory, and code that was changed


def test_an_evicted_run_is_unwound_and_what_it_does_on_the_way_has_no_effect():
    seen = []

    async def steps(ctx, n):
        try:
            await ctx.sleep(60)
        except Exception:  # noqa: BLE001 - what unwinds it is none of these
            seen.append("caught")
        finally:
            seen.append(n)
            for call in (lambda: ctx.run_activity("old"), lambda: asyncio.sleep(1)):
                try:
                    await call()
                except RunEvicted:
                    seen.append("evicted")

    async def workflow(ctx):
        async with asyncio.TaskGroup() as group:
            for n in range(2):
                group.create_task(steps(ctx, n))

    story = Story(workflow)
    story.start()
    length = len(story.history)
    story.run.close()
    gc.collect()
    assert seen == [1, "evicted", "evicted", 0, "evicted", "evicted"]
    assert len(story.history) == length
    story.check()


def test_code_that_will_not_be_unwound_is_given_up():
    async def workflow(ctx):
        while True:
            try:
                await ctx.sleep(60)
            except BaseException:  # noqa: BLE001 - that is what it is for
                await asyncio.get_running_loop().create_future()

    story = Story(workflow)
    story.start()
    story.run.close()


def test_changed_code_in_a_task_is_a_mismatch_that_says_where():
    def code(name):
        async def steps(ctx):
            await ctx.run_activity("new")
            return await ctx.run_activity(name)

        async def workflow(ctx):
            return await asyncio.gather(steps(ctx), ctx.run_activity("new"))

        return workflow

    story = Story(code("old"))
    story.start()
    story.give(completed("0"))
    story.give(completed("1.0"))
    with pytest.raises(NondeterminismError, match=r"activity 'old'.*test_async_workflows.py:\d+"):
        story.replayed(code("new"))
    assert asyncio._get_running_loop() is None
    story.check()


def test_a_plain_function_may_become_a_coroutine_under_open_runs():
    def plain(ctx):
        return [ctx.run_activity("old"), ctx.run_activity("new")]

    async def asynchronous(ctx):
        return [await ctx.run_activity("old"), await ctx.run_activity("new")]

    story = Story(plain)
    story.start()
    story.evict(asynchronous)
    story.give(completed(0, 1))
    story.give(completed(1, 2))
    assert story.result == [1, 2]


def test_two_runs_take_turns_in_one_thread():
    async def workflow(ctx, n):
        async with asyncio.timeout(60):
            first = await ctx.run_activity("add", n, n)
        return [first, id(asyncio.get_running_loop()) != 0]

    stories = [Story(workflow, n=n) for n in range(2)]
    for story in stories:
        story.start()
    for n, story in enumerate(stories):
        story.give(completed(1, n))
        assert story.check().result == [n, True]


def test_nothing_of_its_loop_is_to_be_seen_while_a_coroutine_waits():
    async def workflow(ctx):
        await ctx.run_activity("old")

    async def parked(ctx):
        await ctx.run_activity("new")

    story = Story(workflow)
    story.start()
    assert asyncio._get_running_loop() is None
    run = story.fresh(parked)
    with pytest.raises(NondeterminismError):
        run.replay(story.history)
    assert asyncio._get_running_loop() is None  # it stands in the middle of a task
    run.close()


def test_queries_look_at_what_coroutines_have_done():
    async def workflow(ctx):
        votes: list[object] = []
        ctx.on_query("votes", lambda: len(votes))
        while True:
            votes.append(await ctx.wait_signal("vote"))

    story = Story(workflow)
    story.start(signal("vote"), signal("vote"))
    assert story.run.only_looking(story.run.find_query("votes", [])) == 2


def test_async_generators_are_no_workflows():
    async def generates(ctx):
        yield 1

    with pytest.raises(ConfigurationError, match="generator function"):
        Registry().workflow_from(generates, name="generates")


def test_ordinary_code_registers_handlers_of_updates_that_tasks_see():
    async def workflow(ctx):
        total = 0

        def add(amount):
            nonlocal total
            total += amount
            return total

        await ctx.run_sync(lambda ordinary: ordinary.on_update("add", add))
        await ctx.wait_until(lambda: total >= 10)
        return total

    story = Story(workflow)
    story.start(e.WorkflowUpdateAccepted(name="add", update_id="x", input=encode({"amount": 4})))
    story.give(e.WorkflowUpdateAccepted(name="add", update_id="y", input=encode({"amount": 7})))
    assert story.check().result == 11


def update(name, update_id="x", **payload):
    return e.WorkflowUpdateAccepted(name=name, update_id=update_id, input=encode(payload))


async def account(ctx, until=10, then_waits=False):
    total, full = 0, asyncio.Event()
    later: list[asyncio.Task[int]] = []

    async def add(amount, *, slowly=False):
        nonlocal total
        if slowly:
            amount = await asyncio.create_task(asyncio.wait_for(ctx.run_activity("add", amount, 0), 60))
        total += amount
        if total >= until:
            full.set()
        return total

    def now(amount):
        """No coroutine, but in the loop all the same."""
        later.append(asyncio.create_task(add(amount)))
        return total

    async def fail():
        await asyncio.sleep(1)
        raise ValueError("no")

    def is_positive(amount, **rest):
        if amount <= 0:
            raise ValueError(f"{amount} is not positive")

    ctx.on_update("add", add, is_positive)
    ctx.on_update("now", now)
    ctx.on_update("fail", fail)
    await full.wait()
    if then_waits:
        await ctx.wait_until(ctx.all_handlers_finished)
    return total


def news_of(story, update_id="x"):
    news = story.decision.updates[update_id]
    return news.status.value, news.result if news.failure is None else news.failure["message"]


def test_coroutines_act_on_updates_and_take_turns():
    story = Story(account)
    story.start(update("add", amount=1))
    assert news_of(story) == ("COMPLETED", "1")
    story.give(update("add", "slow", amount=2, slowly=True), update("add", "quick", amount=3))
    assert news_of(story, "slow") == ("ACCEPTED", None)
    assert news_of(story, "quick") == ("COMPLETED", "4")
    story.give(update("fail", "bad"))
    assert ids(story) == ["u1.0"]
    story.evict()
    story.give(completed("u1.0", 2))
    assert news_of(story, "slow") == ("COMPLETED", "6")
    story.wait(1)
    assert news_of(story, "bad") == ("FAILED", "no")
    story.give(update("add", "none", amount=0))
    assert news_of(story, "none") == ("REJECTED", "0 is not positive")
    assert story.decision.events == []
    story.give(update("now", "last", amount=4))
    assert news_of(story, "last") == ("COMPLETED", "6")
    assert story.check().result == 10
    assert not [warning for step in story.steps for warning in step.decision.warnings]


def test_a_run_that_ends_leaves_its_coroutines_of_updates_unfinished_and_says_so_once():
    story = Story(account)
    story.start(update("add", amount=5, slowly=True), update("add", "y", amount=10))
    assert story.check().result == 10
    told = "\n".join(story.decision.warnings)
    assert told.count("1 of the updates that it had accepted were under way") == 1
    assert told.count("1 of its branches") == 1  # the task that the handler has made


def test_a_run_may_wait_for_its_coroutines_of_updates():
    story = Story(account, then_waits=True)
    story.start(update("add", amount=5, slowly=True), update("add", "y", amount=10))
    assert story.decision.end is None
    story.give(completed("u0.0", 5))
    assert news_of(story) == ("COMPLETED", "15")
    assert story.check().result == 15


def test_a_cancel_is_raised_in_the_main_task_and_updates_go_on_meanwhile():
    async def workflow(ctx):
        async def slowly():
            return await ctx.run_activity("new")

        ctx.on_update("slowly", slowly)
        try:
            await ctx.wait_signal("never")
        finally:
            await ctx.wait_until(ctx.all_handlers_finished)

    story = Story(workflow)
    story.start(update("slowly"))
    story.give(cancel())
    assert story.decision.end is None
    story.give(completed("u0.0", 7))
    assert news_of(story) == ("COMPLETED", "7")
    assert story.decision.status is Status.CANCELED
    story.check()


def test_a_coroutine_that_is_no_handler_is_refused():
    async def act(): ...

    async def workflow(ctx):
        with pytest.raises(TypeError, match="got an async function as validator; expected a plain one: a validator"):
            ctx.on_update("it", act, act)

        def ordinary(ctx):
            with pytest.raises(TypeError, match="got an async function as handler; expected a plain one"):
                ctx.on_update("it", act)

        await ctx.run_sync(ordinary)

    assert Story(workflow).start().status is Status.COMPLETED


def test_payloads_are_what_annotations_say():
    registry = Registry()

    @registry.activity
    async def next_year(day: date) -> date:
        return day.replace(year=day.year + 1)

    async def workflow(ctx, day: date) -> date:
        later = await ctx.run_activity(next_year, day)
        assert isinstance(later, date)
        other: date = await ctx.wait_signal("other", type=date)
        return max(later, other)

    story = Story(workflow, registry=registry, day="2026-01-31")
    story.start(signal("other", "2028-01-31"))
    story.give(completed(0, "2027-01-31"))
    assert story.check().result == "2028-01-31"


def test_what_others_read_is_set_and_published_in_coroutines_too():
    async def workflow(ctx):
        ctx.set_event("state", "begun")
        ctx.publish({"n": 1})
        await ctx.sleep(1)

    story = Story(workflow)
    story.start()
    assert len(story.types) == 4
    story.wait(1)
    assert story.check().result is None
