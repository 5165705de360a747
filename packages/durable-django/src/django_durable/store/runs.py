"""Runs: created, read, and what is noted beside decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.base import Part
from django_durable.store.database import Row, instant, uuid
from django_durable.store.records import event_of, mail_of, row_of_run, run_of
from durable_core.errors import StoreUnavailable
from durable_core.execution import Status
from durable_core.ports import Created, LoadedRun, Mail

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any
    from uuid import UUID

    from durable_core.ports import NewRun, RunRecord

ATTEMPTS = 5  # at inserting a run or finding the one that has its workflow_id: that may close in between


class Runs(Part):
    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        if not runs:
            return []
        with self.db.transaction():
            older = self._insert_runs(runs)
            return [older.get(run.id) or Created(run.id, True, run.workflow_name, run.input) for run in runs]

    def _insert_runs(self, runs: Sequence[NewRun]) -> dict[UUID, Created]:
        """Insert what can be; for each of the others, the run that is there instead."""
        refused = list(runs)
        older: dict[UUID, Created] = {}
        for _ in range(ATTEMPTS):
            now = self.db.now()
            text = self.db.dialect.text_of(now)
            rows = [row_of_run(run, text, self.db) for run in refused]
            if self.db.run_many(self.sql.insert_runs, rows) == len(rows):
                return older
            there = self.db.rows(self.sql.runs_there, self.db.ids(run.id for run in refused))
            mine = {uuid(row[0]): instant(row[1]) == now for row in there}
            # There but not mine: the same call again, because its reply was lost.
            older |= {
                run.id: Created(run.id, False, run.workflow_name, run.input)
                for run in refused
                if not mine.get(run.id, True)
            }
            refused = [run for run in refused if run.id not in mine]
            older |= self._holders(refused)
            refused = [run for run in refused if run.id not in older]  # whose holder has closed meanwhile
            if not refused:
                return older
        raise StoreUnavailable(f"workflow_id {refused[0].workflow_id!r} keeps changing hands", ambiguous=False)

    def _holders(self, refused: Sequence[NewRun]) -> dict[UUID, Created]:
        """For each run whose workflow_id is taken, the one that has it."""
        taken = self.db.rows(self.sql.open_by_workflow_id, self.db.texts({str(run.workflow_id) for run in refused}))
        holders = {row[0]: Created(uuid(row[1]), False, row[2], row[3]) for row in taken}
        return {run.id: holders[run.workflow_id] for run in refused if run.workflow_id in holders}

    def get(self, run_id: UUID) -> RunRecord | None:
        rows = self.db.rows(self.sql.runs, self.db.ids([run_id]))
        return run_of(rows[0]) if rows else None

    def load(self, run_ids: Collection[UUID]) -> dict[UUID, LoadedRun]:
        if not run_ids:
            return {}
        ids = self.db.ids(run_ids)
        runs, events, mail = self.db.rows_of_all([(self.sql.runs, ids), (self.sql.events, ids), (self.sql.mail, ids)])
        loaded: dict[Any, LoadedRun] = {row[0]: LoadedRun(run_of(row), [], []) for row in runs}
        for run_id, seq, *event in events:
            run = loaded.get(run_id)
            # The statements see different moments: events that are newer than the run's row are left out.
            if run is not None and seq <= run.record.history_length:
                run.events.append(event_of(seq, *event))
        for run_id, letters in mail_of(mail).items():
            if run_id in loaded:
                loaded[run_id].mail.extend(letters)
        return {run.record.id: run for run in loaded.values()}

    def unread(self, versions: Mapping[UUID, int]) -> dict[UUID, list[Mail]]:
        if not versions:
            return {}
        boxes: dict[UUID, list[Mail]] = {}
        for key, version, *letter in self.db.rows(self.sql.unread, self.db.ids(versions)):
            if versions[run_id := uuid(key)] == version:
                mail = boxes.setdefault(run_id, [])
                if letter[0] is not None:
                    mail.append(Mail(*letter))
        return boxes

    def _mail(self, ids: str) -> dict[Any, list[Mail]]:
        return mail_of(self.db.rows(self.sql.mail, ids))

    def lock(self, run_id: UUID) -> LoadedRun | None:
        ids = self.db.ids([run_id])
        rows: list[Row] = self.db.rows(self.sql.own_run, ids)
        if not rows:
            return None
        last = [event_of(*row) for row in self.db.rows(self.sql.last_event, ids)]
        return LoadedRun(run_of(rows[0]), last, [letter for box in self._mail(ids).values() for letter in box])

    def newest(self, run_id: UUID) -> RunRecord | None:
        run = self.get(run_id)
        if run is None or run.status is not Status.CONTINUED_AS_NEW:
            return run
        rows = self.db.rows(self.sql.newest, self.db.ids([run_id]))
        return run_of(rows[0]) if rows else run  # somebody has deleted those that came later

    def children(self, run_id: UUID) -> list[UUID]:
        return [uuid(row[0]) for row in self.db.rows(self.sql.children, self.db.ids([run_id]))]

    def annotate(self, waiting_for: Mapping[UUID, str]) -> None:
        if waiting_for:
            with self.db.transaction():
                self.db.run_many(self.sql.annotate, [(run_id.hex, text) for run_id, text in waiting_for.items()])

    def crashed(self, run_ids: Collection[UUID]) -> set[UUID]:
        return {uuid(row[0]) for row in self.db.rows(self.sql.crashed, self.db.ids(run_ids))} if run_ids else set()

    def charge(self, run_ids: Collection[UUID]) -> None:
        if run_ids:
            with self.db.transaction():
                self.db.run(self.sql.charge, self.db.ids(run_ids))
