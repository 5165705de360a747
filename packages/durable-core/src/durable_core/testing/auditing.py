"""What an audit reads of the in-memory store."""

from __future__ import annotations

from contextlib import contextmanager
from heapq import nsmallest
from typing import TYPE_CHECKING

from durable_core.events import WorkflowCancelRequested
from durable_core.execution import Status
from durable_core.ports import AuditedChild, AuditedItem, AuditedMail, AuditedRun, AuditedTask, Outline
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from durable_core.testing.rows import RunRow, TaskRow


class AuditMethods(State):
    """The part of `AuditableStore` that the others have not."""

    def snapshot(self) -> AbstractContextManager[None]:
        return self._unchanged()

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        with self.transaction():
            before = self.journal.changes
            yield
            assert self.journal.changes == before, "nothing can be written inside of a snapshot"

    def outlines(self, *, after: Outline | None, since: datetime | None, limit: int) -> list[Outline]:
        with self.transaction():
            found = (
                Outline(run.record.created_at, run.record.id, len(self._events.get(run.record.id, ())))
                for run in self._runs
                if since is None or run.record.created_at >= since
            )
            return nsmallest(limit, (o for o in found if after is None or o[:2] > after[:2]))

    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        with self.transaction():
            rows = [run for run_id in run_ids if (run := self._runs.get(run_id)) is not None]
            return [self._audited(run) for run in sorted(rows, key=lambda run: (run.record.created_at, run.record.id))]

    def _audited(self, run: RunRow) -> AuditedRun:
        record = run.record
        named = record.workflow_id is not None and run.is_open
        return AuditedRun(
            record=record,
            waiting_for=run.waiting_for,
            due_at=run.due_at,
            events=tuple(self._events.get(record.id, ())),
            mail=sorted(AuditedMail(row.mail, row.due_at) for row in self._mail.group("run", record.id)),
            tasks=[self._audited_task(row) for row in self._tasks.group("run", record.id)],
            values={row.value.key: row.value.value for row in self._values.group("run", record.id)},
            items=sorted({AuditedItem(*row.new[2:0:-1]) for row in self._items.group("run", record.id)}),
            asked=[row.record for row in sorted(self._asked.group("run", record.id))],
            chain_ends=sum(
                later.record.status is not Status.CONTINUED_AS_NEW
                for later in self._runs.group("chain", record.chain_id or record.id)
            ),
            messages=[row.record for row in self._messages.group("run", record.id)],
            children=[self._audited_child(child) for child in self._runs.group("parent", record.id)],
            namesakes=[
                other.record.id
                for other in (self._runs.group("open workflow_id", record.workflow_id) if named else ())
                if other.record.id != record.id
            ],
        )

    def _audited_task(self, row: TaskRow) -> AuditedTask:
        has_worker = row.worker_id is not None and self._workers.get(row.worker_id) is not None
        return AuditedTask(
            record=row.record, result=row.result, worker_id=row.worker_id, has_worker=has_worker, due_at=row.due_at
        )

    def _audited_child(self, run: RunRow) -> AuditedChild:
        record = run.record
        return AuditedChild(
            id=record.id,
            workflow_name=record.workflow_name,
            call_id=record.parent_call_id,
            status=record.status,
            result=record.result,
            error=record.error,
            cancel_with_parent=record.cancel_with_parent,
            is_told=any(mail.type == WorkflowCancelRequested.type for mail in self._unread(record.id)),
        )
