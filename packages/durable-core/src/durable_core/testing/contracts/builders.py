"""Records for the cases of the store's contract, and short words for what a worker does with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.codec import EMPTY_OBJECT, NULL, Payload
from durable_core.events import ActivityCompleted, EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.ports import (
    Commit,
    CommitResult,
    Due,
    HistoryStore,
    Letter,
    NewRun,
    NewTask,
    Receipt,
    RunRecord,
    TaskOutcome,
    TaskRecord,
    Verdict,
    Wake,
    WorkerInfo,
    new_id,
)
from durable_core.testing.contracts.base import Contract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def a_run(**changes: Any) -> NewRun:
    run = NewRun(id=new_id(), workflow_name="onboard", input=Payload('{"user_id":7}'), queue="default")
    return replace(run, **changes)


def a_task(**changes: Any) -> NewTask:
    task = NewTask(
        id=new_id(),
        call_id="0",
        activity_name="send_mail",
        input=Payload('{"args":[7],"kwargs":{}}'),
        queue="default",
        priority=0,
        retry_policy={"maximum_attempts": 3},
        expires_at=None,
        schedule_to_start=None,
        start_to_close=None,
        heartbeat_timeout=None,
    )
    return replace(task, **changes)


def a_letter(run_id: UUID, name: str = "clicked") -> Letter:
    return Letter(run_id, "signal_received", None, f'{{"name":"{name}","payload":null}}')


def a_worker(**changes: Any) -> WorkerInfo:
    return replace(WorkerInfo(id=new_id(), host="host-1", pid=4711, queues=()), **changes)


def outcome_of(task: TaskRecord, status: TaskStatus = TaskStatus.COMPLETED, **changes: Any) -> TaskOutcome:
    """How an attempt ended; unless it is to be retried, with a fact for its run."""
    fact = ActivityCompleted(call_id=task.call_id, attempt=1, result=NULL)
    outcome = TaskOutcome(
        task_id=task.id,
        run_id=task.run_id,
        token=task.token,
        status=status,
        fact=fact if status.is_closed else None,
    )
    return replace(outcome, **changes)


class StoreCases(Contract):
    """Base of the parts of the suite: the store under test, and what is done with it again and again."""

    def make_store(self) -> HistoryStore:
        """A store with nothing in it."""
        raise NotImplementedError(f"{type(self).__name__} must say how its store is made")

    def read_waiting_for(self, run_id: UUID) -> str | None:
        """The stored `waiting_for` of a run. No port reads it, only people do."""
        raise NotImplementedError(f"{type(self).__name__} must say how waiting_for is read")

    def read_task_status(self, task_id: UUID) -> TaskStatus:
        """The stored status of an activity, which no port reads once it is closed."""
        raise NotImplementedError(f"{type(self).__name__} must say how the status of a task is read")

    @cached_property
    def store(self) -> HistoryStore:
        return self.make_store()

    # Runs

    def start(self, **changes: Any) -> UUID:
        (created,) = self.store.create([a_run(**changes)])
        assert created.created
        return created.run_id

    def record_of(self, run_id: UUID) -> RunRecord:
        record = self.store.get(run_id)
        assert record is not None
        return record

    def decision(self, run_id: UUID, *facts: str, **changes: Any) -> Commit:
        """A decision on the run as it is now: to go on, after new events of the types *facts*."""
        record = self.record_of(run_id)
        length = record.history_length
        events = [
            EventRecord(seq, fact, None, EMPTY_OBJECT, self.store.now())
            for seq, fact in enumerate(facts, start=length + 1)
        ]
        values: dict[str, Any] = {"status": Status.RUNNING, "events": events, **changes}
        return Commit(run_id=run_id, version=record.version, history_length=length + len(events), **values)

    def commit(self, run_id: UUID, *facts: str, **changes: Any) -> CommitResult:
        return self.store.commit([self.decision(run_id, *facts, **changes)]).results[run_id]

    def close(self, run_id: UUID, **changes: Any) -> None:
        values = {"status": Status.COMPLETED, "mail_read": self.mail_ids(run_id), **changes}
        assert self.commit(run_id, "workflow_completed", **values).verdict is Verdict.COMMITTED

    def continue_as_new(self, run_id: UUID, *letters: Letter, **changes: Any) -> UUID:
        """The run that goes on for it."""
        record, next_run = self.record_of(run_id), a_run(**changes)
        next_run = replace(next_run, workflow_id=record.workflow_id, chain_id=record.chain_id or run_id)
        self.close(
            run_id,
            status=Status.CONTINUED_AS_NEW,
            children=[next_run],
            letters=[letter._replace(run_id=next_run.id) for letter in letters],
        )
        return next_run.id

    def event_types(self, run_id: UUID) -> list[str]:
        return [event.type for event in self.store.load([run_id])[run_id].events]

    # Mail

    def deliver(self, *letters: Letter) -> list[Wake]:
        with self.store.transaction():
            return self.store.deliver(letters)

    def mail_ids(self, run_id: UUID) -> list[int]:
        return [mail.id for mail in self.store.load([run_id])[run_id].mail]

    def mail_details(self, run_id: UUID) -> list[str]:
        return [mail.details for mail in self.store.load([run_id])[run_id].mail]

    # Activities

    def schedule(self, run_id: UUID, **changes: Any) -> UUID:
        task = a_task(**changes)
        assert self.commit(run_id, tasks=[task]).verdict is Verdict.COMMITTED
        return task.id

    def claim(self, *task_ids: UUID, worker_id: UUID | None = None) -> list[TaskRecord]:
        with self.store.transaction():
            return self.store.claim_tasks(task_ids, worker_id or new_id()).begun

    def begin(self, run_id: UUID, *, worker_id: UUID | None = None, **changes: Any) -> TaskRecord:
        """An attempt of a new activity, under way."""
        (task,) = self.claim(self.schedule(run_id, **changes), worker_id=worker_id)
        return task

    def report(self, *outcomes: TaskOutcome) -> Receipt:
        with self.store.transaction():
            return self.store.record_outcomes(outcomes)

    def retry(self, task: TaskRecord, retry_at: datetime, **changes: Any) -> None:
        receipt = self.report(outcome_of(task, TaskStatus.QUEUED, retry_at=retry_at, **changes))
        assert not receipt.rejected

    # Time

    def later(self, delta: timedelta = HOUR) -> datetime:
        return self.store.now() + delta

    def due(self, now: datetime, *, limit: int = 100, again_at: datetime | None = None) -> Due:
        with self.store.transaction():
            return self.store.due(now, limit=limit, again_at=again_at)

    def due_runs(self, now: datetime, *, limit: int = 100, again_at: datetime | None = None) -> list[UUID]:
        return [wake.run_id for wake in self.due(now, limit=limit, again_at=again_at).wakes]

    def due_tasks(self, now: datetime) -> list[UUID]:
        return [task.id for task in self.due(now).tasks]

    def bury(self, *worker_ids: UUID) -> Sequence[TaskRecord]:
        with self.store.transaction():
            return self.store.bury(worker_ids)
