"""Rows whose time has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.commits import CLOSED_RUNS
from django_durable.store.database import Row, instant
from django_durable.store.records import task_of, wake_of
from django_durable.store.tasks import Tasks
from durable_core.ports import Due, Wake

if TYPE_CHECKING:
    from datetime import datetime


class Schedule(Tasks):
    def next_due(self) -> datetime | None:
        [(at,)] = self.db.rows(self.sql.next_due)
        return instant(at)

    def due(self, now: datetime, *, limit: int, again_at: datetime | None) -> Due:
        with self.db.transaction():
            text = self.db.dialect.text_of(now)
            tasks = [task_of(row) for row in self.db.rows(self.sql.due_tasks, text, limit)]
            runs = self.db.rows(self.sql.due_runs, text, limit)
            if runs:
                self.db.run(
                    self.sql.postpone_runs, self.db.at(again_at), self.db.dialect.ids([str(r[0]) for r in runs])
                )
            mail = self.db.rows(self.sql.due_mail, text, limit)
            wakes = [wake_of(row) for row in runs] + (self._due_mail(mail, now, again_at) if mail else [])
            return Due(list({wake.run_id: wake for wake in wakes}.values()), tasks)

    def _due_mail(self, mail: list[Row], now: datetime, again_at: datetime | None) -> list[Wake]:
        """Runs to be woken over unread mail. BLOCKED ones are left alone: their mail waits until the code can go on."""
        ids = self.db.dialect.ids(list({str(row[1]) for row in mail}))
        runs = {row[0]: row for row in self.db.rows(self.sql.runs_of_mail, ids)}
        dead, blocked, waiting = [], [], []
        for number, run_id in mail:
            run = runs.get(run_id)
            if run is None or run[1] in CLOSED_RUNS:
                dead.append(number)
            elif run[1] == "BLOCKED":
                blocked.append(number)
            else:
                waiting.append(number)
        if dead:
            self.db.run(self.sql.delete_mail, self.db.numbers(dead))
        if blocked:
            self.db.run(self.sql.postpone_mail, self.db.at(now + self.redelivery), self.db.numbers(blocked))
        if waiting:
            self.db.run(self.sql.postpone_mail, self.db.at(again_at), self.db.numbers(waiting))
        ready = {run_id for number, run_id in mail if number in frozenset(waiting)}
        return [wake_of((run[0], *run[2:])) for run_id, run in runs.items() if run_id in ready]
