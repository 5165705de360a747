"""The event loop of an `async def` workflow: asyncio as far as it can be replayed.

It runs on the greenlet of the run's main strand. What is ready runs first in, first out; when nothing is, the strand
waits for the next fact, as ordinary code does. Timers are durable ones, time is the run's own. The ids of calls come
from the task that makes them, and a task has its id from the one that made it; so a change inside one task disturbs no
other.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio import events, tasks
from collections import deque
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVarTuple

from durable_core import commands as c
from durable_core import events as e
from durable_core.asyncparts import (
    WAIT,
    FollowedFuture,
    NumberedFuture,
    NumberedTask,
    Rest,
    Ring,
    answer,
    maker,
    refuse_all_else,
    unwind,
)
from durable_core.branch import CallIds
from durable_core.canceling import cancel_part
from durable_core.engine import MAX_CALL_ID
from durable_core.errors import BranchCanceled, LimitExceeded, NotInWorkflow, RunEvicted, WorkflowCanceled
from durable_core.logs import complain
from durable_core.options import span_of
from durable_core.places import Place, suspended_at
from durable_core.scopes import Scope
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextvars import Context

    from durable_core.engine import Engine
    from durable_core.waits import BranchEnd, Future

Args = TypeVarTuple("Args")

SLEEP = Waiting("timer", "sleep")
IDLE = Waiting("condition", "asyncio")  # for what another task does, and none has anything to wait for


class WorkflowLoop(asyncio.AbstractEventLoop):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._branch = engine.branch
        self._ready: deque[asyncio.Handle] = deque()
        self._arrived: deque[Callable[[], object]] = deque()  # what is to be done about facts
        self._pending: dict[Ring, Waiting] = {}  # in the order in which they were asked for
        self._timers: dict[asyncio.TimerHandle, Ring] = {}
        self._tasks: dict[asyncio.Task[Any], CallIds] = {}  # alive, in the order in which they were made
        self._failed: list[asyncio.Task[Any]] = []
        self._updating: set[asyncio.Task[Any]] = set()  # tasks that act on updates
        self._numbers = count(1)
        self._main: asyncio.Task[Any] | None = None
        self._shields = 0  # blocks that the code is in
        self._shield = Scope(None)  # around them

    # For the run

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What *work* returns, or raises; a cancel of the run that it lets through becomes `WorkflowCanceled`."""
        self._branch.host = self
        events._set_running_loop(self)
        try:
            main = self._main = self._make_task(work, self._branch.ids, name="workflow")
            while True:
                self._drain(main)
                if main.done():
                    break
                self._rest()
        finally:
            events._set_running_loop(None)
        self._engine.lost_tasks = sum(self._is_lost(task) for task in (*self._tasks, *self._failed) if task is not main)
        try:
            return main.result()
        except asyncio.CancelledError:
            cancellation = self._engine.cancellation
            if cancellation.request is None or not cancellation.was_raised:
                raise
            info, reason = self._engine.info, cancellation.request.reason
            raise WorkflowCanceled(execution_id=info.execution_id, reason=reason) from None

    def _is_lost(self, task: asyncio.Task[Any]) -> bool:
        """Whether it did not end, or failed unheard. Updates are counted for themselves."""
        return task not in self._updating and (not task.done() or task._log_traceback)

    def close(self) -> None:
        """Unwind what is left, the youngest first; the strand is evicted."""
        for task in reversed([*self._tasks, *self._failed]):
            task._log_traceback = task._log_destroy_pending = False
            if not task.done():
                with self._running():
                    unwind(task)
        self._tasks.clear()
        self._ready.clear()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing of this loop is to be seen in the thread while others have it."""
        task = tasks.current_task(self)
        if task is not None:
            tasks._leave_task(self, task)
        events._set_running_loop(None)
        try:
            yield
        finally:
            events._set_running_loop(self)
            if task is not None:
                tasks._enter_task(self, task)

    def place(self) -> Place:
        """Where the code of the main task waits."""
        assert self._main is not None
        return suspended_at(self._main.get_coro())

    # For ctx

    def take_ids(self) -> None:
        """What is called next on the strand takes its ids from the task that runs."""
        self._branch.check_caller()
        self._branch.ids = self._ids()

    def result_of(self, future: Future, waiting: Waiting, value: Callable[[], Any]) -> asyncio.Future[Any]:
        """What *value* answers once *future* is done; at once if it is."""
        made = FollowedFuture(self, next(self._numbers), lambda: self._pending.pop(ring, None) or True)

        def arrive() -> None:
            if made.done():
                return
            try:
                made.set_result(value())
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the code that awaits this
                made.set_exception(error)

        ring = Ring(future, arrive, self._hear)
        if future.done_at:
            arrive()
        else:
            self._follow(ring, waiting)
        return made

    def beside(self, fn: Callable[[], Any], waiting: Waiting, *, hears_cancel: bool) -> asyncio.Future[Any]:
        """What ordinary code comes to, in a branch of its own. Whoever stops waiting for it has it unwound.

        With *hears_cancel* it is canceled instead, with the run or by itself, and comes to its end first.
        """
        self.take_ids()
        engine, call_id = self._engine, self._engine.next_call_id()
        branch = engine.spawn(call_id, fn)
        end: BranchEnd = engine.ends.pop(call_id)  # type: ignore[assignment]
        if not hears_cancel:
            branch.heard.add(engine.branches.run)

        def drop() -> bool:
            if not hears_cancel:
                self._pending.pop(ring, None)
                engine.branches.drop(branch)
            elif engine.cancellation.request is None:
                cancel_part(engine, end.scope, "nobody waits for it any more")
            return not hears_cancel

        made = FollowedFuture(self, next(self._numbers), drop)

        def arrive() -> None:
            if made.done():
                return
            if end.error is None:
                made.set_result(end.value)
            elif isinstance(end.error, BranchCanceled) or engine.cancellation.caused(end.error):
                made.end_canceled()
            else:
                made.set_exception(end.error)

        ring = Ring(end, arrive, self._hear)
        self._follow(ring, waiting)
        return made

    def sleep(self, span: timedelta) -> asyncio.Future[None]:
        def drop() -> bool:
            handle.cancel()
            return True

        def wake_up() -> None:
            if not made.done():
                made.set_result(None)

        made = FollowedFuture(self, next(self._numbers), drop)
        handle = self._start_timer(span, wake_up, (), None, SLEEP)
        return made

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A cancel of the run that arrives inside is raised at the end, in the main task. Blocks of tasks may overlap:
        it is held off until the last of them."""
        branch, cancellation = self._branch, self._engine.cancellation
        branch.check_caller()
        if not self._shields:
            self._shield = Scope(branch.scope, is_shield=True)
            branch.enter(self._shield)
        self._shields += 1
        try:
            yield
        finally:
            branch.check_caller()
            self._shields -= 1
            if not self._shields:
                branch.leave(self._shield)
            if cancellation.is_due(branch) and tasks.current_task(self) is self._main:
                raise asyncio.CancelledError(cancellation.hear(branch))

    def begin_update(self, fact: e.WorkflowUpdateAccepted, act: Callable[..., Any]) -> None:
        """Have a task act on it, when the strand goes on. Its calls are numbered below the update's own id."""

        def begin() -> None:
            ids = CallIds(fact.call_id)
            task = self._make_task(answer(self._engine, fact, act), ids, name=f"update {fact.name}")
            self._updating.add(task)

        self._arrived.append(begin)
        self._branch.be_ready()

    # The loop

    def _drain(self, main: asyncio.Task[Any]) -> None:
        while self._ready and not main.done():
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()
            if self._branch.evicted:
                raise RunEvicted

    def _rest(self) -> None:
        """Until something has happened that makes a task ready."""
        cancellation = self._engine.cancellation
        while not self._ready:
            if self._arrived:
                self._arrived.popleft()()
            elif cancellation.is_due(self._branch):
                assert self._main is not None
                self._main.cancel(msg=cancellation.hear(self._branch))
            else:
                self._branch.wait_for(
                    Rest(self._branch, (), 1, IDLE, self._engine.time, None, list(self._pending.values()))
                )

    def _follow(self, ring: Ring, waiting: Waiting) -> None:
        self._pending[ring] = waiting
        ring.future.waits += (ring,)

    def _hear(self, ring: Ring) -> None:
        if self._pending.pop(ring, None) is not None:
            self._arrived.append(ring.arrive)
            self._branch.be_ready()

    def _ids(self) -> CallIds:
        task = tasks.current_task(self)
        return self._branch.root_ids if task is None else self._tasks.get(task, self._branch.root_ids)

    @contextmanager
    def _running(self) -> Iterator[None]:
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    # asyncio's side

    def time(self) -> float:
        """Seconds since the run was made, by its own time."""
        return (self._engine.time - self._engine.info.created_at).total_seconds()

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        span = span_of(max(delay, 0), "a delay of asyncio")
        return self._start_timer(span, callback, args, context, Waiting("timer", "asyncio"))

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _start_timer(
        self, span: timedelta, callback: Any, args: tuple[Any, ...], context: Context | None, waiting: Waiting
    ) -> asyncio.TimerHandle:
        engine = self._engine
        self.take_ids()
        fire_at = engine.moment_in(span)
        fact = engine.issue(c.StartTimer(call_id=engine.next_call_id(), fire_at=fire_at))
        assert isinstance(fact, e.TimerStarted)
        handle = asyncio.TimerHandle(self.time() + span.total_seconds(), callback, args, self, context)
        timer = engine.timers.arm(fact.call_id, fact.fire_at)
        ring = self._timers[handle] = Ring(timer, lambda: self._ready.append(handle), self._hear)
        self._follow(ring, waiting)
        handle._scheduled = True  # type: ignore[attr-defined]  # so that it tells when it is canceled
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if (ring := self._timers.pop(handle, None)) is not None:
            self._engine.timers.disarm(ring.future.call_id)
            self._pending.pop(ring, None)

    def create_future(self) -> asyncio.Future[Any]:
        if sys._getframe(1).f_code is WAIT:
            raise NotInWorkflow(
                "asyncio.wait() goes by sets, whose order differs from process to process. Use asyncio.gather(), a "
                "TaskGroup, or await ctx.select(name=handle, ...) for the first of several."
            )
        return NumberedFuture(self, next(self._numbers))

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        made_by = maker()
        try:
            self.take_ids()
            if made_by == "as_completed":
                raise NotInWorkflow(
                    "asyncio.as_completed() makes tasks in the order of a set, which differs from process to process. "
                    "Make the tasks before, with asyncio.create_task(), or use asyncio.gather()."
                )
            ids = self._branch.ids
            if made_by != "wait_for":  # before Python 3.12 it makes a task, behind it does not: no id is to tell which
                ids = CallIds(ids.next())
            if len(ids.prefix) > MAX_CALL_ID:
                raise LimitExceeded(f"Tasks are nested too deep: one has an id of over {MAX_CALL_ID} characters.")
            return self._make_task(coro, ids, name=name or f"task {ids.prefix}", context=context, **options)
        except BaseException:
            coro.close()
            raise

    def _make_task(
        self, coro: Any, ids: CallIds, *, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        if context is not None:
            options["context"] = context
        task = NumberedTask(next(self._numbers), coro, loop=self, **options)
        self._tasks[task] = ids
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        self._updating.discard(task)
        if not task.cancelled() and task._log_traceback:
            self._failed.append(task)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None:
            raise error  # a callback is code of the workflow like any other
        if error is not None and not self._engine.is_silent:
            complain(logging.getLogger("durable.worker"), logging.WARNING, "nobody has asked for %s", error=error)


refuse_all_else(WorkflowLoop)
