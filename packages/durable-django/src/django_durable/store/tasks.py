"""Activity attempts: begun, ended, undone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from django_durable.store.commits import LIVE_TASKS, Commits
from django_durable.store.database import instant, uuid
from django_durable.store.records import task_of
from durable_core.events import ActivityCanceled
from durable_core.execution import TaskStatus
from durable_core.ports import (
    GRACE,
    ClaimedTasks,
    Detached,
    GivenBack,
    Letter,
    Receipt,
    TaskRecord,
    due_while_running,
    earliest,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.codec import Payload
    from durable_core.ports import TaskOutcome


class Tasks(Commits):
    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        if not task_ids:
            return ClaimedTasks([])
        with self.db.transaction():
            now = self.db.now()
            text, worker = self.db.dialect.text_of(now), worker_id.hex
            ids = self.db.ids(task_ids)
            begun = [
                replace(
                    task,
                    status=TaskStatus.RUNNING,
                    attempt=task.attempt + 1,
                    token=task.token + 1,
                    started_at=now,
                    retry_at=None,
                    heartbeat_at=None,
                )
                for task in map(task_of, self.db.rows(self.sql.own_free_ready, ids, text))
            ]
            self.db.run_many(
                self.sql.begin_attempts,
                [(task.id.hex, worker, text, self.db.at(running_due_at(task, now))) for task in begun],
            )
            if len(begun) == len(set(task_ids)):
                return ClaimedTasks(begun)
            ready = {uuid(row[0]) for row in self.db.rows(self.sql.ready, ids, text)}
            return ClaimedTasks(begun, frozenset(ready.difference(task.id for task in begun)))

    def record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        if not outcomes:
            return Receipt(frozenset(), [])
        with self.db.transaction():
            key = self.db.key
            ids = self.db.ids(outcome.task_id for outcome in outcomes)
            held = {row[0]: row for row in self.db.rows(self.sql.own_free_tasks, ids)}
            busy = self._busy([outcome.task_id for outcome in outcomes if key(outcome.task_id) not in held])
            accepted = [o for o in outcomes if _is_current(held.get(key(o.task_id)), o)]
            orphans = self._told_to_stop(o.task_id for o in accepted if o.status is TaskStatus.QUEUED)
            accepted = [
                o.instead_of_a_retry(held[key(o.task_id)][2]) if key(o.task_id) in orphans else o for o in accepted
            ]
            now = self.db.stamp()
            self.db.run_many(
                self.sql.end_attempts,
                [self._outcome_row(outcome, instant(held[key(outcome.task_id)][15]), now) for outcome in accepted],
            )
            wakes = self._post([o.letter for o in accepted if o.letter is not None])
            rejected = frozenset(o.task_id for o in outcomes) - {o.task_id for o in accepted} - busy
            return Receipt(rejected, wakes, busy)

    def _busy(self, missing: list[UUID]) -> frozenset[UUID]:
        """Those that exist, so that somebody must be holding them."""
        if not missing:
            return frozenset()
        return frozenset(uuid(row[0]) for row in self.db.rows(self.sql.tasks_there, self.db.ids(missing)))

    def _told_to_stop(self, task_ids: Iterable[UUID]) -> set[Any]:
        """Those that nobody wants another attempt of."""
        ids = list(task_ids)
        return {row[0] for row in self.db.rows(self.sql.told_to_stop, self.db.ids(ids))} if ids else set()

    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        rows = self.db.rows(self.sql.own_tasks, self.db.ids([task_id]))
        return task_of(rows[0]) if rows else None

    def expect_completion(self, task_id: UUID, token: int, digest: str, expires_at: datetime) -> bool:
        with self.db.transaction():
            text = self.db.dialect.text_of(expires_at)
            return bool(self.db.rows(self.sql.expect_completion, digest, text, self.db.ids([task_id]), token))

    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        with self.db.transaction():
            held = self.hold_task(task_id)
            if held is None or held.status is not TaskStatus.RUNNING or held.token != token:
                return Detached.GONE
            if self._told_to_stop([task_id]):
                return Detached.UNWANTED
            self.db.rows(self.sql.detach, self.db.dialect.text_of(due_at), self.db.ids([task_id]), token)
            return Detached.DONE

    def beat_detached(self, task_id: UUID, details: Payload | None, due_at: datetime | None) -> None:
        ids = self.db.ids([task_id])
        self.db.run(self.sql.beat_detached, self.db.stamp(), details, self.db.at(due_at), ids)

    def give_back(self, attempts: Mapping[UUID, int]) -> GivenBack:
        if not attempts:
            return GivenBack([])
        with self.db.transaction():
            held = self.db.rows(self.sql.own_tasks, self.db.ids(attempts))
            running = [row for row in held if row[4] == "RUNNING" and row[7] == attempts[uuid(row[0])]]
            mine = [row for row in running if not task_of(row).is_detached]
            orphans = self._told_to_stop(uuid(row[0]) for row in mine)
            now = self.db.now()
            text = self.db.dialect.text_of(now)
            back: list[TaskRecord] = []
            rows: list[Row] = []
            for row in mine:
                task = task_of(row)
                if row[0] in orphans:
                    rows.append((task.id.hex, "CANCELED", text, None, text))
                    continue
                rows.append((task.id.hex, "QUEUED", text, self.db.at(queued_due_at(task, now)), None))
                back.append(
                    replace(
                        task,
                        status=TaskStatus.QUEUED,
                        attempt=task.attempt - 1,
                        token=task.token + 1,
                        started_at=None,
                        queued_at=now,
                    )
                )
            self.db.run_many(self.sql.undo_attempts, rows)
            ended = [task_of(row) for row in mine if row[0] in orphans]
            wakes = self._post([Letter.of(t.run_id, ActivityCanceled(call_id=t.call_id, reason="")) for t in ended])
            return GivenBack(back, wakes)

    def requeue(self, due_at: Mapping[UUID, datetime | None]) -> None:
        if due_at:
            with self.db.transaction():
                now = self.db.stamp()
                self.db.run_many(
                    self.sql.requeue, [(task_id.hex, now, self.db.at(at)) for task_id, at in due_at.items()]
                )

    def forgotten(self, worker_id: UUID, known: Collection[tuple[UUID, int]]) -> dict[UUID, int]:
        ours = frozenset(known)
        running = {uuid(row[0]): row[1] for row in self.db.rows(self.sql.running, self.db.ids([worker_id]))}
        return {task_id: token for task_id, token in running.items() if (task_id, token) not in ours}


def _is_current(task: Row | None, outcome: TaskOutcome) -> bool:
    return task is not None and task[4] in LIVE_TASKS and task[7] == outcome.token


def running_due_at(task: TaskRecord, now: datetime) -> datetime | None:
    return due_while_running(
        now,
        expires_at=task.expires_at,
        start_to_close=task.start_to_close,
        heartbeat_timeout=task.heartbeat_timeout,
    )


def queued_due_at(task: TaskRecord, now: datetime) -> datetime | None:
    """When the scheduler must look at a task that waits for a worker again."""
    start_by = None if task.schedule_to_start is None else now + task.schedule_to_start
    return earliest(task.expires_at, start_by, now + GRACE)
