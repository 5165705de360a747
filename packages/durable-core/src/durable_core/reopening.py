"""Closed runs that go on after a fix: what failed is tried again, with the children that failed or were canceled.

All of it happens in one transaction, which holds the runs' rows: a parent's first, as for a cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.codec import decode, encode, opened
from durable_core.errors import NotReopenable
from durable_core.execution import REOPENABLE, Status, TaskStatus
from durable_core.ports import (
    Entry,
    EntryKind,
    Letter,
    PastTask,
    Reopening,
    Restart,
    TaskRecord,
    Wake,
    earliest,
    word_of,
)
from durable_core.rewinding import OUTCOMES, lived, rewind, was_asked_to_end

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import HistoryStore, LoadedRun, RunRecord
    from durable_core.rewinding import Rewinding


WAITS = {"kind": "worker", "what": "a worker, after it was reopened"}  # what the run does meanwhile


class Reopened(NamedTuple):
    """A run that is open again, and what is to be enqueued for it."""

    record: RunRecord  # as it was
    event: e.EventRecord
    entries: list[Entry]


class _Activities(NamedTuple):
    """What becomes of those whose outcome the run has not heard, or is to hear anew."""

    restarts: list[tuple[Restart, TaskRecord]]  # they begin anew
    canceled: list[UUID]  # the code had canceled them: their rows are to say so too, and not how an attempt ended
    heard: list[Letter]  # how others have ended


def reopen(store: HistoryStore, locked: LoadedRun, *, reason: str, again_at: datetime | None) -> list[Reopened]:
    """Open a run and, where it needs them, its children. *again_at* is when to look after what a queue may have lost.

    Raises `NotReopenable`.
    """
    record = locked.record
    if record.status not in REOPENABLE:
        raise _refusal(record, f"only runs that are {' or '.join(REOPENABLE)} can be reopened.")
    if (parent := _who_has_heard(store, record)) is not None:
        raise _refusal(
            record,
            f"its parent, run {parent.id} ({parent.status}), has heard how it ended. Reopen that one, if it failed for "
            "this; or start a new run.",
        )
    return _Reopener(store, reason, again_at).open(locked)


class _Reopener:
    def __init__(self, store: HistoryStore, reason: str, again_at: datetime | None) -> None:
        self._store = store
        self._reason = reason
        self._again_at = again_at

    def open(self, locked: LoadedRun) -> list[Reopened]:
        record = locked.record
        events = self._store.load([record.id])[record.id].events
        try:
            rewinding = rewind(events)
        except NotReopenable as problem:
            raise _refusal(record, str(problem)) from None
        activities = self._activities(record, rewinding)
        heard = [
            *activities.heard,
            *(
                Letter.of(record.id, e.TaskCanceled(call_id=asked.call_id, reason=rewinding.canceled[asked.call_id]))
                for asked in rewinding.asked
                if asked.call_id in rewinding.canceled
            ),
        ]
        reopened = [self._write(locked, events[-1], rewinding, activities)]
        for child_id in rewinding.children:
            letter, children = self._child(record, child_id)
            reopened += children
            heard += [] if letter is None else [letter]
        letters = [*(Letter.of(record.id, fact) for fact in rewinding.again), *heard, *_words(record, rewinding)]
        if letters:
            self._store.deliver(letters)
        return reopened

    def _write(
        self,
        locked: LoadedRun,
        last: e.EventRecord,
        rewinding: Rewinding,
        activities: _Activities,
    ) -> Reopened:
        record = locked.record
        now = max(self._store.now(), last.created_at)  # clocks of processes are a little apart
        span = record.time_given
        fact = e.WorkflowReopened(
            after=rewinding.after,
            reason=self._reason,
            deadline=None if span is None else now + span,
            deadline_before=record.deadline,
        )
        event = e.EventRecord(record.history_length + 1, fact.type, None, e.details_of(fact), now)
        holder = self._store.reopen(
            Reopening(
                run_id=record.id,
                version=record.version,
                event=event,
                waiting_for=encode(
                    {
                        "kind": "worker",
                        "what": "a worker, after it was reopened",
                        "since": now.isoformat(),
                        "until": None,
                    }
                ),
                deadline=fact.deadline,
                due_at=self._again_at,
                tasks=[restart for restart, _ in activities.restarts],
                canceled=activities.canceled,
                asked=[fact.task_id for fact in rewinding.asked if fact.call_id not in rewinding.canceled],
                mail=[mail.id for mail in locked.mail],
            )
        )
        if holder is not None:
            raise _refusal(record, f"run {holder} has its workflow_id, {record.workflow_id!r}, by now, and is open.")
        entries = [Wake(record.id, record.queue, record.priority, None).entry]
        entries += [Entry(EntryKind.ACTIVITY, task.id, task.queue, task.priority) for _, task in activities.restarts]
        return Reopened(record, event, entries)

    def _activities(self, record: RunRecord, rewinding: Rewinding) -> _Activities:
        newest: dict[str, PastTask] = {task.record.call_id: task for task in self._store.tasks_of(record.id)}
        found = _Activities([], [], [])
        for call_id in rewinding.activities:
            past = newest.get(call_id)
            if past is None:
                raise _refusal(record, f"the row of its activity by call {call_id} is gone.")
            task = past.record
            if task.status is TaskStatus.COMPLETED and past.result is not None:
                fact = e.ActivityCompleted(call_id=call_id, attempt=task.attempt, result=opened(past.result))
                found.heard.append(Letter.of(record.id, fact))
            elif call_id in rewinding.canceled:
                stopped = e.ActivityCanceled(call_id=call_id, reason=rewinding.canceled[call_id])
                found.heard.append(Letter.of(record.id, stopped))
                if task.status is not TaskStatus.CANCELED:
                    found.canceled.append(task.id)
            else:
                found.restarts.append((self._restart(task), task))
        return found

    def _restart(self, task: TaskRecord) -> Restart:
        now = self._store.now()
        expires_at = None if task.expires_at is None else now + (task.expires_at - task.scheduled_at)
        start_by = None if task.schedule_to_start is None else now + task.schedule_to_start
        return Restart(task.id, expires_at, earliest(expires_at, start_by, self._again_at))

    def _child(self, parent: RunRecord, child_id: UUID) -> tuple[Letter | None, list[Reopened]]:
        """What the parent is told of a child that it has not heard of, and what is open again with it."""
        newest = self._store.newest(child_id)
        child = None if newest is None else self._store.lock(newest.id)
        if child is None:
            raise _refusal(parent, f"its child {child_id} is gone.")
        record = child.record
        call_id = record.parent_call_id
        assert call_id is not None
        if not record.status.is_closed:
            if any(mail.type == e.WorkflowCancelRequested.type for mail in child.mail):
                raise _refusal(parent, f"its child {record.id} is just being canceled. Try again in a moment.")
            return None, []
        if record.status is Status.COMPLETED and record.result is not None:
            return Letter.of(parent.id, e.ChildWorkflowCompleted(call_id=call_id, result=opened(record.result))), []
        if record.status is Status.CANCELED and was_asked_to_end(self._store.load([record.id])[record.id].events):
            reason = record.error.partition(": ")[2]
            return Letter.of(parent.id, e.ChildWorkflowCanceled(call_id=call_id, reason=reason)), []
        return None, self.open(child)


def _words(record: RunRecord, rewinding: Rewinding) -> list[Letter]:
    """What has become of messages: each was sent with a decision that its run closed behind, and is not sent again."""
    known = {} if record.unheard is None else decode(record.unheard)
    for call_id in rewinding.sent:
        if call_id not in known:
            raise _refusal(
                record,
                f"nobody knows what has become of its message by call {call_id}: a release that kept no word of it has "
                "closed the run. It may have been delivered.",
            )
    return [Letter.of(record.id, word_of(call_id, known[call_id])) for call_id in rewinding.sent]


def _who_has_heard(store: HistoryStore, record: RunRecord) -> RunRecord | None:
    """The parent, if it knows how the run ended."""
    if record.parent_id is None:
        return None
    parent = store.load([record.parent_id]).get(record.parent_id)
    if parent is None:
        return None
    told = {cls.type for cls in OUTCOMES}
    news = [(event.type, event.call_id) for event in lived(parent.events)]
    news += [(mail.type, mail.call_id) for mail in parent.mail]
    return parent.record if any(kind in told and call == record.parent_call_id for kind, call in news) else None


def _refusal(record: RunRecord, why: str) -> NotReopenable:
    return NotReopenable(
        f"workflow {record.workflow_name!r} ({record.id}) is {record.status} and stays closed: {why}",
        execution_id=record.id,
    )
