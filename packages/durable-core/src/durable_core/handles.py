"""What code holds of something it has started, and what the fact that ended it means to the code."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Generic, assert_never

from durable_core import events as e
from durable_core.codec import decode
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    ChildCanceled,
    CodeFailed,
    PayloadError,
    TaskCanceled,
    TimerCanceled,
    WaitTimeout,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.failures import summary
from durable_core.functions import R_co
from durable_core.subscripts import subscriptable
from durable_core.waits import BranchEnd, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.engine import Engine
    from durable_core.typed import Typed
    from durable_core.waits import Future


QUESTION_SHOWN = 100  # characters of it in `waiting_for`


@subscriptable
@dataclass(frozen=True, slots=True)
class ActivityHandle(Generic[R_co]):
    """An activity that was started; `ctx.wait_activity` gets its result, as often as asked."""

    call_id: str
    activity_name: str
    typed: Typed | None = field(default=None, repr=False, compare=False)  # None: results need no conversion


@subscriptable
@dataclass(frozen=True, slots=True)
class ChildHandle(Generic[R_co]):
    """A child workflow that was started; `ctx.wait_workflow` gets its result, as often as asked."""

    call_id: str
    workflow_name: str
    id: UUID
    typed: Typed | None = field(default=None, repr=False, compare=False)  # as above

    def __str__(self) -> str:
        return str(self.id)


@subscriptable
@dataclass(frozen=True, slots=True)
class BranchHandle(Generic[R_co]):
    """A branch of the code that was spawned."""

    call_id: str
    name: str  # of its function


@dataclass(frozen=True, slots=True)
class TimerHandle:
    """A timer that was started; `ctx.cancel` stops it."""

    call_id: str
    fire_at: datetime  # aware, UTC


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """A question to a person that was asked; `ctx.cancel` withdraws it."""

    call_id: str
    question: str
    id: UUID  # by which it is answered
    expires_at: datetime | None  # aware, UTC

    def __str__(self) -> str:
        return str(self.id)


@dataclass(frozen=True, slots=True)
class SignalToCome:
    """In `ctx.select`: the oldest signal of this name that nobody has read, or the next one."""

    name: str
    type: Any = None  # annotation of its payload


Handle = ActivityHandle | ChildHandle | BranchHandle | TimerHandle | TaskHandle
HANDLES = (ActivityHandle, ChildHandle, BranchHandle, TimerHandle, TaskHandle)
A_HANDLE = "a handle: what start_activity(), start_workflow(), start_ask(), spawn() or timer() returned"


def waiting_for(handle: Handle) -> Waiting:
    match handle:
        case ActivityHandle():
            return Waiting("activity", handle.activity_name)
        case ChildHandle():
            return Waiting("child", handle.workflow_name)
        case BranchHandle():
            return Waiting("branch", handle.name)
        case TimerHandle():
            return Waiting("timer", "timer")
        case TaskHandle():
            return Waiting("task", shorten(handle.question, QUESTION_SHOWN, placeholder="…"))
        case _:
            assert_never(handle)


def result_of(engine: Engine, handle: Handle, end: Future) -> Any:
    """What it came to, now that *end* is done; raises as it failed. What was stored comes as a fresh copy."""
    match handle:
        case ActivityHandle():
            return _result_of_activity(engine, handle, end.fact)
        case ChildHandle():
            return _result_of_child(engine, handle, end.fact)
        case BranchHandle():
            return _result_of_branch(end)
        case TimerHandle():
            return _result_of_timer(handle, end.fact)
        case TaskHandle():
            return _result_of_task(handle, end.fact)
        case _:
            assert_never(handle)


def _result_of_activity(engine: Engine, handle: ActivityHandle, end: e.HistoryEvent | None) -> Any:
    name = handle.activity_name
    match end:
        case e.ActivityCompleted():
            return _loaded(engine, handle.typed, end.result)
        case e.ActivityTimedOut():
            raise ActivityTimeout(name, kind=end.kind, **_parts(end.failure))
        case e.ActivityFailed():
            raise ActivityError(name, **_parts(end.failure))
        case e.LocalActivityCompleted():
            return _loaded(engine, handle.typed, end.result)
        case e.LocalActivityFailed(kind=str() as kind):
            raise ActivityTimeout(name, kind=kind, **_parts(end.failure))
        case e.LocalActivityFailed():
            raise ActivityError(name, **_parts(end.failure))
        case e.ActivityCanceled():
            raise ActivityCanceled(name, type_name="ActivityCanceled", message=end.reason)
        case _:
            raise AssertionError(f"{end} is no outcome of an activity")


def _result_of_child(engine: Engine, handle: ChildHandle, end: e.HistoryEvent | None) -> Any:
    label = f"child workflow {handle.workflow_name!r}"
    match end:
        case e.ChildWorkflowCompleted():
            return _loaded(engine, handle.typed, end.result)
        case e.ChildWorkflowFailed():
            raise WorkflowFailed(
                f"{label} failed: {summary(end.failure)}",
                execution_id=handle.id,
                type_name=end.failure["type"],
                failure=end.failure,
            )
        case e.ChildWorkflowCanceled():
            raise ChildCanceled(f"{label} was canceled", execution_id=handle.id, reason=end.reason)
        case e.ChildWorkflowTimedOut():
            raise WorkflowTimeout(f"{label} timed out", execution_id=handle.id)
        case _:
            raise AssertionError(f"{end} is no end of a child")


def _loaded(engine: Engine, typed: Typed | None, result: Payload) -> Any:
    value = decode(result)
    if typed is None:
        return value
    try:
        return typed.load_result(value)
    except PayloadError as misfit:
        # It was checked where it was made: the annotation has changed since, and may be put right.
        engine.park(CodeFailed(f"{misfit} It was written by other code; give the annotation that fits what is stored."))


def _result_of_branch(end: Future) -> Any:
    assert isinstance(end, BranchEnd)
    end.was_asked = True
    if end.error is not None:
        raise end.error
    return end.value


def _result_of_timer(handle: TimerHandle, end: e.HistoryEvent | None) -> None:
    if isinstance(end, e.TimerCanceled):
        raise TimerCanceled(f"the timer of {handle.fire_at.isoformat()} was canceled")


def _result_of_task(handle: TaskHandle, end: e.HistoryEvent | None) -> Any:
    what = waiting_for(handle).what
    match end:
        case e.TaskAnswered():
            return decode(end.answer)
        case e.TaskExpired():
            assert handle.expires_at is not None
            raise WaitTimeout(f"nobody has answered {what!r} until {handle.expires_at.isoformat()}")
        case e.TaskCanceled():
            raise TaskCanceled(f"task {what!r} was canceled", reason=end.reason)
        case _:
            raise AssertionError(f"{end} is no end of a human task")


def _parts(failure: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type_name": failure.get("type", ""),
        "message": failure.get("message", ""),
        "attempt": failure.get("attempt", 0),
        "base_type_names": failure.get("bases", ()),
        "traceback": failure.get("traceback", ""),
        "cause": failure.get("cause"),
    }
