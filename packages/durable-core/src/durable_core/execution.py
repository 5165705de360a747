"""Statuses, which may follow which, how an intention becomes a fact, and what an end means to others.

A run is PENDING until its first decision commits, RUNNING while it works or waits, BLOCKED while its code and its
history disagree (or its code kills workers), and closed in one of five ways. `TRANSITIONS` is the whole truth about
what decisions may do; `status.is_closed` is the only place where the closed ones are spelled. No decision opens a
closed run again: that takes a person, see `reopening`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from durable_core import commands as c
from durable_core import events as e
from durable_core.failures import summary


class Status(StrEnum):
    """Of a run."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    BLOCKED = "BLOCKED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TIMED_OUT = "TIMED_OUT"
    CONTINUED_AS_NEW = "CONTINUED_AS_NEW"

    @property
    def is_closed(self) -> bool:
        return self in _CLOSED


_CLOSED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED, Status.TIMED_OUT, Status.CONTINUED_AS_NEW})
# Of runs that a person may open again. CANCELED is a decision of somebody's, and COMPLETED needs no second try.
REOPENABLE = (Status.FAILED, Status.TIMED_OUT)
OPEN_STATUSES = tuple(status for status in Status if status not in _CLOSED)
CLOSED_STATUSES = tuple(status for status in Status if status in _CLOSED)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.BLOCKED}) | _CLOSED,
    Status.RUNNING: frozenset({Status.RUNNING, Status.BLOCKED}) | _CLOSED,
    Status.BLOCKED: frozenset({Status.RUNNING, Status.BLOCKED}) | _CLOSED,
    **{status: frozenset() for status in _CLOSED},
}


class TaskStatus(StrEnum):
    """Of an activity: QUEUED waits for a worker (retry backoff included), RUNNING has one."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELED = "CANCELED"

    @property
    def is_closed(self) -> bool:
        return self not in (TaskStatus.QUEUED, TaskStatus.RUNNING)


class HumanTaskStatus(StrEnum):
    """Of a question to a person. CANCELED by the code, or with the run."""

    OPEN = "OPEN"
    ANSWERED = "ANSWERED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


class MessageStatus(StrEnum):
    """Of a message that its sender gave an id: SENT waits for the run, or is a signal; ACCEPTED is an update's."""

    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"

    @property
    def is_final(self) -> bool:
        return self not in (MessageStatus.SENT, MessageStatus.ACCEPTED)


STATUS_AFTER: dict[type[e.Event], Status] = {
    e.WorkflowCompleted: Status.COMPLETED,
    e.WorkflowFailed: Status.FAILED,
    e.WorkflowCanceled: Status.CANCELED,
    e.WorkflowTimedOut: Status.TIMED_OUT,
    e.WorkflowContinuedAsNew: Status.CONTINUED_AS_NEW,
}


def error_of(end: e.HistoryEvent) -> str:
    """What `WorkflowExecution.error` says of a run that ended with this fact."""
    match end:
        case e.WorkflowFailed():
            return summary(end.failure)
        case e.WorkflowCanceled():
            return f"WorkflowCanceled: {end.reason}" if end.reason else "WorkflowCanceled"
        case e.WorkflowTimedOut():
            return f"WorkflowTimeout: not closed by {end.deadline.isoformat()}"
        case _:
            return ""


def child_end(call_id: str, end: e.HistoryEvent) -> e.HistoryEvent | None:
    """The fact for the parent that a child's terminal fact means; None: the child goes on, as a new run."""
    match end:
        case e.WorkflowCompleted():
            return e.ChildWorkflowCompleted(call_id=call_id, result=end.result)
        case e.WorkflowFailed():
            return e.ChildWorkflowFailed(call_id=call_id, failure=end.failure)
        case e.WorkflowCanceled():
            return e.ChildWorkflowCanceled(call_id=call_id, reason=end.reason)
        case e.WorkflowTimedOut():
            return e.ChildWorkflowTimedOut(call_id=call_id)
        case e.WorkflowContinuedAsNew():
            return None
        case _:
            raise AssertionError(f"{end} ends no run")


def record(command: c.Command) -> e.HistoryEvent:
    """The fact that a command becomes once it is committed."""
    match command:
        case c.ScheduleActivity():
            return e.ActivityScheduled(
                call_id=command.call_id,
                activity_name=command.activity_name,
                input=command.input,
                batch=command.batch,
            )
        case c.CancelActivity():
            return e.ActivityCancelRequested(call_id=command.call_id, reason=command.reason)
        case c.StartTimer():
            return e.TimerStarted(call_id=command.call_id, fire_at=command.fire_at, waits_for=command.waits_for)
        case c.CancelTimer():
            return e.TimerCanceled(call_id=command.call_id)
        case c.StartSignalWait():
            return e.SignalWaitStarted(call_id=command.call_id, name=command.name, fire_at=command.fire_at)
        case c.AskPerson():
            return e.TaskAsked(
                call_id=command.call_id,
                task_id=command.task_id,
                question=command.question,
                form=command.form,
                assignee=command.assignee,
                permission=command.permission,
                fire_at=command.fire_at,
            )
        case c.CancelTask():
            return e.TaskCancelRequested(call_id=command.call_id, reason=command.reason)
        case c.SendSignal():
            return e.ExternalSignalSent(
                call_id=command.call_id,
                target_id=command.target_id,
                workflow_id=command.workflow_id,
                name=command.name,
                payload=command.payload,
            )
        case c.SendCancel():
            return e.ExternalCancelSent(
                call_id=command.call_id,
                target_id=command.target_id,
                workflow_id=command.workflow_id,
                reason=command.reason,
                graceful=command.graceful,
            )
        case c.CompleteUpdate():
            return e.WorkflowUpdateCompleted(call_id=command.call_id, result=command.result)
        case c.FailUpdate():
            return e.WorkflowUpdateFailed(call_id=command.call_id, failure=command.failure)
        case c.StartChildWorkflow():
            return e.ChildWorkflowScheduled(
                call_id=command.call_id,
                workflow_name=command.workflow_name,
                child_id=command.child_id,
                input=command.input,
                batch=command.batch,
            )
        case c.CancelChild():
            return e.ChildWorkflowCancelRequested(call_id=command.call_id, reason=command.reason)
        case c.RecordSideEffect():
            return e.SideEffectRecorded(call_id=command.call_id, result=command.result, failure=command.failure)
        case c.RecordVersion():
            return e.VersionMarker(change_id=command.change_id, version=command.version, deprecated=command.deprecated)
        case c.SetEvent():
            return e.EventSet(call_id=command.call_id, key=command.key, value=command.value)
        case c.PublishItem():
            return e.ItemPublished(call_id=command.call_id, stream=command.stream)
        case c.CompleteWorkflow():
            return e.WorkflowCompleted(result=command.result)
        case c.FailWorkflow():
            return e.WorkflowFailed(failure=command.failure, step=command.step)
        case c.CancelWorkflow():
            return e.WorkflowCanceled(reason=command.reason)
        case c.ContinueAsNew():
            return e.WorkflowContinuedAsNew(next_id=command.next_id, input=command.input)
        case _:
            assert_never(command)
