"""Runs that begin with the history of another: up to some event, and from there on by today's code.

The other run stays as it is, open or closed. All of a fork is written in one transaction.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.codec import decode, encode
from durable_core.cutting import cut
from durable_core.errors import NotForkable, WorkflowAlreadyStarted
from durable_core.execution import Status
from durable_core.ports import (
    DEFAULT_QUEUE,
    PRIVATE,
    Commit,
    Entry,
    EntryKind,
    Letter,
    MessageKind,
    NewHumanTask,
    NewItem,
    NewMessage,
    NewRun,
    NewTask,
    NewValue,
    Verdict,
    child_id_of,
    earliest,
    human_task_id_of,
    new_id,
    word_of,
)
from durable_core.rewinding import lived

if TYPE_CHECKING:
    from datetime import datetime

    from durable_core.cutting import Cut
    from durable_core.ports import HistoryStore, LoadedRun, Mail, PastTask, RunRecord


class Forked(NamedTuple):
    """A new run, and what is to be enqueued for it."""

    run: NewRun
    event: e.EventRecord
    entries: list[Entry]


def fork_of(
    store: HistoryStore,
    origin: LoadedRun,
    from_seq: int,
    *,
    workflow_id: str | None,
    keep_signals: bool,
    again_at: datetime | None,
) -> Forked:
    """*origin* is whole, and held by the caller. *again_at*: when to look after what a queue may have lost.

    Raises `NotForkable`, and `WorkflowAlreadyStarted` where an open run has *workflow_id*.
    """
    return _Forker(store, origin, again_at).make(from_seq, workflow_id, keep_signals=keep_signals)


class _Forker:
    def __init__(self, store: HistoryStore, origin: LoadedRun, again_at: datetime | None) -> None:
        self._store = store
        self._origin = origin
        self._record = origin.record
        self._again_at = again_at
        self._id = new_id()
        self._now = store.now()

    def make(self, from_seq: int, workflow_id: str | None, *, keep_signals: bool) -> Forked:
        record = self._record
        try:
            self._check_whole()
            part = cut(self._origin.events, from_seq, self._id)
            tasks, children, words = self._tasks(part), self._children(part), self._words(part, from_seq)
        except NotForkable as problem:
            raise NotForkable(
                f"workflow {record.workflow_name!r} ({record.id}, {record.status}) cannot be forked: {problem}",
                execution_id=record.id,
            ) from None
        run = self._create(workflow_id)
        for accepted, _ in part.updates:
            self._store.note(self._note(accepted))
        event = self._event(run, from_seq, part.events[-1].created_at)
        signals = self._signals_behind(from_seq) if keep_signals else []
        commit = Commit(
            run_id=self._id,
            version=0,
            status=Status.RUNNING,
            events=[*part.events, event],
            history_length=event.seq,
            waiting_for=_waits(event.created_at),
            due_at=earliest(self._again_at, run.deadline),
            tasks=tasks,
            children=children,
            letters=self._letters(part, [*words, *signals]),
            updates=[news for _, news in part.updates],
            values=[NewValue(self._id, key, value) for key, value in part.values.items()],
            items=self._items(part),
            asked=[self._question(fact) for fact in part.asked],
        )
        verdict = self._store.commit([commit]).results[self._id].verdict
        assert verdict is Verdict.COMMITTED, verdict
        entries = [run.wake().entry, *(child.wake().entry for child in children if child.start_at is None)]
        entries += [Entry(EntryKind.ACTIVITY, task.id, task.queue, task.priority) for task in tasks]
        return Forked(run, event, entries)

    def _check_whole(self) -> None:
        events, length = self._origin.events, self._record.history_length
        if len(events) != length or any(event.seq != place for place, event in enumerate(events, start=1)):
            raise NotForkable(
                f"its history has {len(events)} events where its row says {length}: part of it is lost. Restore it "
                "from a backup."
            )

    def _create(self, workflow_id: str | None) -> NewRun:
        record, span = self._record, self._record.time_given
        run = NewRun(
            id=self._id,
            workflow_name=record.workflow_name,
            input=record.input,
            queue=_shared(record.queue),
            workflow_id=workflow_id,
            priority=record.priority,
            due_at=self._again_at,
            deadline=None if span is None else self._now + span,
            timeout=span,
            forked_from=record.id,
        )
        [created] = self._store.create([run])
        if not created.created:
            raise WorkflowAlreadyStarted(
                f"workflow_id {workflow_id!r} belongs to the open run {created.run_id} of {created.workflow_name!r}, "
                "and a fork is a run of its own. Use another workflow_id, or none.",
                execution_id=created.run_id,
            )
        return run

    def _event(self, run: NewRun, from_seq: int, last: datetime) -> e.EventRecord:
        turns = self._turns
        forks = [fact for fact in turns if isinstance(fact, e.WorkflowForked)]
        fact = e.WorkflowForked(
            origin=self._record.id,
            from_seq=from_seq,
            first_seed=forks[0].first_seed if forks else self._record.id,
            seed=self._id,
            deadline=run.deadline,
            deadline_before=turns[0].deadline_before if turns else self._record.deadline,
        )
        # Clocks of processes are a little apart, and a history does not go back.
        return e.EventRecord(from_seq, fact.type, None, e.details_of(fact), max(self._now, last))

    @cached_property
    def _turns(self) -> list[e.WorkflowForked | e.WorkflowReopened]:
        facts = [e.event_of(record) for record in self._origin.events if record.type in _TURNS]
        return [fact for fact in facts if isinstance(fact, e.WorkflowForked | e.WorkflowReopened)]

    def _letters(self, part: Cut, facts: list[e.HistoryEvent]) -> list[Letter]:
        """To the fork, and to the children that it starts anew: what the origin has sent to its own."""
        stopped: list[e.HistoryEvent] = [
            e.ActivityCanceled(call_id=call_id, reason=why) for call_id, why in part.canceled.items()
        ]
        stopped += [e.TaskCanceled(call_id=call_id, reason=why) for call_id, why in part.withdrawn.items()]
        ids = {child.child_id: child_id_of(self._id, child.call_id) for child in part.children}
        return [
            *(Letter.of(self._id, fact) for fact in (*stopped, *facts)),
            *(Letter.of(ids[child_id], fact) for child_id, fact in part.told),
        ]

    # What is under way

    def _tasks(self, part: Cut) -> list[NewTask]:
        there = self._past_tasks({fact.call_id for fact in part.activities})
        tasks = []
        for fact in part.activities:
            past = there.get(fact.call_id)
            if past is None:
                raise NotForkable(f"the row of its activity by call {fact.call_id} is gone. Fork it before that call.")
            tasks.append(self._task(fact, past))
        return tasks

    def _past_tasks(self, calls: set[str]) -> dict[str, PastTask]:
        """The newest of each call. What a fork has taken over with its outcome has a row with the run it is from."""
        lines = [fact.origin for fact in self._turns if isinstance(fact, e.WorkflowForked)]
        found: dict[str, PastTask] = {}
        for run_id in (self._record.id, *reversed(lines)):
            if calls <= found.keys():
                break
            found = {task.record.call_id: task for task in self._store.tasks_of(run_id)} | found
        return found

    def _task(self, fact: e.ActivityScheduled, past: PastTask) -> NewTask:
        task = past.record
        expires_at = None if task.expires_at is None else self._now + (task.expires_at - task.scheduled_at)
        start_by = None if task.schedule_to_start is None else self._now + task.schedule_to_start
        return NewTask(
            id=new_id(),
            call_id=fact.call_id,
            activity_name=fact.activity_name,
            input=fact.input,
            queue=_shared(task.queue),
            priority=task.priority,
            retry_policy=task.retry_policy,
            expires_at=expires_at,
            schedule_to_start=task.schedule_to_start,
            start_to_close=task.start_to_close,
            heartbeat_timeout=task.heartbeat_timeout,
            at_most_once=task.at_most_once,
            due_at=earliest(expires_at, start_by, self._again_at),
        )

    def _question(self, fact: e.TaskAsked) -> NewHumanTask:
        """Open until the same moment as that of the origin, which stays its own."""
        return NewHumanTask(
            id=human_task_id_of(self._id, fact.call_id),
            call_id=fact.call_id,
            question=fact.question,
            form=fact.form,
            assignee=fact.assignee,
            permission=fact.permission,
            expires_at=fact.fire_at,
        )

    def _children(self, part: Cut) -> list[NewRun]:
        """Those of the origin are its own: the fork starts others, with the same input and options."""
        children = []
        for fact in part.children:
            child = self._store.get(fact.child_id)
            if child is None:
                raise NotForkable(
                    f"its child {fact.child_id}, by call {fact.call_id}, is gone, and with it how it was started. Fork "
                    "the run before that call, or behind the child's end."
                )
            children.append(self._child(fact, child))
        return children

    def _child(self, fact: e.ChildWorkflowScheduled, child: RunRecord) -> NewRun:
        start_at = None if child.start_at is None else self._now + (child.start_at - child.created_at)
        span = child.time_given
        return NewRun(
            id=child_id_of(self._id, fact.call_id),
            workflow_name=fact.workflow_name,
            input=fact.input,
            queue=_shared(child.queue),
            priority=child.priority,
            start_at=start_at,
            due_at=start_at or self._again_at,
            deadline=None if span is None else (start_at or self._now) + span,
            timeout=span,
            parent_id=self._id,
            parent_call_id=fact.call_id,
            cancel_with_parent=child.cancel_with_parent,
        )

    def _words(self, part: Cut, from_seq: int) -> list[e.HistoryEvent]:
        """What has become of messages: the origin has sent them, and hears of it later."""
        unheard = {} if self._record.unheard is None else decode(self._record.unheard)
        known: dict[str | None, e.HistoryEvent] = {
            call_id: word_of(call_id, failure) for call_id, failure in unheard.items()
        }
        known |= {record.call_id: e.event_of(record) for record in self._later(from_seq, e.WORD_TYPES)}
        for call_id in part.sent:
            if call_id not in known:
                raise NotForkable(
                    f"nobody knows what has become of its message by call {call_id}: a release that kept no word of it "
                    "has closed the run. Fork it before that call."
                )
        return [known[call_id] for call_id in part.sent]

    # What others have sent, and may read

    def _later(self, from_seq: int, types: frozenset[str]) -> list[e.EventRecord]:
        """Events of these types that are not taken over, and what waits in the mailbox to become such."""
        records = [record for record in lived(self._origin.events) if record.seq >= from_seq]
        records += [_placed(mail, self._now) for mail in self._origin.mail]
        return [record for record in records if record.type in types]

    def _signals_behind(self, from_seq: int) -> list[e.HistoryEvent]:
        return [e.event_of(record) for record in self._later(from_seq, frozenset({e.SignalReceived.type}))]

    def _note(self, accepted: e.WorkflowUpdateAccepted) -> NewMessage:
        return NewMessage(
            chain_id=self._id, run_id=self._id, kind=MessageKind.UPDATE, key=accepted.update_id, name=accepted.name
        )

    def _items(self, part: Cut) -> list[NewItem]:
        """Activities that run again publish theirs again."""
        if not part.published and not part.ended:
            return []
        return [
            item._replace(chain_id=self._id)
            for item in self._store.published(self._record.id)
            if (item.call_id, item.number) in part.published or item.call_id in part.ended
        ]


_TURNS = (e.WorkflowForked.type, e.WorkflowReopened.type)


def _waits(now: datetime) -> str:
    return encode({"kind": "worker", "what": "a worker, after it was forked", "since": now.isoformat(), "until": None})


def _placed(mail: Mail, now: datetime) -> e.EventRecord:
    return e.EventRecord(0, mail.type, mail.call_id, mail.details, now)


def _shared(queue: str) -> str:
    """A private queue is its worker's alone."""
    return DEFAULT_QUEUE if queue.startswith(PRIVATE) else queue
