"""One end, no gaps, and every outcome behind the call that it belongs to."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.effects import seal_of
from durable_core.audit.story import (
    ACTIVITY_OUTCOMES,
    CHILD_OUTCOMES,
    LOCAL_OUTCOMES,
    TIMERS,
    UPDATE_FACTS,
    as_text_column,
)
from durable_core.audit.violations import Invariant
from durable_core.execution import STATUS_AFTER, Status, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation


STARTED_BY: dict[type[e.Event], type[e.Event]] = {
    e.ActivityCancelRequested: e.ActivityScheduled,
    e.TimerCanceled: e.TimerStarted,
    e.TaskCancelRequested: e.TaskAsked,
    e.ChildWorkflowCancelRequested: e.ChildWorkflowScheduled,
}


def one_end(story: Story) -> Iterator[Violation]:
    """A closed run has one terminal event, which is its last, and says what the run's row says."""
    record = story.record
    ends = [(fact, placed) for fact, placed in story.placed() if isinstance(fact, e.TERMINAL)]
    if not record.status.is_closed:
        for fact, placed in ends:
            found, expected = f"{fact.type} in an open run ({record.status})", "no terminal event"
            yield story.violation(Invariant.ONE_END, found, expected, seq=placed.seq)
        if record.result is not None:
            yield story.violation(Invariant.ONE_END, f"a result although it is {record.status}", "none")
        return
    for fact, placed in ends[1:]:
        yield story.violation(Invariant.ONE_END, f"a second end, {fact.type}", "one", seq=placed.seq)
    if not ends:
        yield story.violation(Invariant.ONE_END, f"no terminal event although it is {record.status}", "one, the last")
        return
    end, placed = ends[0]
    if placed is not story.run.events[-1]:
        last = story.run.events[-1]
        yield story.violation(Invariant.ONE_END, f"{last.type} behind its end", "nothing", seq=last.seq)
    status = STATUS_AFTER[type(end)]
    if record.status is not status:
        yield story.violation(Invariant.ONE_END, f"status {record.status}", f"{status}, for its history ends so")
    result = end.result if isinstance(end, e.WorkflowCompleted) else None
    if record.result != result:
        found, expected = f"result {_short(record.result)}", f"{_short(result)}, as in its history"
        yield story.violation(Invariant.ONE_END, found, expected, seq=placed.seq)
    if status is Status.CONTINUED_AS_NEW and story.run.chain_ends != 1:
        found = f"{story.run.chain_ends} runs that go on for it"
        yield story.violation(Invariant.ONE_END, found, "one, which was not continued as new", seq=placed.seq)
    error = error_of(end)
    if record.error not in (error, as_text_column(error)):
        found, expected = f"error {_short(record.error)}", f"{_short(error)}, as in its history"
        yield story.violation(Invariant.ONE_END, found, expected, seq=placed.seq)


def reopenings(story: Story) -> Iterator[Violation]:
    """A run is reopened behind an end, and goes on behind an event before that."""
    for before, event in pairwise([None, *story.whole]):
        if event is None or event.type != e.WorkflowReopened.type:
            continue
        fact = e.event_of(event)
        assert isinstance(fact, e.WorkflowReopened)
        if before is None or before.type not in _REOPENED:
            found = "a reopening behind nothing that ends" if before is None else f"a reopening behind {before.type}"
            yield story.violation(Invariant.ONE_END, found, f"one of {', '.join(_REOPENED)}", seq=event.seq)
        elif not 0 <= fact.after < before.seq:
            found, expected = f"a reopening behind event {fact.after}", f"one before its end, {before.seq}"
            yield story.violation(Invariant.ONE_END, found, expected, seq=event.seq)


# Ends that a run may be opened again behind; a canceled one with its parent.
_REOPENED = (e.WorkflowFailed.type, e.WorkflowTimedOut.type, e.WorkflowCanceled.type)


def no_gaps(story: Story) -> Iterator[Violation]:
    """Seq is 1..n, times do not go back, and what was seen before is still there."""
    record, events = story.record, story.whole
    for place, event in enumerate(events, start=1):
        if event.seq != place:
            yield story.violation(Invariant.NO_GAPS, f"seq {event.seq} at place {place}", f"{place}", seq=event.seq)
            break
    if record.history_length != len(events):
        found = f"{len(events)} events"
        yield story.violation(Invariant.NO_GAPS, found, f"{record.history_length}, which its row says")
    for before, after in pairwise(events):
        if after.created_at < before.created_at:
            found, expected = f"an event of {after.created_at}", f"none before {before.created_at}"
            yield story.violation(Invariant.NO_GAPS, found, expected, seq=after.seq)
    seal = story.effects.seals.get(record.id)
    if seal is not None and seal_of(events[: seal.length]) != seal:
        found = f"a history whose first {seal.length} events are not what they were"
        yield story.violation(Invariant.NO_GAPS, found, "that nothing is changed or removed")


def outcomes(story: Story) -> Iterator[Violation]:
    """It begins with its start; each call once; each outcome once, behind its call."""
    record, facts = story.record, story.facts
    if record.status is Status.PENDING and facts:
        yield story.violation(Invariant.OUTCOMES, f"{len(facts)} events of a PENDING run", "none")
    if record.status not in (Status.PENDING, Status.BLOCKED) and not facts:
        yield story.violation(Invariant.OUTCOMES, f"no history of a {record.status} run", "at least its start")
    asked: dict[str, e.HistoryEvent] = {}
    answered: set[str] = set()
    begun = next((event for event in story.run.events if event.type != e.WorkflowReopened.type), None)
    for fact, placed in story.placed():
        if isinstance(fact, e.WorkflowReopened):
            continue
        if isinstance(fact, e.WorkflowStarted) is not (placed is begun):
            found = f"{fact.type} at place {placed.seq}"
            yield story.violation(Invariant.OUTCOMES, found, "workflow_started first, and only there", seq=placed.seq)
        if isinstance(fact, e.WorkflowStarted) and (fact.workflow_name, fact.input) != (
            record.workflow_name,
            record.input,
        ):
            found = f"a start of {fact.workflow_name} with {_short(fact.input)}"
            expected = f"{record.workflow_name} with {_short(record.input)}, as its row says"
            yield story.violation(Invariant.OUTCOMES, found, expected, seq=placed.seq)
        call_id = fact.call_id
        if call_id is None or isinstance(fact, UPDATE_FACTS):  # these have an invariant of their own
            continue
        if isinstance(fact, e.CANCELS):
            if not isinstance(asked.get(call_id), STARTED_BY[type(fact)]):
                found, expected = f"{fact.type} of nothing that was started", "an earlier call that it belongs to"
                yield story.violation(Invariant.OUTCOMES, found, expected, seq=placed.seq, call_id=call_id)
            elif call_id in answered and not isinstance(fact, e.TimerCanceled):  # timers: see below
                found, expected = f"{fact.type} of what had ended", "none behind the outcome"
                yield story.violation(Invariant.OUTCOMES, found, expected, seq=placed.seq, call_id=call_id)
        elif isinstance(fact, e.COMMANDED):
            if call_id in asked:
                found = f"{fact.type} by a call that was {asked[call_id].type} before"
                yield story.violation(Invariant.OUTCOMES, found, "each call once", seq=placed.seq, call_id=call_id)
            asked.setdefault(call_id, fact)
        elif isinstance(fact, LOCAL_OUTCOMES):
            if call_id in asked:
                found = f"{fact.type} by a call that was {asked[call_id].type} before"
                yield story.violation(Invariant.OUTCOMES, found, "each call once", seq=placed.seq, call_id=call_id)
            asked[call_id] = fact
        elif not _belongs(fact, asked.get(call_id)):
            found, expected = f"{fact.type} of nothing that was asked for", "an earlier call that it belongs to"
            yield story.violation(Invariant.OUTCOMES, found, expected, seq=placed.seq, call_id=call_id)
        elif not isinstance(fact, e.TimerFired):  # which have an invariant of their own
            if call_id in answered:
                found = f"a second outcome, {fact.type}"
                yield story.violation(Invariant.OUTCOMES, found, "one at most", seq=placed.seq, call_id=call_id)
            answered.add(call_id)


def timers(story: Story) -> Iterator[Violation]:
    """A timer fires once, or is canceled once, and does not fire before its time."""
    started = {fact.call_id: fact for fact in story.facts if isinstance(fact, TIMERS)}
    ended: set[str] = set()
    for fact, placed in story.placed():
        if not isinstance(fact, e.TimerFired | e.TimerCanceled):
            continue
        call_id = fact.call_id
        if call_id in ended:
            found, expected = f"{fact.type} of a timer that had ended", "one end at most"
            yield story.violation(Invariant.TIMERS, found, expected, seq=placed.seq, call_id=call_id)
        ended.add(call_id)
        timer = started.get(call_id)
        if isinstance(fact, e.TimerCanceled):
            continue
        if timer is not None and timer.fire_at is not None and placed.created_at < timer.fire_at:
            found, expected = f"fired at {placed.created_at}", f"not before {timer.fire_at}"
            yield story.violation(Invariant.TIMERS, found, expected, seq=placed.seq, call_id=call_id)


def _belongs(fact: e.HistoryEvent, asked: e.HistoryEvent | None) -> bool:
    if isinstance(fact, ACTIVITY_OUTCOMES):
        return isinstance(asked, e.ActivityScheduled)
    if isinstance(fact, e.WORDS):
        return isinstance(asked, e.SENT)
    if isinstance(fact, e.TASK_ENDS):
        return isinstance(asked, e.TaskAsked)
    if isinstance(fact, CHILD_OUTCOMES):
        return isinstance(asked, e.ChildWorkflowScheduled)
    return isinstance(asked, TIMERS) and asked.fire_at is not None


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
