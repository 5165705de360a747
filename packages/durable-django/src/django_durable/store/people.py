"""Questions to people, and what becomes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django_durable.store.base import Part
from django_durable.store.database import instant, json_of, uuid
from django_durable.store.records import storable
from durable_core.events import TaskCanceled
from durable_core.execution import HumanTaskStatus
from durable_core.ports import RUN_ENDED, WITHDRAWN, HumanTaskRecord, Letter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.codec import Payload
    from durable_core.ports import Commit, HumanTaskCancel

OPEN, EXPIRED, CANCELED = (
    HumanTaskStatus.OPEN.value,
    HumanTaskStatus.EXPIRED.value,
    HumanTaskStatus.CANCELED.value,
)


class HumanTasks(Part):
    def human_task(self, task_id: UUID) -> HumanTaskRecord | None:
        rows = self.db.rows(self.sql.asked, self.db.ids([task_id]))
        return asked_of(rows[0]) if rows else None

    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        with self.db.transaction():
            return self.db.run_many(self.sql.answer_asked, [(task_id.hex, answer, by, self.db.stamp())]) == 1

    def _asked_rows(self, commits: Sequence[Commit], now: str) -> Iterator[Row]:
        """For `insert_asked`."""
        for commit in commits:
            for new in commit.asked:
                yield (
                    new.id.hex,
                    commit.run_id.hex,
                    new.call_id,
                    storable(new.question),
                    json_of(new.form),
                    new.assignee,
                    new.permission,
                    OPEN,
                    now,
                    self.db.at(new.expires_at),
                    "",
                )

    def _end_asked(self, commits: Sequence[Commit], left: Sequence[tuple[Any, str]], now: str) -> None:
        """Those whose time is over, and what is left of runs that close; *left* has what was open before."""
        rows = [(call.id.hex, EXPIRED, "", now) for commit in commits for call in commit.expired]
        closing = [commit for commit in commits if commit.status.is_closed]
        keys = {self.db.key(commit.run_id) for commit in closing}
        over = [uuid(task_id) for run, task_id in left if run in keys]
        over += [new.id for commit in closing for new in commit.asked]
        withdrawn = {cancel.id for commit in closing for cancel in commit.withdrawn}  # for a reason of their own
        rows += [(task_id.hex, CANCELED, RUN_ENDED, now) for task_id in over if task_id not in withdrawn]
        self.db.run_many(self.sql.end_asked, rows)

    def _withdraw(self, commits: Sequence[Commit], now: str) -> list[Letter]:
        """What runs are told of questions that they have withdrawn, and that nobody has answered."""
        withdrawn = [(commit.run_id, cancel) for commit in commits for cancel in commit.withdrawn]
        if not withdrawn:
            return []
        held = self.db.rows(self.sql.open_asked, self.db.ids(cancel.id for _, cancel in withdrawn))
        there = {uuid(row[0]) for row in held}
        canceled = [(run_id, cancel) for run_id, cancel in withdrawn if cancel.id in there]
        self.db.run_many(
            self.sql.end_asked,
            [(cancel.id.hex, CANCELED, self._why(cancel), now) for _, cancel in canceled],
        )
        return [
            Letter.of(run_id, TaskCanceled(call_id=cancel.call_id, reason=cancel.reason)) for run_id, cancel in canceled
        ]

    def _why(self, cancel: HumanTaskCancel) -> str:
        """For the row; where letters are sealed, it does not tell what is in them."""
        return storable(cancel.reason) if cancel.reason and self.seal_letter is None else WITHDRAWN


def asked_of(row: Row) -> HumanTaskRecord:
    """From `ASKED_COLUMNS`."""
    asked_at = instant(row[8])
    assert asked_at is not None
    return HumanTaskRecord(
        id=uuid(row[0]),
        run_id=uuid(row[1]),
        call_id=row[2],
        question=row[3],
        form=None if row[4] is None else json.loads(row[4]),
        assignee=row[5],
        permission=row[6],
        status=HumanTaskStatus(row[7]),
        asked_at=asked_at,
        expires_at=instant(row[9]),
        answer=row[10],
        answered_by=row[11],
        reason=row[12],
        ended_at=instant(row[13]),
    )
