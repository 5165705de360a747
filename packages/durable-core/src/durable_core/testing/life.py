"""What people do to runs, in the in-memory store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core.execution import Status, TaskStatus
from durable_core.ports import PastTask, earliest
from durable_core.testing.people import HumanTaskMethods
from durable_core.testing.rows import TaskRow

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import Reopening, RunRecord


class LifeMethods(HumanTaskMethods):
    """The part of `HistoryStore` that opens closed runs again."""

    def last_of(self, workflow_id: str, *, besides: UUID) -> RunRecord | None:
        with self.transaction():
            others = [
                run.record
                for run in self._runs.group("workflow_id", workflow_id)
                if run.record.id != besides and run.record.status is not Status.CONTINUED_AS_NEW
            ]
            return max(others, key=lambda record: (record.created_at, record.id), default=None)

    def pause(self, run_id: UUID, reason: str) -> None:
        self._mark(run_id, self.now(), None)

    def resume(self, run_id: UUID, due_at: datetime | None) -> None:
        self._mark(run_id, None, due_at)

    def _mark(self, run_id: UUID, paused_at: datetime | None, due_at: datetime | None) -> None:
        with self.transaction():
            run = self._open_run(run_id)
            assert run is not None, run_id
            record = replace(run.record, paused_at=paused_at, version=run.record.version + 1, worker_id=None)
            self._runs.put(run_id, replace(run, record=record, due_at=earliest(due_at, record.deadline)))

    def tasks_of(self, run_id: UUID) -> list[PastTask]:
        with self.transaction():
            rows = self._tasks.group("run", run_id)
            return [PastTask(row.record, row.result) for row in sorted(rows, key=lambda row: row.record.scheduled_at)]

    def reopen(self, reopening: Reopening) -> UUID | None:
        with self.transaction():
            run = self._runs.get(reopening.run_id)
            assert run is not None, reopening.run_id
            assert not run.is_open, run.record.status
            assert run.record.version == reopening.version, (run.record.version, reopening.version)
            if run.record.workflow_id is not None:
                for other in self._runs.group("open workflow_id", run.record.workflow_id):
                    return other.record.id
            record = replace(
                run.record,
                status=Status.RUNNING,
                version=reopening.version + 1,
                history_length=reopening.event.seq,
                result=None,
                error="",
                deadline=reopening.deadline,
                failures=0,
                crashes=0,
                paused_at=None,
                worker_id=None,
                unheard=None,
            )
            due_at = earliest(reopening.due_at, reopening.deadline)
            self._runs.put(record.id, replace(run, record=record, waiting_for=reopening.waiting_for, due_at=due_at))
            self._append(record.id, [reopening.event], reopening.event.seq)
            for mail_id in reopening.mail:
                self._mail.remove(mail_id)
            self._begin_anew(reopening)
            self._end_canceled(reopening)
            for task_id in reopening.asked:
                self._ask_again(task_id)
            return None

    def _begin_anew(self, reopening: Reopening) -> None:
        now = self.now()
        for task_id, expires_at, due_at in reopening.tasks:
            row = self._tasks.get(task_id)
            assert row is not None, task_id
            record = replace(
                row.record,
                status=TaskStatus.QUEUED,
                attempt=0,
                token=row.record.token + 1,
                scheduled_at=now,
                queued_at=now,
                started_at=None,
                retry_at=None,
                expires_at=expires_at,
                heartbeat_at=None,
                crashes=0,
            )
            self._tasks.put(task_id, TaskRow(record=record, worker_id=None, due_at=due_at))

    def _end_canceled(self, reopening: Reopening) -> None:
        for task_id in reopening.canceled:
            row = self._tasks.get(task_id)
            assert row is not None, task_id
            record = replace(row.record, status=TaskStatus.CANCELED, token=row.record.token + 1, retry_at=None)
            self._tasks.put(task_id, TaskRow(record=record, worker_id=None, due_at=None))
