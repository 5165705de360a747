"""What code holds of something it has started, and what the fact that ended it means to the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from durable_core import events as e
from durable_core.codec import decode
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    ChildCanceled,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.failures import summary
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class ActivityHandle:
    """An activity that was started; `ctx.wait_activity` gets its result, as often as asked."""

    call_id: str
    activity_name: str


@dataclass(frozen=True, slots=True)
class ChildHandle:
    """A child workflow that was started; `ctx.wait_workflow` gets its result, as often as asked."""

    call_id: str
    workflow_name: str
    id: UUID

    def __str__(self) -> str:
        return str(self.id)


Handle = ActivityHandle | ChildHandle


def waiting_for(handle: Handle) -> Waiting:
    match handle:
        case ActivityHandle():
            return Waiting("activity", handle.activity_name)
        case ChildHandle():
            return Waiting("child", handle.workflow_name)
        case _:
            assert_never(handle)


def result_of(handle: Handle, end: e.HistoryEvent) -> Any:
    """What it returned, a fresh copy; raises as it failed."""
    match handle:
        case ActivityHandle():
            return _result_of_activity(handle, end)
        case ChildHandle():
            return _result_of_child(handle, end)
        case _:
            assert_never(handle)


def _result_of_activity(handle: ActivityHandle, end: e.HistoryEvent) -> Any:
    name = handle.activity_name
    match end:
        case e.ActivityCompleted():
            return decode(end.result)
        case e.ActivityTimedOut():
            raise ActivityTimeout(name, kind=end.kind, **_parts(end.failure))
        case e.ActivityFailed():
            raise ActivityError(name, **_parts(end.failure))
        case e.ActivityCanceled():
            raise ActivityCanceled(name, type_name="ActivityCanceled", message=end.reason)
        case _:
            raise AssertionError(f"{end} is no outcome of an activity")


def _result_of_child(handle: ChildHandle, end: e.HistoryEvent) -> Any:
    label = f"child workflow {handle.workflow_name!r}"
    match end:
        case e.ChildWorkflowCompleted():
            return decode(end.result)
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


def _parts(failure: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type_name": failure.get("type", ""),
        "message": failure.get("message", ""),
        "attempt": failure.get("attempt", 0),
        "base_type_names": failure.get("bases", ()),
        "traceback": failure.get("traceback", ""),
        "cause": failure.get("cause"),
    }
