"""What workflow code asks for: one frozen dataclass per intention.

A command becomes an event in `execution.record`, and only there. On replay no command is carried out: each one must
find the event that it became when the code first ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.options import ActivityOptions, WorkflowOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleActivity:
    call_id: str
    activity_name: str
    input: Payload  # {"args": [...], "kwargs": {...}}
    options: ActivityOptions
    batch: str | None = None  # as the event has it


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelActivity:
    call_id: str  # of the activity
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLocalActivity:
    """Becomes no event: the outcome of a local activity is its only one."""

    call_id: str
    activity_name: str
    input: Payload  # {"args": [...], "kwargs": {...}}
    options: ActivityOptions

    @property
    def arguments(self) -> str:
        """As the outcome has them."""
        return digest_of(self.input)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    call_id: str
    fire_at: datetime  # aware, UTC
    waits_for: str | None = None  # call_id of the activity or child whose wait this bounds; None: a sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    call_id: str  # of the timer


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSignalWait:
    call_id: str
    name: str
    fire_at: datetime | None  # None: waits without end


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson:
    call_id: str
    task_id: UUID
    question: str
    form: Any  # JSON: see `events.TaskAsked`
    assignee: str | None
    permission: str | None
    fire_at: datetime | None  # None: never expires


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTask:
    call_id: str  # of the human task
    task_id: UUID
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSignal:
    """To another run: by its id, or the open one with a workflow_id."""

    call_id: str
    target_id: UUID | None
    workflow_id: str | None
    name: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCancel:
    call_id: str
    target_id: UUID | None
    workflow_id: str | None
    reason: str
    graceful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteUpdate:
    call_id: str  # of the update
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class FailUpdate:
    call_id: str  # of the update
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChildWorkflow:
    call_id: str
    workflow_name: str
    child_id: UUID
    input: Payload
    options: WorkflowOptions
    batch: str | None = None  # as the event has it


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelChild:
    call_id: str  # of the child
    child_id: UUID
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSideEffect:
    call_id: str
    result: Payload
    failure: dict[str, Any] | None  # what the function raised; result is null then


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVersion:
    change_id: str
    version: int
    deprecated: bool = False
    call_id: str | None = None  # versions are found by change_id, wherever the code asks


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEvent:
    call_id: str
    key: str
    value: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishItem:
    call_id: str
    stream: str
    item: Payload  # for those who read the stream; the history does not keep it


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteWorkflow:
    result: Payload
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailWorkflow:
    failure: dict[str, Any]
    step: int | None = None  # seq of the fact on which the code failed
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWorkflow:
    reason: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueAsNew:
    input: Payload  # object: the keywords of the next run
    next_id: UUID  # of that run
    call_id: str | None = None


Command = (
    ScheduleActivity
    | CancelActivity
    | StartTimer
    | CancelTimer
    | StartSignalWait
    | AskPerson
    | CancelTask
    | SendSignal
    | SendCancel
    | CompleteUpdate
    | FailUpdate
    | StartChildWorkflow
    | CancelChild
    | RecordSideEffect
    | RecordVersion
    | SetEvent
    | PublishItem
    | CompleteWorkflow
    | FailWorkflow
    | CancelWorkflow
    | ContinueAsNew
)


def digest_of(payload: Payload) -> str:
    """Short, and the same for the same payload only."""
    return blake2b(payload.encode(), digest_size=8).hexdigest()
