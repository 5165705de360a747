"""What must agree between a history and the code that replays it, and how a disagreement is told.

Each message says what the history holds and where, what the code did and where, and the likely cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.codec import decode, encode
from durable_core.errors import NondeterminismError

if TYPE_CHECKING:
    from durable_core.codec import Payload
    from durable_core.places import Place


def identity(event: e.HistoryEvent) -> tuple[object, ...]:
    """What must not change between the first run and a replay: place, kind, name and target."""
    match event:
        case e.ActivityScheduled():
            return event.type, event.call_id, event.activity_name
        case e.TimerStarted():
            return event.type, event.call_id, event.waits_for
        case e.SignalWaitStarted():
            return event.type, event.call_id, event.name, event.fire_at is None
        case e.ChildWorkflowScheduled():
            return event.type, event.call_id, event.workflow_name
        case e.TaskAsked():
            return event.type, event.call_id, event.fire_at is None
        case e.EventSet():
            return event.type, event.call_id, event.key
        case e.ItemPublished():
            return event.type, event.call_id, event.stream
        case e.ExternalSignalSent():
            return event.type, event.call_id, event.name, event.target_id, event.workflow_id
        case e.ExternalCancelSent():
            return event.type, event.call_id, event.target_id, event.workflow_id
        case _:
            return event.type, event.call_id


def changed_arguments(found: e.HistoryEvent, asked: e.HistoryEvent) -> str | None:
    inputs = e.ActivityScheduled | e.ChildWorkflowScheduled
    if isinstance(found, inputs) and isinstance(asked, inputs):
        before, now = found.input, asked.input
    elif isinstance(found, e.ExternalSignalSent) and isinstance(asked, e.ExternalSignalSent):
        before, now = found.payload, asked.payload
    elif isinstance(found, e.TaskAsked) and isinstance(asked, e.TaskAsked):
        before, now = _question_of(found), _question_of(asked)
    else:
        return None
    if before == now or (path := first_difference(decode(before), decode(now))) is None:
        return None
    return f"The arguments of {describe(asked)} are not the recorded ones: see {path}. The recorded ones hold."


def _question_of(asked: e.TaskAsked) -> Payload:
    return encode({name: getattr(asked, name) for name in ("question", "form", "assignee", "permission")}, limit=2**62)


def first_difference(recorded: Any, now: Any, path: str = "$") -> str | None:
    """Where two JSON values differ first, in JSONPath form. The values themselves are not for logs."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in {**recorded, **now}:
            before, after = recorded.get(key, _ABSENT), now.get(key, _ABSENT)
            if (found := first_difference(before, after, f"{path}.{key}")) is not None:
                return found
        return None
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for place, (before, after) in enumerate(zip(recorded, now, strict=True)):
            if (found := first_difference(before, after, f"{path}[{place}]")) is not None:
                return found
        return None
    return None if recorded == now else path


_ABSENT = object()


def describe(event: e.HistoryEvent) -> str:
    call = f" (call {event.call_id})" if event.call_id is not None else ""
    match event:
        case e.ActivityScheduled():
            return f"activity {event.activity_name!r}{call}"
        case e.LocalActivityCompleted() | e.LocalActivityFailed():
            return f"local activity {event.activity_name!r}{call}"
        case e.ActivityCancelRequested():
            return f"a cancel of the activity of call {event.call_id}"
        case e.ChildWorkflowCancelRequested():
            return f"a cancel of the child of call {event.call_id}"
        case e.TimerCanceled():
            return f"a cancel of the timer of call {event.call_id}"
        case e.TimerStarted(waits_for=None):
            return f"a sleep or timer{call}"
        case e.TimerStarted():
            return f"the time limit of a wait for call {event.waits_for}{call}"
        case e.SignalWaitStarted():
            bound = " with" if event.fire_at is not None else " without"
            return f"a wait for signal {event.name!r}{bound} time limit{call}"
        case e.ChildWorkflowScheduled():
            return f"child workflow {event.workflow_name!r}{call}"
        case e.ExternalSignalSent():
            return f"signal {event.name!r} to {event.target_id or event.workflow_id}{call}"
        case e.ExternalCancelSent():
            return f"a cancel of {event.target_id or event.workflow_id}{call}"
        case e.TaskAsked(fire_at=None):
            return f"a human task without time limit{call}"
        case e.TaskAsked():
            return f"a human task with time limit{call}"
        case e.TaskCancelRequested():
            return f"a cancel of the human task of call {event.call_id}"
        case e.WorkflowUpdateAccepted():
            return f"update {event.name!r}{call}"
        case e.SideEffectRecorded():
            return f"a side effect{call}"
        case e.EventSet():
            return f"event {event.key!r}{call}"
        case e.ItemPublished():
            return f"an item for stream {event.stream!r}{call}"
        case e.WorkflowFailed():
            return f"{event.type} with {event.failure.get('type')}"  # its text is not for logs
        case _:
            return f"{event.type}{call}"


def likely_cause(found: e.HistoryEvent, asked: e.HistoryEvent) -> str:
    if isinstance(found, e.ActivityScheduled) and isinstance(asked, e.ActivityScheduled):
        return (
            "The activity was probably renamed: register it with name= and its old name, or put the old code back."
            if found.call_id == asked.call_id
            else "Calls were probably added or removed: guard the change with ctx.patched(), or put the old code back."
        )
    return (
        "Calls were probably added, removed or reordered while this run was under way, or the code depends on "
        "something that changes (time, random numbers, a database row): guard the change with ctx.patched(), use "
        "ctx.now(), ctx.random() or ctx.side_effect(), or put the old code back."
    )


def asked_for_more(asked: e.HistoryEvent, behind: e.EventRecord, place: Place) -> NondeterminismError:
    return NondeterminismError(
        f"The code asked for {describe(asked)} at {place}, but the history holds no such call behind seq {behind.seq} "
        f"({behind.type}). A call was probably added to the code while this run was under way: guard it with "
        "ctx.patched(), or put the old code back."
    )


def asked_for_other(found: e.HistoryEvent, seq: int, asked: e.HistoryEvent, place: Place) -> NondeterminismError:
    return NondeterminismError(
        f"The history holds {describe(found)} at seq {seq}, but the code asked for {describe(asked)} at {place}. "
        f"{likely_cause(found, asked)}"
    )


def other_local_activity(
    found: e.LocalActivityCompleted | e.LocalActivityFailed, asked: str, place: Place
) -> NondeterminismError:
    return NondeterminismError(
        f"The history holds {describe(found)}, but the code, at {place}, asked for local activity {asked!r} by that "
        "call. The activity was probably renamed, or calls were added or removed: register it with name= and its old "
        "name, guard the change with ctx.patched(), or put the old code back."
    )


def never_asked(found: e.HistoryEvent, seq: int, whereabouts: str) -> NondeterminismError:
    return NondeterminismError(
        f"The history holds {describe(found)} at seq {seq}, but the code never asked for it and {whereabouts}. A call "
        "was probably removed from the code while this run was under way: guard the removal with ctx.patched(), or put "
        "the old code back."
    )


def unexpected_fact(fact: e.HistoryEvent, seq: int, whereabouts: str) -> NondeterminismError:
    return NondeterminismError(
        f"The history holds {describe(fact)} at seq {seq}, but the code {whereabouts}. The code was probably changed "
        "while this run was under way: guard the change with ctx.patched(), or put the old code back."
    )


def ended_early(how: str, history_length: int) -> NondeterminismError:
    return NondeterminismError(
        f"The code has ended {how} where the history, of {history_length} events, shows it still waiting. A wait was "
        "probably removed from the code while this run was under way: guard the change with ctx.patched(), or put the "
        "old code back."
    )


def ended_otherwise(fact: e.HistoryEvent, seq: int, asked: e.HistoryEvent) -> NondeterminismError:
    return NondeterminismError(
        f"The history holds {describe(fact)} at seq {seq}, but the code ended with {describe(asked)}. The code was "
        "probably changed, or depends on something that changes: put the old code back."
    )
