"""How far back a run goes that is opened again: what of its history is put aside, and what its code is given again.

A history is only ever added to. `WorkflowReopened` says behind which event it goes on; what stands between the two is
put aside for ever: the end, the failed outcomes that are tried again, and what the code made of them. Other facts from
outside that stand there are not lost: they are given to the run once more, as mail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.errors import NotReopenable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

FAILED_OUTCOMES = (
    e.ActivityFailed,
    e.ActivityTimedOut,
    e.LocalActivityFailed,
    e.ChildWorkflowFailed,
    e.ChildWorkflowTimedOut,
)
OUTCOMES = (
    *FAILED_OUTCOMES,
    e.ActivityCompleted,
    e.ActivityCanceled,
    e.ChildWorkflowCompleted,
    e.ChildWorkflowCanceled,
    *e.TASK_ENDS,
)
# What code may ask for twice, and nobody outside of it has noticed the first time.
HARMLESS = (
    e.TimerStarted,
    e.TimerCanceled,
    e.SignalWaitStarted,
    e.SideEffectRecorded,
    e.VersionMarker,
    e.EventSet,
)
# And what was asked for together with the end: of that, nothing was begun.
# An item that is published again stands in the stream twice, which is better than a run that nobody can mend.
REPEATABLE = (
    *HARMLESS,
    e.ActivityScheduled,
    e.ActivityCancelRequested,
    e.ItemPublished,
    e.TaskAsked,
    e.TaskCancelRequested,
)
# Exceptions that code gets from what it has started.
FROM_OUTSIDE = frozenset({"ActivityError", "WorkflowError"})


@dataclass(frozen=True, slots=True)
class Rewinding:
    """What becomes of a closed run's history."""

    after: int  # seq of the last event that is kept; 0: none is
    again: Sequence[e.HistoryEvent]  # facts to be given to the run again, in their order
    activities: Sequence[str]  # calls whose outcome is not among either
    children: Sequence[UUID]  # the same
    canceled: Mapping[str, str]  # calls of activities and human tasks that the code has canceled, and why
    asked: Sequence[e.TaskAsked]  # human tasks whose end is not among either
    sent: Sequence[str]  # calls of messages to other runs of which the code has heard nothing


def decided(history: Sequence[e.EventRecord]) -> Sequence[e.EventRecord]:
    """A history without what was written to it from outside when it ended, and its code was not asked.

    That ends with the cancel or the deadline, has signals and answers before it, and begins with the start where the
    run never ran.
    """
    if not history or history[-1].type not in (e.WorkflowCanceled.type, e.WorkflowTimedOut.type):
        return history
    end = history[-1]
    first = len(history) - 1
    while (
        first
        and history[first - 1].type in (*e.ACKNOWLEDGED_TYPES, e.WorkflowStarted.type)
        and history[first - 1].created_at == end.created_at
    ):
        first -= 1
    return history[:first]


def lived(records: Sequence[e.EventRecord]) -> Sequence[e.EventRecord]:
    """A history without what was put aside: what a replay goes by."""
    if all(record.type != e.WorkflowReopened.type for record in records):
        return records
    kept: list[e.EventRecord] = []
    for record in records:
        if record.type == e.WorkflowReopened.type:
            reopened = e.event_of(record)
            assert isinstance(reopened, e.WorkflowReopened)
            while kept and kept[-1].seq > reopened.after:
                kept.pop()
        kept.append(record)
    return kept


def rewind(records: Sequence[e.EventRecord]) -> Rewinding:
    """For a run that has failed, timed out, or was canceled from outside.

    Failed outcomes are tried again if the code has started nothing since the first of them. Otherwise it has dealt with
    them, and just the step that it failed in is made once more. Raises `NotReopenable` where that step has done
    something that cannot be done twice, such as starting a child.
    """
    records = lived(records)
    facts = [e.event_of(record) for record in records]
    end = facts[-1]
    if isinstance(end, e.WorkflowFailed):
        first = _first_to_try_again(facts, end)
        first = _last_step(records, facts, end) if first is None else first
    else:
        first = _written_from_outside(records)
    first = max(first, _taken_over(facts))
    again = [_as_it_came(fact) for fact in facts[first:-1] if _comes_again(fact)]
    for fact in facts[first:-1]:
        if isinstance(fact, e.COMMANDED) and not isinstance(fact, REPEATABLE):
            raise NotReopenable(
                f"its code has asked for {fact.type} in the very step in which it failed, and others know of that. It "
                "would be done twice. Start a new run."
            )
    told = {fact.call_id for fact in (*facts[:first], *again) if isinstance(fact, (*OUTCOMES, *e.WORDS))}
    kept = [fact for fact in facts[:first] if fact.call_id not in told]
    return Rewinding(
        after=records[first - 1].seq if first else 0,
        again=again,
        activities=[fact.call_id for fact in kept if isinstance(fact, e.ActivityScheduled)],
        children=[fact.child_id for fact in kept if isinstance(fact, e.ChildWorkflowScheduled)],
        canceled={
            fact.call_id: fact.reason
            for fact in kept
            if isinstance(fact, e.ActivityCancelRequested | e.TaskCancelRequested)
        },
        asked=[fact for fact in kept if isinstance(fact, e.TaskAsked)],
        sent=[fact.call_id for fact in kept if isinstance(fact, e.SENT)],
    )


def was_asked_to_end(records: Sequence[e.EventRecord]) -> bool:
    """Whether a canceled run had been asked to end itself, and did."""
    return any(record.type == e.WorkflowCancelRequested.type for record in lived(records))


def _comes_again(fact: e.HistoryEvent) -> bool:
    """Timers fire by themselves, where they are still set; human tasks expire by themselves."""
    return not isinstance(fact, (*e.COMMANDED, *FAILED_OUTCOMES, e.TimerFired, e.TaskExpired, e.WorkflowReopened))


def _as_it_came(fact: e.HistoryEvent) -> e.HistoryEvent:
    """An update is to be judged once more, and gets its place then."""
    return replace(fact, call_id=None) if isinstance(fact, e.WorkflowUpdateAccepted) else fact


def _first_to_try_again(facts: Sequence[e.HistoryEvent], end: e.WorkflowFailed) -> int | None:
    """Place of the first failed outcome behind all that the code has started, if it failed for one."""
    if not _came_from_outside(end):
        return None
    found = None
    for place in range(len(facts) - 2, -1, -1):
        fact = facts[place]
        if isinstance(fact, e.WorkflowReopened) or (isinstance(fact, e.COMMANDED) and not isinstance(fact, HARMLESS)):
            break
        if isinstance(fact, FAILED_OUTCOMES):
            found = place
    return found


def _came_from_outside(end: e.WorkflowFailed) -> bool:
    failure: dict[str, Any] | None = end.failure
    while failure is not None:
        if FROM_OUTSIDE & {failure["type"], *failure["bases"]}:
            return True
        failure = failure["cause"]
    return False


def _last_step(records: Sequence[e.EventRecord], facts: Sequence[e.HistoryEvent], end: e.WorkflowFailed) -> int:
    """Place of the fact on which the code came to its end."""
    if end.step is not None:
        return next(place for place, record in enumerate(records) if record.seq == end.step)
    return max(place for place, fact in enumerate(facts[:-1]) if not isinstance(fact, e.COMMANDED))


def _taken_over(facts: Sequence[e.HistoryEvent]) -> int:
    """How many begin the history of a fork, and were another run's: no rewinding goes behind them."""
    return max((place + 1 for place, fact in enumerate(facts) if isinstance(fact, e.WorkflowForked)), default=0)


def _written_from_outside(records: Sequence[e.EventRecord]) -> int:
    """Place of the first event that was written with the end, without the code having been asked."""
    first = len(records) - 1
    end = records[first]
    while (
        first
        and records[first - 1].type in (*e.ACKNOWLEDGED_TYPES, e.WorkflowStarted.type)
        and records[first - 1].created_at == end.created_at
    ):
        first -= 1
    return first
