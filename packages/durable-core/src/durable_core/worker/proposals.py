"""From a run's decision to what is committed for it: tasks, children, letters. Pure, but for new ids."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.codec import encode
from durable_core.commands import CancelActivity, CancelChild, CancelTask, SendSignal
from durable_core.execution import Status, child_end
from durable_core.ports import (
    Commit,
    HumanTaskCall,
    HumanTaskCancel,
    Letter,
    MessageNews,
    NewHumanTask,
    NewItem,
    NewRun,
    NewTask,
    NewValue,
    Outgoing,
    TaskCancel,
    due_while_running,
    earliest,
    new_id,
    queue_for,
)
from durable_core.retry import DEFAULT_RETRY_POLICY, NO_RETRIES
from durable_core.worker.slots import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from durable_core import commands as c
    from durable_core.decision import Decision
    from durable_core.ports import RunRecord
    from durable_core.worker.slots import Slot

BLOCKED_FIRST = timedelta(seconds=1)  # a blocked run is tried again after 1, 2, 4, ... seconds
BLOCKED_MOST = timedelta(minutes=5)
MENDED_CODE = "a rollback, a patch or a fix"  # what a blocked run waits for, if for nothing else


def propose(
    slot: Slot,
    decision: Decision,
    now: datetime,
    *,
    worker_id: UUID | None,
    starts_here: Callable[[str, str], bool],
    again_at: datetime | None,
) -> Proposal:
    """The commit of *decision*.

    *starts_here* says of an activity's (name, queue) whether this worker begins it at once. *again_at* is when the
    scheduler looks after tasks that a lossy queue may have lost; None for a queue that cannot.
    """
    record, run = slot.record, slot.run
    assert record is not None
    assert run is not None
    cancels = [TaskCancel(c.call_id, c.reason) for c in decision.cancels if isinstance(c, CancelActivity)]
    unwanted = {cancel.call_id for cancel in cancels}
    tasks = []
    eager = []
    for command in decision.activities:
        here = _nowhere if command.call_id in unwanted else starts_here
        task = _task(command, record, now, starts_here=here, again_at=again_at)
        tasks.append(task)
        if task.claimed:
            eager.append(task.committed(record.id, now))
    commit = Commit(
        run_id=record.id,
        version=slot.version,
        status=decision.status,
        events=decision.events,
        history_length=run.history_length,
        result=decision.result,
        error=decision.error,
        waiting_for=decision.waiting_for,
        due_at=decision.wake_at,
        crashes=slot.crashes if decision.local else 0,  # what it does next may be what killed them
        worker_id=worker_id,
        mail_read=[mail.id for mail in slot.mail],
        tasks=tasks,
        outcomes=slot.outcomes,
        cancels=cancels,
        children=_new_runs(decision, record, now, again_at),
        letters=_letters(decision, record),
        asked=[_asked(command) for command in decision.asked],
        expired=[HumanTaskCall(task_id, call_id) for call_id, task_id in decision.expired.items()],
        withdrawn=[
            HumanTaskCancel(cancel.task_id, cancel.call_id, cancel.reason)
            for cancel in decision.cancels
            if isinstance(cancel, CancelTask)
        ],
        outgoing=[_outgoing(command) for command in decision.outgoing],
        unheard=[Letter.of(record.id, word) for word in decision.unheard],
        updates=[
            MessageNews(record.chain_id or record.id, news.update_id, news.status, news.result, news.failure)
            for news in decision.updates.values()
        ],
        items=[
            NewItem(record.chain_id or record.id, new.stream, new.call_id, seq, new.item) for seq, new in decision.items
        ],
        values=[NewValue(record.chain_id or record.id, key, value) for key, value in decision.values.items()],
    )
    # While a local activity is under way, the run's claims are kept: if this process dies over it, that is charged.
    return Proposal(commit, slot.outcomes, [] if decision.local else slot.claims, eager, slot.ended)


def _asked(command: c.AskPerson) -> NewHumanTask:
    return NewHumanTask(
        id=command.task_id,
        call_id=command.call_id,
        question=command.question,
        form=command.form,
        assignee=command.assignee,
        permission=command.permission,
        expires_at=command.fire_at,
    )


def _outgoing(command: c.SendSignal | c.SendCancel) -> Outgoing:
    fact: e.HistoryEvent
    if isinstance(command, SendSignal):
        fact = e.SignalReceived(name=command.name, payload=command.payload)
    else:
        fact = e.WorkflowCancelRequested(reason=command.reason, graceful=command.graceful)
    return Outgoing(command.call_id, command.target_id, command.workflow_id, fact.type, e.details_of(fact))


def propose_block(
    slot: Slot, error: str, now: datetime, *, waits_for: str = MENDED_CODE, tries_again: bool = True
) -> Commit:
    """A run that cannot go on: nothing is written but that, and when to try again."""
    record = slot.record
    assert record is not None
    delay = min(BLOCKED_FIRST * 2 ** min(slot.failures, 10), BLOCKED_MOST)
    due_at = now + delay if tries_again else None
    what = waits_for if tries_again else "a fix, and durable_retry"
    waiting_for = {
        "kind": "code",
        "what": what,
        "since": now.isoformat(),
        "until": None if due_at is None else due_at.isoformat(),
    }
    return Commit(
        run_id=record.id,
        version=slot.version,
        status=Status.BLOCKED,
        history_length=slot.history_length,
        error=error,
        waiting_for=encode(waiting_for),
        due_at=earliest(due_at, record.deadline),
        failures=slot.failures + 1,
        crashes=slot.crashes,
    )


def _nowhere(activity_name: str, queue: str) -> bool:
    return False


def _task(
    command: c.ScheduleActivity,
    record: RunRecord,
    now: datetime,
    *,
    starts_here: Callable[[str, str], bool],
    again_at: datetime | None,
) -> NewTask:
    options = command.options
    queue = queue_for(options.queue, record.queue)
    expires_at = None if options.timeout is None else now + options.timeout
    claimed = starts_here(command.activity_name, queue)
    if claimed:
        due_at = due_while_running(
            now,
            expires_at=expires_at,
            start_to_close=options.start_to_close,
            heartbeat_timeout=options.heartbeat_timeout,
        )
    else:
        start_by = None if options.schedule_to_start is None else now + options.schedule_to_start
        due_at = earliest(expires_at, start_by, again_at)
    return NewTask(
        id=new_id(),
        call_id=command.call_id,
        activity_name=command.activity_name,
        input=command.input,
        queue=queue,
        priority=record.priority if options.priority is None else options.priority,
        retry_policy=(NO_RETRIES if options.at_most_once else options.retry_policy or DEFAULT_RETRY_POLICY).to_json(),
        expires_at=expires_at,
        schedule_to_start=options.schedule_to_start,
        start_to_close=options.start_to_close,
        heartbeat_timeout=options.heartbeat_timeout,
        at_most_once=options.at_most_once,
        claimed=claimed,
        due_at=due_at,
    )


def _new_runs(decision: Decision, record: RunRecord, now: datetime, again_at: datetime | None) -> list[NewRun]:
    runs = [_child(command, record, now, again_at) for command in decision.children]
    if decision.continued is not None:
        runs.append(_next(decision.continued, record, now, again_at))
    return runs


def _next(end: e.WorkflowContinuedAsNew, record: RunRecord, now: datetime, again_at: datetime | None) -> NewRun:
    """The run that goes on where this one ends."""
    timeout = record.time_given
    return NewRun(
        id=end.next_id,
        workflow_name=record.workflow_name,
        input=end.input,
        queue=record.queue,
        workflow_id=record.workflow_id,
        priority=record.priority,
        due_at=again_at,
        deadline=None if timeout is None else now + timeout,
        timeout=timeout,
        parent_id=record.parent_id,
        parent_call_id=record.parent_call_id,
        cancel_with_parent=record.cancel_with_parent,
        chain_id=record.chain_id or record.id,
    )


def _child(command: c.StartChildWorkflow, record: RunRecord, now: datetime, again_at: datetime | None) -> NewRun:
    options = command.options
    start_at = options.start_at(now)
    return NewRun(
        id=command.child_id,
        workflow_name=command.workflow_name,
        input=command.input,
        queue=queue_for(options.queue, record.queue),
        priority=record.priority if options.priority is None else options.priority,
        start_at=start_at,
        due_at=start_at or again_at,
        deadline=None if options.timeout is None else (start_at or now) + options.timeout,
        timeout=options.timeout,
        parent_id=record.id,
        parent_call_id=command.call_id,
        cancel_with_parent=options.cancel_with_parent,
    )


def _letters(decision: Decision, record: RunRecord) -> list[Letter]:
    letters = [
        Letter.of(cancel.child_id, e.WorkflowCancelRequested(reason=cancel.reason, graceful=True))
        for cancel in decision.cancels
        if isinstance(cancel, CancelChild)
    ]
    if decision.end is None:
        return letters
    letters += [
        Letter.of(child_id, e.WorkflowCancelRequested(reason="its parent closed", graceful=False))
        for child_id in decision.abandoned
    ]
    if record.parent_id is not None and record.parent_call_id is not None:
        told = child_end(record.parent_call_id, decision.end)
        if told is not None:
            letters.append(Letter.of(record.parent_id, told))
    if decision.continued is not None:
        letters += [Letter.of(decision.continued.next_id, signal) for signal in decision.carried]
    return letters
