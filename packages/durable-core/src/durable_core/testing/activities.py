"""Activities in the in-memory store.

A task is QUEUED, then RUNNING, and so on until an outcome closes it. The token is the fence: it goes up when
an attempt begins and when one goes back into the queue, so whatever is said later about that attempt names an old one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core.events import ActivityCanceled
from durable_core.execution import TaskStatus
from durable_core.ports import GRACE, ClaimedTasks, Detached, GivenBack, Letter, Receipt, TaskOutcome, TaskRecord
from durable_core.testing.rows import TaskRow, as_stored, begun, closed, queued
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import TaskCancel


class ActivityMethods(State):
    """The part of `HistoryStore` that is about tasks."""

    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        with self.transaction():
            now = self.now()
            claimed = [
                begun(row, worker_id, now)
                for task_id in dict.fromkeys(task_ids)
                if (row := self._tasks.get(task_id)) is not None and self._is_claimable(row, now)
            ]
            for row in claimed:
                self._tasks.put(row.record.id, row)
            return ClaimedTasks([row.record for row in claimed])

    def record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        rejected: set[UUID] = set()
        letters: list[Letter] = []
        with self.transaction():
            for outcome in outcomes:
                if not self._is_acceptable(outcome):
                    rejected.add(outcome.task_id)
                    continue
                row = self._accept(outcome)
                if outcome.status is TaskStatus.QUEUED and row.record.status is TaskStatus.CANCELED:
                    letters.append(_end_of(row.record))
                elif outcome.letter is not None:
                    letters.append(outcome.letter)
            return Receipt(frozenset(rejected), self._put_letters(letters))

    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        """Whoever is in a transaction holds all rows already."""
        assert self.in_transaction(), "hold_task() outside of a transaction would hold nothing"
        row = self._tasks.get(task_id)
        return None if row is None else row.record

    def expect_completion(self, task_id: UUID, token: int, digest: str, expires_at: datetime) -> bool:
        with self.transaction():
            row = self._tasks.get(task_id)
            if row is None or row.record.status is not TaskStatus.RUNNING or row.record.token != token:
                return False
            record = replace(row.record, completion_digest=digest, completion_expires_at=expires_at)
            self._tasks.put(task_id, replace(row, record=record))
            return True

    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        with self.transaction():
            row = self._tasks.get(task_id)
            if row is None or row.record.status is not TaskStatus.RUNNING or row.record.token != token:
                return Detached.GONE
            if not self._is_wanted(row):
                return Detached.UNWANTED
            record = replace(row.record, is_detached=True)
            self._tasks.put(task_id, replace(row, record=record, worker_id=None, due_at=due_at))
            return Detached.DONE

    def beat_detached(self, task_id: UUID, details: Payload | None, due_at: datetime | None) -> None:
        with self.transaction():
            row = self._tasks.get(task_id)
            assert row is not None, task_id
            kept = row.record.heartbeat_details if details is None else details
            record = replace(row.record, heartbeat_at=self.now(), heartbeat_details=kept)
            self._tasks.put(task_id, replace(row, record=record, due_at=row.due_at if due_at is None else due_at))

    def give_back(self, attempts: Mapping[UUID, int]) -> GivenBack:
        given: list[TaskRecord] = []
        letters: list[Letter] = []
        with self.transaction():
            now = self.now()
            for task_id, token in attempts.items():
                row = self._tasks.get(task_id)
                if row is None or row.record.status is not TaskStatus.RUNNING or row.record.token != token:
                    continue
                if row.record.is_detached:
                    continue
                if not self._is_wanted(row):
                    self._tasks.put(task_id, closed(row, TaskStatus.CANCELED))
                    letters.append(_end_of(row.record))
                    continue
                attempt, token = row.record.attempt - 1, row.record.token + 1
                row = queued(row, queued_at=now, due_at=now + GRACE, attempt=attempt, token=token)
                self._tasks.put(task_id, row)
                given.append(row.record)
            return GivenBack(given, self._put_letters(letters))

    def requeue(self, due_at: Mapping[UUID, datetime | None]) -> None:
        with self.transaction():
            now = self.now()
            for task_id, time in due_at.items():
                row = self._tasks.get(task_id)
                if row is not None and row.record.status is TaskStatus.QUEUED:
                    # A wait that has begun goes on; one that backoff had put off begins now.
                    record = replace(row.record, retry_at=None, queued_at=min(row.record.queued_at, now))
                    self._tasks.put(task_id, replace(row, record=record, due_at=time))

    def forgotten(self, worker_id: UUID, known: Collection[tuple[UUID, int]]) -> dict[UUID, int]:
        with self.transaction():
            records = [row.record for row in self._tasks.group("worker", worker_id)]
        return {record.id: record.token for record in records if (record.id, record.token) not in known}

    def _is_claimable(self, row: TaskRow, now: datetime) -> bool:
        return (
            row.record.status is TaskStatus.QUEUED
            and (row.record.retry_at is None or row.record.retry_at <= now)
            and self._is_wanted(row)
        )

    def _is_wanted(self, row: TaskRow) -> bool:
        """Whether somebody wants another attempt of it."""
        return row.kept or (not row.is_canceled and self._open_run(row.record.run_id) is not None)

    def _is_acceptable(self, outcome: TaskOutcome) -> bool:
        row = self._tasks.get(outcome.task_id)
        return row is not None and not row.record.status.is_closed and row.record.token == outcome.token

    def _accept(self, outcome: TaskOutcome) -> TaskRow:
        row = self._tasks.get(outcome.task_id)
        assert row is not None
        failure = row.record.failure if outcome.failure is None else as_stored(outcome.failure)
        row = self._after(outcome, row, failure)
        self._tasks.put(outcome.task_id, row)
        return row

    def _after(self, outcome: TaskOutcome, row: TaskRow, failure: Mapping[str, object] | None) -> TaskRow:
        assert outcome.status is not TaskStatus.RUNNING, "RUNNING is not how an attempt ends"
        if outcome.status is not TaskStatus.QUEUED:
            return closed(row, outcome.status, result=outcome.result, failure=failure, crashes=outcome.crashes)
        if not self._is_wanted(row):
            return closed(row, TaskStatus.CANCELED, failure=failure, crashes=outcome.crashes)
        now = self.now()
        return queued(
            row,
            queued_at=outcome.retry_at or now,
            due_at=outcome.retry_at or now + GRACE,
            retry_at=outcome.retry_at,
            token=row.record.token + 1,
            failure=failure,
            crashes=outcome.crashes,
        )

    def _cancel(self, run_id: UUID, cancels: Sequence[TaskCancel]) -> list[Letter]:
        """End what is QUEUED, and tell the rest to stop; what the run has to be told of that."""
        reasons = dict(cancels)
        letters: list[Letter] = []
        for row in self._tasks.group("run", run_id) if cancels else ():
            record = row.record
            if record.call_id in reasons and _is_nobodys(record):
                self._tasks.put(record.id, closed(row, TaskStatus.CANCELED))
                letters.append(_end_of(record, reasons[record.call_id]))
            elif record.call_id in reasons and record.status is TaskStatus.RUNNING:
                self._tasks.put(record.id, replace(row, is_canceled=True))
        return letters

    def _close_queued(self, run_id: UUID, status: TaskStatus | None) -> None:
        """As a closing run wants it. Kept ones (None) go on by themselves."""
        for row in self._tasks.group("run", run_id):
            if _is_nobodys(row.record):
                kept = replace(row, kept=True)
                self._tasks.put(row.record.id, kept if status is None else closed(row, status))


def _is_nobodys(task: TaskRecord) -> bool:
    """Whether no worker has it, so that it can end at once."""
    return task.status is TaskStatus.QUEUED or task.is_detached


def _end_of(task: TaskRecord, reason: str = "") -> Letter:
    """What an open run is told of a task that no worker is to begin any more."""
    return Letter.of(task.run_id, ActivityCanceled(call_id=task.call_id, reason=reason))
