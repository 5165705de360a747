"""An event loop in a thread of its own, that says what it is at when it does not come back."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from durable_core import activity as activity_context
from durable_core.logs import complain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context
    from types import FrameType

    from durable_core.activity import CurrentActivity
    from durable_core.worker.threads import Threads

logger = logging.getLogger("durable.worker")

LAST_WORDS = 5.0  # seconds that tasks get, once canceled, when their loop ends
INNERMOST = 6  # frames that are told of


class EventLoop:
    """Runs coroutines for other threads. What they leave behind ends with them."""

    def __init__(
        self, threads: Threads, *, release: Callable[[], Awaitable[None]], release_thread: Callable[[], None]
    ) -> None:
        self._threads = threads
        self._release = release
        self._release_thread = release_thread
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._make_task)
        self._owners: WeakKeyDictionary[asyncio.Task[Any], CurrentActivity] = WeakKeyDictionary()
        self._is_closing = False
        self.thread_id = 0
        threads.start(self._work, "durable-async")

    # From any thread

    def call(self, fn: Callable[..., object], *args: Any) -> None:
        """Have *fn* called in the loop, unless that has ended."""
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(fn, *args)

    def close(self) -> None:
        """Cancel what is left, and end when that has ended."""
        self.call(self._stop)

    def owner(self) -> CurrentActivity | None:
        """The activity whose code runs now, or holds the loop."""
        task = asyncio.current_task(self._loop)
        return None if task is None else self._owners.get(task)

    def whereabouts(self) -> str:
        """The innermost frames of the loop's thread."""
        frame: FrameType | None = sys._current_frames().get(self.thread_id)
        if frame is None:
            return "nowhere"
        return "".join(traceback.format_list(traceback.extract_stack(frame)[-INNERMOST:]))

    # In the loop

    def _stop(self) -> None:
        """Once, and while it runs for ever: a stop that came later would end what is done at the end."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.stop()

    def start(self, work: Coroutine[Any, Any, Any], context: Context) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=context)

    def clear_up_after(self, owner: CurrentActivity) -> None:
        """Cancel the tasks that an activity has made and not waited for."""
        for task, activity in list(self._owners.items()):
            if activity is owner and not task.done():
                task.cancel()

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        context = options.get("context")
        owner = activity_context.find() if context is None else context.run(activity_context.find)
        if owner is not None:
            self._owners[task] = owner
        return task

    def _work(self) -> None:
        self.thread_id = self._threads.current()
        try:
            while not self._is_closing:
                try:
                    self._loop.run_forever()
                # sys.exit() in a task that an activity has made, or an interruption that came a moment too late
                except BaseException as error:  # noqa: BLE001 - the loop is not only that activity's
                    complain(logger, logging.WARNING, "the loop of async activities goes on after %s", error=error)
            self._end()
        finally:
            self._loop.close()
            self._release_thread()

    def _end(self) -> None:
        try:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS))
            self._loop.run_until_complete(self._finish())
        except BaseException as error:  # noqa: BLE001 - user code may raise here too
            complain(logger, logging.WARNING, "the loop of async activities ended badly: %s", error=error)

    async def _finish(self) -> None:
        await self._loop.shutdown_asyncgens()
        await self._release()
