"""What has happened: one frozen dataclass per fact, and the text it is stored as.

Stored, an event is a row ``(seq, type, call_id, details, created_at)``; *details* is a JSON object with the fields of
the class below. A field of type `Payload` holds text that is JSON already, and is put into *details* as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from durable_core.codec import NULL, Payload, decode, encode, why_sealed
from durable_core.errors import NewerCodeNeeded, PayloadSealed


class EventRecord(NamedTuple):
    """A fact as it is stored, and as it crosses the ports."""

    seq: int  # place in the history, from 1, no gaps
    type: str
    call_id: str | None  # which call of the workflow's code it belongs to: "4", in a branch "4.0"
    details: str  # JSON object
    created_at: datetime  # aware, UTC; never earlier than that of the event before


class Event:
    """Base of the facts. Not for `isinstance`: match on the classes, so that mypy sees a missing one."""

    __slots__ = ()
    type: ClassVar[str]  # as stored: snake_case of the class name
    call_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStarted(Event):
    type: ClassVar[str] = "workflow_started"
    workflow_name: str
    input: Payload  # object: the keywords of the call
    call_id: str | None = None


# Activities


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityScheduled(Event):
    type: ClassVar[str] = "activity_scheduled"
    call_id: str
    activity_name: str
    input: Payload  # {"args": [...], "kwargs": {...}}
    batch: str | None = None  # digest of all inputs, in the first of a map whose others begin one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityCompleted(Event):
    type: ClassVar[str] = "activity_completed"
    call_id: str
    attempt: int  # the one that succeeded, from 1
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFailed(Event):
    type: ClassVar[str] = "activity_failed"
    call_id: str
    failure: dict[str, Any]  # see failures.describe


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityTimedOut(Event):
    type: ClassVar[str] = "activity_timed_out"
    call_id: str
    kind: str  # schedule_to_close, schedule_to_start, start_to_close or heartbeat
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityCanceled(Event):
    type: ClassVar[str] = "activity_canceled"
    call_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityCancelRequested(Event):
    type: ClassVar[str] = "activity_cancel_requested"
    call_id: str  # of the activity
    reason: str


# One fact for all of a local activity: that it was asked for is in the code alone


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalActivityCompleted(Event):
    type: ClassVar[str] = "local_activity_completed"
    call_id: str
    activity_name: str
    arguments: str  # a digest of them
    attempt: int  # the one that succeeded, from 1
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalActivityFailed(Event):
    type: ClassVar[str] = "local_activity_failed"
    call_id: str
    activity_name: str
    arguments: str  # a digest of them
    kind: str | None  # the time limit that was reached: schedule_to_close or start_to_close; None: it raised
    failure: dict[str, Any]


# Timers and signals


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerStarted(Event):
    type: ClassVar[str] = "timer_started"
    call_id: str
    fire_at: datetime  # aware, UTC
    waits_for: str | None  # call_id whose wait this bounds; None: a sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(Event):
    type: ClassVar[str] = "timer_fired"
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCanceled(Event):
    type: ClassVar[str] = "timer_canceled"
    call_id: str  # of the timer


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWaitStarted(Event):
    type: ClassVar[str] = "signal_wait_started"
    call_id: str
    name: str
    fire_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived(Event):
    type: ClassVar[str] = "signal_received"
    name: str
    payload: Payload
    call_id: str | None = None


# Human tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAsked(Event):
    type: ClassVar[str] = "task_asked"
    call_id: str
    task_id: UUID
    question: str
    form: Any  # a dotted path, a list of [value, label], or None: an answer may be anything
    assignee: str | None
    permission: str | None  # who answers must have it
    fire_at: datetime | None  # nobody can answer any more; None: it never expires


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelRequested(Event):
    type: ClassVar[str] = "task_cancel_requested"
    call_id: str  # of the human task
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswered(Event):
    type: ClassVar[str] = "task_answered"
    call_id: str
    by: str | None  # who says that they have; None: nobody in particular
    answer: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExpired(Event):
    type: ClassVar[str] = "task_expired"
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCanceled(Event):
    type: ClassVar[str] = "task_canceled"
    call_id: str
    reason: str


# Messages to other runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSignalSent(Event):
    type: ClassVar[str] = "external_signal_sent"
    call_id: str
    target_id: UUID | None  # None: the open run with *workflow_id*
    workflow_id: str | None
    name: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCancelSent(Event):
    type: ClassVar[str] = "external_cancel_sent"
    call_id: str
    target_id: UUID | None
    workflow_id: str | None
    reason: str
    graceful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalMessageDelivered(Event):
    type: ClassVar[str] = "external_message_delivered"
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalMessageFailed(Event):
    type: ClassVar[str] = "external_message_failed"
    call_id: str
    reason: str  # closed, or unknown


# Updates


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUpdateAccepted(Event):
    type: ClassVar[str] = "workflow_update_accepted"
    name: str
    update_id: str  # its sender's; one of a chain of runs has it
    input: Payload  # object: the keywords of its handler
    call_id: str | None = None  # "u0", "u1", ...; None while it waits to be judged


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUpdateCompleted(Event):
    type: ClassVar[str] = "workflow_update_completed"
    call_id: str  # of the update
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUpdateFailed(Event):
    type: ClassVar[str] = "workflow_update_failed"
    call_id: str  # of the update
    failure: dict[str, Any]


# Children


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowScheduled(Event):
    type: ClassVar[str] = "child_workflow_scheduled"
    call_id: str
    workflow_name: str
    child_id: UUID
    input: Payload
    batch: str | None = None  # as above


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowCompleted(Event):
    type: ClassVar[str] = "child_workflow_completed"
    call_id: str
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowFailed(Event):
    type: ClassVar[str] = "child_workflow_failed"
    call_id: str
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowCanceled(Event):
    type: ClassVar[str] = "child_workflow_canceled"
    call_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowTimedOut(Event):
    type: ClassVar[str] = "child_workflow_timed_out"
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWorkflowCancelRequested(Event):
    type: ClassVar[str] = "child_workflow_cancel_requested"
    call_id: str  # of the child
    reason: str


# Recorded values


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffectRecorded(Event):
    type: ClassVar[str] = "side_effect_recorded"
    call_id: str
    failure: dict[str, Any] | None  # what the function raised; result is null then
    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMarker(Event):
    type: ClassVar[str] = "version_marker"
    change_id: str
    version: int
    deprecated: bool  # True: code that does not ask for it may replay this history
    call_id: str | None = None


# What others may read


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSet(Event):
    type: ClassVar[str] = "event_set"
    call_id: str
    key: str
    value: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPublished(Event):
    type: ClassVar[str] = "item_published"
    call_id: str
    stream: str


# The run


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCancelRequested(Event):
    type: ClassVar[str] = "workflow_cancel_requested"
    reason: str
    graceful: bool  # False: the run closes at once and its code is not asked
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCompleted(Event):
    type: ClassVar[str] = "workflow_completed"
    result: Payload
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFailed(Event):
    type: ClassVar[str] = "workflow_failed"
    failure: dict[str, Any]
    step: int | None = None  # seq of the fact on which the code failed; None: the last one before this
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCanceled(Event):
    type: ClassVar[str] = "workflow_canceled"
    reason: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTimedOut(Event):
    type: ClassVar[str] = "workflow_timed_out"
    deadline: datetime  # aware, UTC
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowContinuedAsNew(Event):
    type: ClassVar[str] = "workflow_continued_as_new"
    next_id: UUID  # of the run that goes on
    input: Payload  # its
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowReopened(Event):
    type: ClassVar[str] = "workflow_reopened"
    after: int  # seq of the event that the history goes on behind; what stands between the two is put aside
    reason: str
    deadline: datetime | None  # aware, UTC; when the run times out from now on
    deadline_before: datetime | None
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowForked(Event):
    """What stands before is another run's; the code goes on from there as it is now, in the middle of a step, too."""

    type: ClassVar[str] = "workflow_forked"
    origin: UUID  # that run
    from_seq: int  # of its history: the first event that was not taken over
    first_seed: UUID  # of random numbers from the beginning on
    seed: UUID  # and from here on
    deadline: datetime | None  # aware, UTC; when the run times out
    deadline_before: datetime | None  # what the code was told of it until here
    call_id: str | None = None


HistoryEvent = (
    WorkflowStarted
    | ActivityScheduled
    | ActivityCompleted
    | ActivityFailed
    | ActivityTimedOut
    | ActivityCanceled
    | ActivityCancelRequested
    | LocalActivityCompleted
    | LocalActivityFailed
    | TimerStarted
    | TimerFired
    | TimerCanceled
    | SignalWaitStarted
    | SignalReceived
    | TaskAsked
    | TaskCancelRequested
    | TaskAnswered
    | TaskExpired
    | TaskCanceled
    | ExternalSignalSent
    | ExternalCancelSent
    | ExternalMessageDelivered
    | ExternalMessageFailed
    | WorkflowUpdateAccepted
    | WorkflowUpdateCompleted
    | WorkflowUpdateFailed
    | ChildWorkflowScheduled
    | ChildWorkflowCompleted
    | ChildWorkflowFailed
    | ChildWorkflowCanceled
    | ChildWorkflowTimedOut
    | ChildWorkflowCancelRequested
    | SideEffectRecorded
    | VersionMarker
    | EventSet
    | ItemPublished
    | WorkflowCancelRequested
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCanceled
    | WorkflowTimedOut
    | WorkflowContinuedAsNew
    | WorkflowReopened
    | WorkflowForked
)

_BY_TYPE: dict[str, type[Any]] = {cls.type: cls for cls in HistoryEvent.__args__}

EVENT_TYPES: tuple[str, ...] = tuple(_BY_TYPE)

# Facts that code asked for by a call, and forks, which may stand among them; all others came from outside.
COMMANDED = (
    ActivityScheduled,
    ActivityCancelRequested,
    TimerStarted,
    TimerCanceled,
    SignalWaitStarted,
    TaskAsked,
    TaskCancelRequested,
    ExternalSignalSent,
    ExternalCancelSent,
    WorkflowUpdateCompleted,
    WorkflowUpdateFailed,
    ChildWorkflowScheduled,
    ChildWorkflowCancelRequested,
    SideEffectRecorded,
    VersionMarker,
    EventSet,
    ItemPublished,
    WorkflowForked,
)
# Of those, what code asks about something it has started: by the call_id of that, with none of their own.
CANCELS = (ActivityCancelRequested, TimerCanceled, TaskCancelRequested, ChildWorkflowCancelRequested)
TASK_ENDS = (TaskAnswered, TaskExpired, TaskCanceled)
# Whoever sent these was told that they have arrived: they are in the history, also where its code has ended before.
ACKNOWLEDGED = (SignalReceived, TaskAnswered)
ACKNOWLEDGED_TYPES = frozenset(cls.type for cls in ACKNOWLEDGED)
# Messages to other runs, and what the store says of them.
SENT = (ExternalSignalSent, ExternalCancelSent)
WORDS = (ExternalMessageDelivered, ExternalMessageFailed)
WORD_TYPES = frozenset(cls.type for cls in WORDS)
TERMINAL = (WorkflowCompleted, WorkflowFailed, WorkflowCanceled, WorkflowTimedOut, WorkflowContinuedAsNew)
TERMINAL_TYPES = frozenset(cls.type for cls in TERMINAL)


class _Shape(NamedTuple):
    plain: tuple[str, ...]  # fields of details that are values
    optional: frozenset[str]  # of those, they are left out where they are None
    payload: str | None  # the field of details that is JSON text already
    readers: tuple[tuple[str, Callable[[str], object]], ...]  # of those values that JSON has no form for


def _shape_of(cls: type[Any]) -> _Shape:
    inside = [f for f in fields(cls) if f.name != "call_id"]
    payloads = [f.name for f in inside if f.type == "Payload"]
    assert len(payloads) <= 1, cls
    plain = tuple(f.name for f in inside if f.name not in payloads)
    readers = tuple((name, _READERS[name]) for name in plain if name in _READERS)
    optional = frozenset(f.name for f in inside if f.default is None)
    return _Shape(plain, optional, payloads[0] if payloads else None, readers)


_READERS: dict[str, Callable[[str], object]] = {
    "fire_at": datetime.fromisoformat,
    "deadline": datetime.fromisoformat,
    "deadline_before": datetime.fromisoformat,
    "child_id": UUID,
    "target_id": UUID,
    "task_id": UUID,
    "next_id": UUID,
    "origin": UUID,
    "first_seed": UUID,
    "seed": UUID,
}

_SHAPES = {cls: _shape_of(cls) for cls in _BY_TYPE.values()}


def details_of(event: HistoryEvent) -> str:
    """The JSON object that an event's own fields are stored as. The payload stands last: see `_cut`."""
    plain, optional, payload, _ = _SHAPES[type(event)]
    if optional:
        plain = tuple(name for name in plain if name not in optional or getattr(event, name) is not None)
    if not plain:
        return "{}" if payload is None else f'{{"{payload}":{getattr(event, payload)}}}'
    if type(event) in _REPEATED:
        text = _header(plain, tuple([getattr(event, name) for name in plain]))
    else:
        text = encode({name: _plain(getattr(event, name)) for name in plain}, limit=_NO_LIMIT)
    return text if payload is None else f'{text[:-1]},"{payload}":{getattr(event, payload)}}}'


# Few different ones exist, and they are written for every step: a name, an attempt.
_REPEATED = frozenset({WorkflowStarted, ActivityScheduled, ActivityCompleted})


@lru_cache(maxsize=1024)
def _header(names: tuple[str, ...], values: tuple[str | int, ...]) -> str:
    return encode(dict(zip(names, values, strict=True)), limit=_NO_LIMIT)


_NO_LIMIT = 2**62  # payloads were measured one by one; the rest is ours


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


def event_of(record: EventRecord) -> HistoryEvent:
    """The fact that a stored row holds.

    Raises `NewerCodeNeeded` for a type this release does not know, and `PayloadSealed`.
    """
    cls = _BY_TYPE.get(record.type)
    if cls is None:
        raise NewerCodeNeeded(
            f"History holds an event of type {record.type!r} at seq {record.seq}, which this release does not know. "
            "It was written by a newer release: let a worker of that release go on with the run."
        )
    plain, _, payload, readers = _SHAPES[cls]
    own = record.details
    if own[:1] == '"':  # an object begins with a brace
        raise PayloadSealed(f"event {record.type} at seq {record.seq} is sealed: {why_sealed(own)}")
    values: dict[str, Any] = {}
    if payload is not None:
        own, values[payload] = _cut(own, payload)
    if plain:
        stored = decode(own)
        for name in plain:
            values[name] = stored.get(name)
        for name, read in readers:
            if values[name] is not None:
                values[name] = read(values[name])
    event: HistoryEvent = cls(call_id=record.call_id, **values)
    return event


def _cut(details: str, payload: str) -> tuple[str, Payload]:
    """The object of an event's own fields, and its payload as it stands there.

    A payload may be large, and whoever needs its value decodes it: here it is only passed on. Quotes inside of JSON
    texts are escaped, so that the name in quotes cannot stand in one.
    """
    name = f'"{payload}":'
    before, found, after = details.partition(name)
    return (f"{before.rstrip(',')}}}", Payload(after[:-1])) if found else (details, NULL)
