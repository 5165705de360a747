"""Workers in the in-memory store: who is alive, and what the dead had in their hands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core.execution import TaskStatus
from durable_core.ports import DEFAULT_QUEUE, Beat, BeatReply, private_queue
from durable_core.testing.rows import TaskRow, WorkerRow
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from uuid import UUID

    from durable_core.ports import TaskRecord, WorkerInfo

_UNKNOWN = BeatReply(known=False, canceled=frozenset(), lost=frozenset())


class WorkerMethods(State):
    """The part of `HistoryStore` that is about workers."""

    def add_worker(self, worker: WorkerInfo) -> None:
        with self.transaction():
            self._workers.put(worker.id, WorkerRow(worker, self.now()))

    def remove_worker(self, worker_id: UUID) -> None:
        with self.transaction():
            self._workers.remove(worker_id)

    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        canceled: set[UUID] = set()
        lost: set[tuple[UUID, int]] = set()
        with self.transaction():
            worker = self._workers.get(worker_id)
            if worker is None:
                return _UNKNOWN
            self._workers.put(worker_id, replace(worker, heartbeat_at=self.now()))
            for beat in beats:
                row = self._tasks.get(beat.task_id)
                if row is None or row.worker_id != worker_id or row.record.token != beat.token:
                    lost.add((beat.task_id, beat.token))
                    continue
                self._tasks.put(beat.task_id, self._alive(row, beat))
                if row.is_canceled or (not row.kept and self._open_run(row.record.run_id) is None):
                    canceled.add(beat.task_id)
        return BeatReply(known=True, canceled=frozenset(canceled), lost=frozenset(lost))

    def dead_workers(self, timeout: timedelta) -> list[UUID]:
        with self.transaction():
            latest = self.now() - timeout
            return [row.info.id for row in self._workers if row.heartbeat_at <= latest]

    def buried_alive(self) -> list[UUID]:
        with self.transaction():
            busy = dict.fromkeys(row.worker_id for row in self._tasks)
            return [worker_id for worker_id in busy if worker_id and self._workers.get(worker_id) is None]

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        with self.transaction():
            for worker_id in worker_ids:
                self._workers.remove(worker_id)
                self._make_public(private_queue(worker_id))
            return [row.record for worker_id in worker_ids for row in self._tasks.group("worker", worker_id)]

    def _make_public(self, private: str) -> None:
        for run in [run for run in self._runs if run.is_open and run.record.queue == private]:
            self._runs.put(run.record.id, replace(run, record=replace(run.record, queue=DEFAULT_QUEUE)))
        for task in [task for task in self._tasks if task.record.queue == private]:
            self._tasks.put(task.record.id, replace(task, record=replace(task.record, queue=DEFAULT_QUEUE)))

    def _alive(self, row: TaskRow, beat: Beat) -> TaskRow:
        assert row.record.status is TaskStatus.RUNNING, "only a running task has a worker"
        record = row.record
        if beat.is_sign_of_life:
            record = replace(record, heartbeat_at=self.now())
        if beat.details is not None:
            record = replace(record, heartbeat_details=beat.details)
        return replace(row, record=record, due_at=row.due_at if beat.due_at is None else beat.due_at)
