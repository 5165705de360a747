"""What the in-memory store keeps of questions to people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from durable_core.codec import decode, encode
from durable_core.events import TaskCanceled
from durable_core.execution import HumanTaskStatus
from durable_core.ports import RUN_ENDED, WITHDRAWN, HumanTaskRecord, Letter
from durable_core.testing.rows import HumanTaskRow
from durable_core.testing.state import State

if TYPE_CHECKING:
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import Commit


class HumanTaskMethods(State):
    def human_task(self, task_id: UUID) -> HumanTaskRecord | None:
        with self.transaction():
            row = self._asked.get(task_id)
            return None if row is None else row.record

    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        with self.transaction():
            return self._end_human_task(task_id, HumanTaskStatus.ANSWERED, answer=answer, answered_by=by)

    def _end_human_task(self, task_id: UUID, status: HumanTaskStatus, **changes: Any) -> bool:
        """Whether it was OPEN."""
        row = self._asked.get(task_id)
        if row is None or row.record.status is not HumanTaskStatus.OPEN:
            return False
        record = replace(row.record, status=status, ended_at=self.now(), **changes)
        self._asked.put(task_id, row._replace(record=record))
        return True

    def _decide_human_tasks(self, commit: Commit) -> None:
        for new in commit.asked:
            record = HumanTaskRecord(
                id=new.id,
                run_id=commit.run_id,
                call_id=new.call_id,
                question=new.question,
                form=decode(encode(new.form)),
                assignee=new.assignee,
                permission=new.permission,
                status=HumanTaskStatus.OPEN,
                asked_at=self.now(),
                expires_at=new.expires_at,
                answer=None,
                answered_by=None,
                reason="",
                ended_at=None,
            )
            self._asked.put(new.id, HumanTaskRow(next(self._numbers), record))
        for task_id, _ in commit.expired:
            self._end_human_task(task_id, HumanTaskStatus.EXPIRED)
        if commit.status.is_closed:
            withdrawn = {cancel.id for cancel in commit.withdrawn}  # which end for a reason of their own
            for row in self._asked.group("run", commit.run_id):
                if row.record.id in withdrawn:
                    continue
                self._end_human_task(row.record.id, HumanTaskStatus.CANCELED, reason=RUN_ENDED)

    def _withdraw(self, commit: Commit) -> list[Letter]:
        """What the run is told of those that nobody has answered; sealed letters are not told in the row."""
        return [
            Letter.of(commit.run_id, TaskCanceled(call_id=call_id, reason=reason))
            for task_id, call_id, reason in commit.withdrawn
            if self._end_human_task(task_id, HumanTaskStatus.CANCELED, reason=self._seen(reason))
        ]

    def _seen(self, reason: str) -> str:
        return reason if reason and self._seal is None else WITHDRAWN

    def _ask_again(self, task_id: UUID) -> None:
        row = self._asked.get(task_id)
        assert row is not None, task_id
        if row.record.status is HumanTaskStatus.ANSWERED:
            return
        record = replace(row.record, status=HumanTaskStatus.OPEN, reason="", ended_at=None)
        self._asked.put(task_id, row._replace(record=record))
