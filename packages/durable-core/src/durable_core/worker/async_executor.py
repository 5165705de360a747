"""Runs attempts of `async def` activities as tasks of one event loop.

Nothing here is stopped by force as long as the loop turns: a task that must stop is canceled. Code that blocks the loop
blocks all of them. It is told of, and interrupted as a thread is when its own time is over; if that does not help, the
loop is given up with its thread, and those beside it begin again in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from durable_core import activity as activity_context
from durable_core.activity import CurrentActivity
from durable_core.errors import ActivityInterrupted, CompleteLater
from durable_core.failures import invented
from durable_core.hooks import ActivityCall
from durable_core.worker.attempt import Attempt, Ending
from durable_core.worker.bridging import bridged, wait_for
from durable_core.worker.eventloop import EventLoop
from durable_core.worker.executor import STOP_GRACE, ActivityExecutor
from durable_core.worker.publishing import NOWHERE, WithoutWaiting
from durable_core.worker.settings import nothing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable_core.definitions import ActivityDefinition
    from durable_core.ports import TaskRecord

logger = logging.getLogger("durable.worker")

ASK_INTERVAL = 1.0  # seconds between two questions whether the loop turns
BLOCKED_AFTER = 3.0  # seconds without an answer


class AsyncExecutor(ActivityExecutor):
    def __init__(
        self,
        *,
        around_async: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        release_async: Callable[[], Awaitable[None]] = nothing,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._around_async = around_async
        self._release_async = release_async
        self._loop: EventLoop | None = None
        self._waiting: deque[Attempt] = deque()  # only used in the loop, like the next
        self._running: dict[Attempt, asyncio.Task[Ending]] = {}
        self._asked_at = -ASK_INTERVAL  # monotonic seconds
        self._is_answered = True
        self._is_told = False  # of the present blockage
        self._forced_at: float | None = None  # monotonic seconds; when the loop's thread was interrupted

    # The worker's side

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def replace_stuck_threads(self) -> None:
        super().replace_stuck_threads()
        if self._loop is not None and (self._held or self._stopping or not self._is_answered):
            self._look_after(self._loop)

    def _hand_over(self, attempt: Attempt) -> None:
        if self._loop is None:
            self._loop = EventLoop(self._threads, release=self._release_async, release_thread=self._release_thread)
            self._waiting, self._running = deque(), {}
        attempt.loop = self._loop
        self._loop.call(self._take_in, self._loop, attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        assert attempt.loop is not None
        attempt.loop.call(self._cancel, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        assert attempt.loop is not None
        attempt.loop.call(self._leave, attempt)
        logger.warning(
            "activity %s did not stop when canceled; another has its slot",
            attempt.task.activity_name,
            extra={"execution_id": str(attempt.task.run_id), "activity": attempt.task.activity_name},
        )

    def _staff(self) -> None:
        """One thread does it all."""

    # A loop that does not turn

    def _look_after(self, loop: EventLoop) -> None:
        now = self._clock.monotonic()
        if self._is_answered:
            if now - self._asked_at >= ASK_INTERVAL:
                self._asked_at, self._is_answered, self._is_told, self._forced_at = now, False, False, None
                loop.call(self._answer)
        elif now - self._asked_at >= BLOCKED_AFTER:
            if not self._is_told:
                self._is_told = True
                self._tell(loop, now - self._asked_at)
            self._force(loop, now)

    def _answer(self) -> None:
        self._is_answered = True

    def _tell(self, loop: EventLoop, seconds: float) -> None:
        owner = loop.owner()
        who = "something" if owner is None else f"activity {owner.name}"
        extra = {} if owner is None else {"execution_id": str(owner.execution_id), "activity": owner.name}
        logger.warning(
            "%s has blocked the event loop of all async activities for %.0f s; use await there, or make it a plain "
            "def:\n%s",
            who,
            seconds,
            loop.whereabouts(),
            extra=extra,
        )

    def _force(self, loop: EventLoop, now: float) -> None:
        """Stop code that blocks the loop, if its own time is over; a cancel does not reach it."""
        owner = loop.owner()
        if self._forced_at is not None:
            if now - self._forced_at > STOP_GRACE:
                self._replace(loop)
        elif owner is not None and all(attempt.current is not owner for attempt in self._held):
            self._forced_at = now
            self._threads.interrupt(loop.thread_id, ActivityInterrupted)

    def _replace(self, loop: EventLoop) -> None:
        logger.warning("the event loop of async activities is stuck; its thread is given up")
        self.lost_threads += 1
        self._loop, self._is_answered = None, True
        loop.close()
        for attempt in list(self._held):
            with attempt.lock:
                has_begun = attempt.begun is not None
                attempt.interrupted = self._clock.monotonic() if has_begun else None
            if has_begun:
                what = "another activity blocked the event loop that it ran in"
                self._endings.append(Ending(attempt, None, invented("ActivityInterrupted", what)))
            else:
                self._hand_over(attempt)
        self._stopping.clear()
        self._wake()

    # In the loop

    def _take_in(self, loop: EventLoop, attempt: Attempt) -> None:
        self._waiting.append(attempt)
        self._admit(loop)

    def _admit(self, loop: EventLoop) -> None:
        while self._waiting and len(self._running) < self.slots and loop is self._loop:
            self._start(loop, self._waiting.popleft())

    def _start(self, loop: EventLoop, attempt: Attempt) -> None:
        with attempt.lock:
            if attempt.interrupted is not None or attempt.loop is not loop:
                return
            attempt.on_cancel = partial(loop.call, self._cancel, attempt)
            attempt.begun = began = self._clock.monotonic()
        context = copy_context()
        context.run(activity_context.enter, attempt.current)
        task = self._running[attempt] = loop.start(self._perform_async(attempt), context)
        task.add_done_callback(partial(self._ended, loop, attempt, began))

    def _cancel(self, attempt: Attempt) -> None:
        if (task := self._running.get(attempt)) is not None:
            task.cancel()

    def _leave(self, attempt: Attempt) -> None:
        """Its slot is for others, whatever becomes of it."""
        assert attempt.loop is not None
        self._running.pop(attempt, None)
        self._admit(attempt.loop)

    def _ended(self, loop: EventLoop, attempt: Attempt, began: float, task: asyncio.Task[Ending]) -> None:
        with attempt.lock:
            attempt.done = True
        try:
            ending = task.result()
        except BaseException as error:  # noqa: BLE001 - canceled before its first step, or interrupted behind its last
            ending = self._failed(attempt, error)
        ending.seconds = self._clock.monotonic() - began
        self._endings.append(ending)
        loop.clear_up_after(attempt.current)
        self._leave(attempt)
        self._wake()

    def _current_of(self, task: TaskRecord, definition: ActivityDefinition) -> CurrentActivity:
        outlet = NOWHERE if self._publisher is None else WithoutWaiting(self._publisher)
        return CurrentActivity(task, self._payload_limit, outlet, self._completions, is_async=True)

    async def _perform_async(self, attempt: Attempt) -> Ending:
        ending = await self._call_async(attempt)
        if self._publisher is not None and not attempt.current.unpublished.is_empty:
            await self._publisher.afinish(attempt.current.unpublished, is_wanted=lambda: attempt.interrupted is None)
        return ending

    async def _call_async(self, attempt: Attempt) -> Ending:
        try:
            async with self._around_async():
                value = await self._value_of_async(attempt)
            return Ending(attempt, self._encoded(attempt, value))
        except CompleteLater:
            return await self._left_to_others_beside(attempt)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in an activity is a failed attempt like any other
            return self._failed(attempt, error)

    async def _left_to_others_beside(self, attempt: Attempt) -> Ending:
        """Whether the store has let go of the attempt must be known, also when it is canceled meanwhile."""
        if self._completions is None:
            return self._left_to_others(attempt)
        leaving = asyncio.create_task(self._completions.aside(partial(self._left_to_others, attempt)))
        while not leaving.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(leaving)
        return leaving.result()

    async def _value_of_async(self, attempt: Attempt) -> Any:
        args, kwargs = self._arguments_of(attempt)
        fn = attempt.definition.fn
        if not self._hooks.wraps_activities:
            return await fn(*args, **kwargs)
        call = ActivityCall(attempt.current, args, kwargs, lambda: wait_for(fn(*args, **kwargs)))
        return await bridged(partial(self._hooks.call_activity, call))

    def _failed(self, attempt: Attempt, error: BaseException) -> Ending:
        if isinstance(error, asyncio.CancelledError) and attempt.current.canceled:
            told = attempt.current.cancellation()
            told.__cause__ = error
            error = told
        return super()._failed(attempt, error)
