"""What people do to runs: pause and resume them, and open closed ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from django_durable.store.database import uuid
from django_durable.store.records import run_of, storable, task_of
from django_durable.store.runs import ATTEMPTS, Runs
from durable_core.errors import StoreUnavailable
from durable_core.ports import PastTask, earliest

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import Reopening, RunRecord


class Lives(Runs):
    def last_of(self, workflow_id: str, *, besides: UUID) -> RunRecord | None:
        rows = self.db.rows(self.sql.last_of, self.db.texts([workflow_id]), self.db.ids([besides]))
        return run_of(rows[0]) if rows else None

    def pause(self, run_id: UUID, reason: str) -> None:
        at = self.db.stamp()
        with self.db.transaction():
            self.db.run(self.sql.pause, at, storable(reason), at, self.db.ids([run_id]))

    def resume(self, run_id: UUID, due_at: datetime | None) -> None:
        with self.db.transaction():
            run = self.get(run_id)
            assert run is not None, run_id
            due = self.db.at(earliest(due_at, run.deadline))
            self.db.run(self.sql.resume, due, self.db.stamp(), self.db.ids([run_id]))

    def tasks_of(self, run_id: UUID) -> list[PastTask]:
        rows = self.db.rows(self.sql.tasks_of, self.db.ids([run_id]))
        return [PastTask(task_of(tuple(columns)), result) for *columns, result in rows]

    def reopen(self, reopening: Reopening) -> UUID | None:
        with self.db.transaction():
            run = self.get(reopening.run_id)
            assert run is not None, reopening.run_id
            assert run.status.is_closed, run.status
            assert run.version == reopening.version, (run.version, reopening.version)
            now = self.db.now()
            if (holder := self._open(reopening, run, now)) is not None:
                return holder
            self._begin_anew(reopening, now)
            if reopening.canceled:
                self.db.run(self.sql.end_canceled, self.db.at(now), self.db.ids(reopening.canceled))
            event = reopening.event
            at = self.db.dialect.text_of(event.created_at)
            row = (run.id.hex, event.seq, event.type, event.call_id, event.details, at)
            self.db.run_many(self.sql.insert_events, [row])
            if reopening.asked:
                self.db.run(self.sql.ask_again, self.db.ids(reopening.asked))
            if reopening.mail:
                self.db.run(self.sql.delete_mail, self.db.numbers(reopening.mail))
            return None

    def _open(self, reopening: Reopening, run: RunRecord, now: datetime) -> UUID | None:
        """None, or the open run that has its workflow_id."""
        due_at = earliest(reopening.due_at, reopening.deadline)
        row = (
            run.id.hex,
            reopening.event.seq,
            reopening.waiting_for,
            self.db.at(reopening.deadline),
            self.db.at(due_at),
            self.db.at(now),
        )
        for _ in range(ATTEMPTS):
            if run.workflow_id is not None:
                taken = self.db.rows(self.sql.open_by_workflow_id, self.db.texts([run.workflow_id]))
                if taken:
                    return uuid(taken[0][1])
            try:
                with transaction.atomic(self.db.alias):
                    self.db.run_many(self.sql.reopen_runs, [row])
            except IntegrityError:
                continue  # somebody has started a run with this workflow_id since we looked
            return None
        raise StoreUnavailable(f"workflow_id {run.workflow_id!r} keeps changing hands", ambiguous=False)

    def _begin_anew(self, reopening: Reopening, now: datetime) -> None:
        rows = [
            (task_id.hex, self.db.at(expires_at), self.db.at(due_at), self.db.at(now))
            for task_id, expires_at, due_at in reopening.tasks
        ]
        self.db.run_many(self.sql.begin_anew, rows)
