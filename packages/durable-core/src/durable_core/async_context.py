"""`AsyncWorkflowContext`: the ctx of `async def` workflows.

What starts something does so at the call, as in ordinary workflows; what waits returns something to await. Whatever has
no form of its own here is ordinary workflow code: `run_sync` runs that beside the coroutine, in a branch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, overload

from durable_core.asyncloop import WorkflowLoop
from durable_core.context import WorkflowContext
from durable_core.functions import P, R
from durable_core.handles import (
    A_HANDLE,
    HANDLES,
    ActivityHandle,
    ChildHandle,
    SignalToCome,
    TaskHandle,
    TimerHandle,
    result_of,
    waiting_for,
)
from durable_core.options import DEFAULT_STREAM, span_of
from durable_core.waits import Waiting

if TYPE_CHECKING:
    import uuid
    from asyncio import Future
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from durable_core.engine import Engine, WorkflowInfo
    from durable_core.functions import KnownActivity, KnownWorkflow
    from durable_core.handles import Handle
    from durable_core.logs import ReplaySafeLogger
    from durable_core.options import Duration


def run(engine: Engine, fn: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    """What the coroutine of a workflow comes to; called on the run's main strand."""
    loop = WorkflowLoop(engine)  # type: ignore[abstract]  # what it lacks it refuses
    return loop.run(fn(AsyncWorkflowContext(engine, loop), **kwargs))


class AsyncWorkflowContext:
    """What the code of an `async def` workflow may do beside asyncio. Every value is the same on every replay."""

    def __init__(self, engine: Engine, loop: WorkflowLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._ordinary = WorkflowContext(engine)

    @property
    def _ctx(self) -> WorkflowContext:
        """For calls of the task that runs."""
        self._loop.take_ids()
        return self._ordinary

    @property
    def info(self) -> WorkflowInfo:
        """Ids, queue and deadline of this run."""
        return self._ordinary.info

    @property
    def logger(self) -> ReplaySafeLogger:
        """Logs to ``durable.workflow.<name>``; silent while the code is replayed."""
        return self._ordinary.logger

    @property
    def is_replaying(self) -> bool:
        """Whether the code is being brought back to where it was. For logging, never for decisions."""
        return self._ordinary.is_replaying

    # Values that are the same on every replay

    def now(self) -> datetime:
        """The logged time of the current step: aware, UTC, never going back."""
        return self._ordinary.now()

    def random(self) -> Random:
        """The run's own generator, seeded by its id. Not for secrets."""
        return self._ctx.random()

    def uuid4(self) -> uuid.UUID:
        """A random UUID from `random()`."""
        return self._ctx.uuid4()

    def side_effect(self, fn: Callable[[], R]) -> R:
        """What *fn*, an ordinary function, returned when the code came here first; see `WorkflowContext`."""
        value: R = self._ctx.side_effect(fn)
        return value

    # Activities

    @overload
    def run_activity(self, activity: KnownActivity[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def run_activity(self, activity: str, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
    def run_activity(self, activity: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start an activity, now; await its result. If nobody waits for it any more, it goes on."""
        return self.wait(self._ctx.start_activity(activity, *args, **kwargs))

    @overload
    def start_activity(
        self, activity: KnownActivity[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> ActivityHandle[R]: ...
    @overload
    def start_activity(self, activity: str, /, *args: Any, **kwargs: Any) -> ActivityHandle[Any]: ...
    def start_activity(self, activity: Any, /, *args: Any, **kwargs: Any) -> ActivityHandle[Any]:
        """Start an activity and go on; `wait` gets its result, `cancel` ends it."""
        return self._ctx.start_activity(activity, *args, **kwargs)

    # Children

    @overload
    def run_workflow(self, workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def run_workflow(
        self, workflow: KnownWorkflow[..., R], /, *, timeout: Duration | None, **kwargs: Any
    ) -> Future[R]: ...
    @overload
    def run_workflow(self, workflow: str, /, **kwargs: Any) -> Future[Any]: ...
    def run_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a child workflow, now; await its result. If nobody waits for it any more, it goes on."""
        return self.wait(self._ctx.start_workflow(workflow, *args, **kwargs))

    @overload
    def start_workflow(self, workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> ChildHandle[R]: ...
    @overload
    def start_workflow(
        self, workflow: KnownWorkflow[..., R], /, *, timeout: Duration | None, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    def start_workflow(self, workflow: str, /, **kwargs: Any) -> ChildHandle[Any]: ...
    def start_workflow(self, workflow: Any, /, *args: Any, **kwargs: Any) -> ChildHandle[Any]:
        """Start a child workflow and go on; `wait` gets its result, `cancel` ends it."""
        return self._ctx.start_workflow(workflow, *args, **kwargs)

    # Waits

    @overload
    def wait(self, handle: ActivityHandle[R] | ChildHandle[R]) -> Future[R]: ...
    @overload
    def wait(self, handle: TimerHandle) -> Future[None]: ...
    def wait(self, handle: Handle) -> Future[Any]:
        """Await the result of anything that was started. For a time limit: ``asyncio.timeout()``."""
        self._loop.take_ids()
        if not isinstance(handle, HANDLES):
            raise TypeError(f"wait() got {handle!r}; expected {A_HANDLE}.")
        end = self._engine.end_of(handle.call_id)
        return self._loop.result_of(end, waiting_for(handle), lambda: result_of(self._engine, handle, end))

    def sleep(self, duration: Duration) -> Future[None]:
        """As `asyncio.sleep`; takes a timedelta too."""
        self._loop.take_ids()
        return self._loop.sleep(span_of(duration, "ctx.sleep()"))

    def timer(self, duration: Duration) -> TimerHandle:
        """Start a timer and go on; for `select` and `wait`."""
        return self._ctx.timer(duration)

    @overload
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: type[R]) -> Future[R]: ...
    @overload
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: Any = None) -> Future[Any]: ...
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: Any = None) -> Future[Any]:
        """Await the payload of the oldest signal *name* that was not consumed yet; `WaitTimeout` after *timeout*.

        *type* is what an annotation would be, as in `WorkflowContext`.
        """
        ctx = self._ordinary
        return self._beside(lambda: ctx.wait_signal(name, timeout=timeout, type=type), Waiting("signal", str(name)))

    def wait_until(self, predicate: Callable[[], bool], *, timeout: Duration | None = None) -> Future[None]:
        """Await that *predicate* holds: it looks at variables that other tasks set, and has no ctx."""
        ctx, name = self._ordinary, getattr(predicate, "__name__", "condition")
        return self._beside(lambda: ctx.wait_until(predicate, timeout=timeout), Waiting("condition", name))

    def signal(self, name: str, *, type: Any = None) -> SignalToCome:
        """For `select`: the oldest signal *name* that was not consumed yet, or the next one."""
        return self._ordinary.signal(name, type=type)

    def select(self, *, timeout: Duration | None = None, **waitables: Handle | SignalToCome) -> Future[tuple[str, Any]]:
        """Await the name and the result of whichever the history has first; see `WorkflowContext`."""
        ctx = self._ordinary
        told = Waiting("several", f"the first of {', '.join(waitables)}")
        return self._beside(lambda: ctx.select(timeout=timeout, **waitables), told)

    def run_sync(
        self, fn: Callable[Concatenate[WorkflowContext, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """Await what ordinary workflow code returns, or raises: ``fn(ctx, *args, **kwargs)``, with the ordinary ctx.

        It runs in a branch, beside this coroutine. When the run or this wait is canceled it is canceled as a branch is,
        and comes to its end first, so that it may clear up.
        """
        ctx, name = self._ordinary, getattr(fn, "__name__", type(fn).__name__)
        return self._beside(lambda: fn(ctx, *args, **kwargs), Waiting("branch", name), hears_cancel=True)

    def _beside(self, fn: Callable[[], R], waiting: Waiting, *, hears_cancel: bool = False) -> Future[R]:
        return self._loop.beside(fn, waiting, hears_cancel=hears_cancel)

    # People

    def ask(
        self,
        question: str,
        *,
        form: Any = None,
        assignee: str | None = None,
        permission: str | None = None,
        timeout: Duration | None = None,
    ) -> Future[Any]:
        """Await what a person answers; see `WorkflowContext`. Nobody is asked any more if nobody waits any more."""
        ctx = self._ordinary
        ask = partial(ctx.ask, question, form=form, assignee=assignee, permission=permission, timeout=timeout)
        return self._beside(ask, Waiting("task", str(question)))

    def start_ask(
        self,
        question: str,
        *,
        form: Any = None,
        assignee: str | None = None,
        permission: str | None = None,
        timeout: Duration | None = None,
    ) -> TaskHandle:
        """Ask a person and go on; `wait` gets the answer, `cancel` withdraws the question; see `WorkflowContext`."""
        return self._ctx.start_ask(question, form=form, assignee=assignee, permission=permission, timeout=timeout)

    # The end, questions from outside, and what others read

    def continue_as_new(self, **kwargs: Any) -> NoReturn:
        """End this run here, and go on in a new one with these keywords as its input; see `WorkflowContext`."""
        self._ctx.continue_as_new(**kwargs)

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        """Let *handler*, an ordinary function, answer the query *name*; see `WorkflowContext`."""
        self._ctx.on_query(name, handler)

    def on_update(self, name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None) -> None:
        """Let *handler*, a function or a coroutine function, act on the update *name*, and answer it with its result.

        It runs in a task of its own, and may await what the workflow may. *validator*, an ordinary function, may raise
        to reject it; see `WorkflowContext`.
        """
        self._loop.take_ids()
        self._engine.updates.register(name, handler, validator, self._loop.begin_update)

    def all_handlers_finished(self) -> bool:
        """Whether no accepted update is under way: ``await ctx.wait_until(ctx.all_handlers_finished)``."""
        return self._ordinary.all_handlers_finished()

    def set_event(self, key: str, value: Any) -> None:
        """Let others read *value* under *key* with `get_event()`, from this step on, until it is set anew."""
        self._ctx.set_event(key, value)

    def publish(self, item: Any, *, stream: str = DEFAULT_STREAM) -> None:
        """Append *item* to a stream of this run, which others read with `read_stream()`."""
        self._ctx.publish(item, stream=stream)

    # Changing code under running workflows

    def patched(self, change_id: str) -> bool:
        """True in runs that come here with this code first; False in runs that have passed this point without it."""
        return self._ctx.patched(change_id)

    def deprecate_patch(self, change_id: str) -> None:
        """Keep histories with the marker of *change_id* replayable after the old branch was deleted."""
        self._ctx.deprecate_patch(change_id)

    def get_version(self, change_id: str, version: int) -> int:
        """The version of *change_id* that this run goes by: *version* in new runs, the recorded one in others."""
        return self._ctx.get_version(change_id, version)

    # Cancellation

    def cancel(self, handle: Handle, reason: str = "") -> bool:
        """Say that something is not wanted any more; False: it was over already. See `WorkflowContext`."""
        return self._ctx.cancel(handle, reason)

    def shield(self) -> AbstractContextManager[None]:
        """A graceful cancel of the run that arrives inside the block is raised at its end. Of any task's block: the run
        waits for the last of them."""
        return self._loop.shield()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or not hasattr(WorkflowContext, name):
            raise AttributeError(f"ctx has no {name!r}.")
        instead = _INSTEAD.get(name, f"await ctx.run_sync(lambda ctx: ctx.{name}(...))")
        raise AttributeError(f"ctx.{name}() is for ordinary workflows; in an async one use {instead}.")


_INSTEAD = {
    "gather": "asyncio.gather(ctx.wait(handle), ...)",
    "spawn": "asyncio.create_task(), or ctx.run_sync() for an ordinary function",
    "wait_activity": "await ctx.wait(handle)",
    "wait_workflow": "await ctx.wait(handle)",
}
