"""What of a run's history another run begins with, and what of it is under way there.

Events are taken over as they are, with one exception: children and questions to people that have no outcome among them
are started and asked anew for the fork, and the ids in what is taken over are those of the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from durable_core import events as e
from durable_core.errors import NewerCodeNeeded, NotForkable
from durable_core.execution import MessageStatus
from durable_core.ports import MessageNews, child_id_of, human_task_id_of
from durable_core.rewinding import OUTCOMES, decided, lived

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable_core.codec import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The beginning of a history, for another run."""

    events: Sequence[e.EventRecord]
    activities: Sequence[e.ActivityScheduled]  # without an outcome, and wanted
    canceled: Mapping[str, str]  # calls of activities that were canceled, and have no outcome: why
    asked: Sequence[e.TaskAsked]  # human tasks without an end, and wanted
    withdrawn: Mapping[str, str]  # calls of those that were canceled, and have no end: why
    children: Sequence[e.ChildWorkflowScheduled]  # without an outcome, as they were started for the origin
    told: Sequence[tuple[UUID, e.HistoryEvent]]  # what the code has sent to those, by their ids there, in order
    sent: Sequence[str]  # calls of messages to other runs of which nothing was heard
    values: Mapping[str, Payload]  # of events, as they were set last
    published: frozenset[tuple[str, int]]  # calls of ctx.publish(), with the seqs of their facts
    ended: frozenset[str]  # calls of activities that have an outcome
    updates: Sequence[tuple[e.WorkflowUpdateAccepted, MessageNews]]  # and what had become of them


def check_seq(records: Sequence[e.EventRecord], from_seq: int) -> None:
    """Raises `NotForkable` where no code could go on from before *from_seq*."""
    length = len(records)
    if 2 <= from_seq <= length + 1:
        last = records[from_seq - 2]
        if last.type not in e.TERMINAL_TYPES:
            _check_heard(records, from_seq)
            return
        nearest = [str(seq) for seq in (from_seq - 1, from_seq + 1) if seq <= length + 1]
        raise NotForkable(
            f"from_seq={from_seq} stands behind an end, {last.type} at seq {last.seq}, from where no code goes on. "
            f"Expected {' or '.join(nearest)}, or an earlier one."
        )
    if not length:
        raise NotForkable("its history is empty: no worker has begun it. Start another one.")
    most = length if records[-1].type in e.TERMINAL_TYPES else length + 1
    raise NotForkable(
        f"its history has {length} events, and from_seq, the first that is to be decided anew, is {from_seq}. "
        f"Expected 2 to {most}; the nearest is {2 if from_seq < 2 else most}."
    )


def _check_heard(records: Sequence[e.EventRecord], from_seq: int) -> None:
    """What comes when a run is ended from outside is written down, and its code never hears of it."""
    end = next((place for place in range(from_seq - 1, len(records)) if records[place].type in e.TERMINAL_TYPES), None)
    if end is None:
        return
    most = max(len(decided(records[: end + 1])), 1) + 1
    if from_seq > most:
        raise NotForkable(
            f"from_seq={from_seq} stands behind what came when the run was ended ({records[end].type} at seq "
            f"{records[end].seq}), of which its code has not heard. Expected {most}, or an earlier one; with "
            "keep_signals=True, no signal is lost."
        )


def taken_over(records: Sequence[e.EventRecord], fork_id: UUID) -> list[e.EventRecord]:
    """The events of a fork, made of those of its origin that stand before the cut."""
    ended = _ended(lived(records))
    scheduled = [e.event_of(record) for record in records if record.type in _WITH_IDS]
    ids = {
        fact.child_id: child_id_of(fork_id, fact.call_id)
        for fact in scheduled
        if isinstance(fact, e.ChildWorkflowScheduled) and fact.call_id not in ended
    }
    ids |= {
        fact.task_id: human_task_id_of(fork_id, fact.call_id)
        for fact in scheduled
        if isinstance(fact, e.TaskAsked) and fact.call_id not in ended
    }
    return [_with_ids(record, ids) if ids and record.type in _WITH_IDS else record for record in records]


_WITH_IDS = frozenset(cls.type for cls in (e.ChildWorkflowScheduled, e.TaskAsked, *e.SENT))


def _with_ids(record: e.EventRecord, ids: Mapping[UUID, UUID]) -> e.EventRecord:
    fact = e.event_of(record)
    match fact:
        case e.ChildWorkflowScheduled() if fact.child_id in ids:
            fact = replace(fact, child_id=ids[fact.child_id])
        case e.TaskAsked() if fact.task_id in ids:
            fact = replace(fact, task_id=ids[fact.task_id])
        case e.ExternalSignalSent(target_id=UUID() as to) | e.ExternalCancelSent(target_id=UUID() as to) if to in ids:
            fact = replace(fact, target_id=ids[to])
        case _:
            return record
    return record._replace(details=e.details_of(fact))


def _ended(records: Sequence[e.EventRecord]) -> set[str | None]:
    types = {cls.type for cls in (*OUTCOMES, *e.WORDS)}
    return {record.call_id for record in records if record.type in types}


def cut(records: Sequence[e.EventRecord], from_seq: int, fork_id: UUID) -> Cut:
    """Raises `NotForkable`."""
    check_seq(records, from_seq)
    before = records[: from_seq - 1]
    try:
        whole = [e.event_of(record) for record in before]
    except NewerCodeNeeded as newer:
        raise NotForkable(str(newer)) from None
    kept = lived(before)
    if not any(record.type == e.WorkflowStarted.type for record in kept):
        raise NotForkable(
            f"before seq {from_seq}, it was opened again from its very beginning, and no worker has begun it since. "
            "Start another one."
        )
    facts = [e.event_of(record) for record in kept]
    ended = _ended(kept)
    scheduled = [f for f in facts if isinstance(f, e.ActivityScheduled)]
    open_calls = {f.call_id for f in scheduled if f.call_id not in ended}
    canceled = {f.call_id: f.reason for f in facts if isinstance(f, e.ActivityCancelRequested)}
    asked = [f for f in facts if isinstance(f, e.TaskAsked) and f.call_id not in ended]
    withdrawn = {f.call_id: f.reason for f in facts if isinstance(f, e.TaskCancelRequested)}
    children = [f for f in facts if isinstance(f, e.ChildWorkflowScheduled) and f.call_id not in ended]
    return Cut(
        events=taken_over(before, fork_id),
        activities=[f for f in scheduled if f.call_id in open_calls and f.call_id not in canceled],
        canceled={call_id: why for call_id, why in canceled.items() if call_id in open_calls},
        asked=[f for f in asked if f.call_id not in withdrawn],
        withdrawn={f.call_id: withdrawn[f.call_id] for f in asked if f.call_id in withdrawn},
        children=children,
        told=_told(facts, children),
        sent=[f.call_id for f in facts if isinstance(f, e.SENT) and f.call_id not in ended],
        values={f.key: f.value for f in whole if isinstance(f, e.EventSet)},
        published=frozenset(
            (f.call_id, record.seq) for f, record in zip(whole, before, strict=True) if isinstance(f, e.ItemPublished)
        ),
        ended=frozenset(f.call_id for f in scheduled if f.call_id in ended),
        updates=_updates(facts, fork_id),
    )


def _told(
    facts: Sequence[e.HistoryEvent], children: Sequence[e.ChildWorkflowScheduled]
) -> list[tuple[UUID, e.HistoryEvent]]:
    by_call = {child.call_id: child.child_id for child in children}
    ids = set(by_call.values())
    told: list[tuple[UUID, e.HistoryEvent]] = []
    for fact in facts:
        match fact:
            case e.ExternalSignalSent(target_id=target) if target in ids:
                told.append((target, e.SignalReceived(name=fact.name, payload=fact.payload)))
            case e.ExternalCancelSent(target_id=target) if target in ids:
                told.append((target, e.WorkflowCancelRequested(reason=fact.reason, graceful=fact.graceful)))
            case e.ChildWorkflowCancelRequested() if fact.call_id in by_call:
                told.append((by_call[fact.call_id], e.WorkflowCancelRequested(reason=fact.reason, graceful=True)))
            case _:
                pass
    return told


def _updates(facts: Sequence[e.HistoryEvent], fork_id: UUID) -> list[tuple[e.WorkflowUpdateAccepted, MessageNews]]:
    found: dict[str | None, tuple[e.WorkflowUpdateAccepted, MessageNews]] = {}
    for fact in facts:
        match fact:
            case e.WorkflowUpdateAccepted():
                found[fact.call_id] = fact, MessageNews(fork_id, fact.update_id, MessageStatus.ACCEPTED)
            case e.WorkflowUpdateCompleted():
                accepted, news = found[fact.call_id]
                found[fact.call_id] = accepted, news._replace(status=MessageStatus.COMPLETED, result=fact.result)
            case e.WorkflowUpdateFailed():
                accepted, news = found[fact.call_id]
                found[fact.call_id] = accepted, news._replace(status=MessageStatus.FAILED, failure=fact.failure)
            case _:
                pass
    return list(found.values())
