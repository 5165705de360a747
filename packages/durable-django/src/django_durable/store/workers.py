"""Live workers, and what dead ones leave behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django_durable.store.database import uuid, uuid_or_none
from django_durable.store.records import task_of
from django_durable.store.schedule import Schedule
from durable_core.ports import DEFAULT_QUEUE, BeatReply, private_queue

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.ports import Beat, TaskRecord, WorkerInfo


class Workers(Schedule):
    def add_worker(self, worker: WorkerInfo) -> None:
        self.db.is_worker = True
        now = self.db.stamp()
        queues, exclude = json.dumps(list(worker.queues)), json.dumps(list(worker.exclude))
        with self.db.transaction():
            self.db.run_many(
                self.sql.insert_worker, [(worker.id.hex, worker.host[:255], worker.pid, queues, exclude, now, now)]
            )

    def remove_worker(self, worker_id: UUID) -> None:
        self.db.is_worker = False
        with self.db.transaction():
            self.db.rows(self.sql.delete_workers, self.db.ids([worker_id]))

    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        with self.db.transaction():
            now = self.db.stamp()
            known = bool(self.db.rows(self.sql.beat, now, self.db.ids([worker_id])))
            self.db.run_many(
                self.sql.beat_tasks,
                [
                    (b.task_id.hex, b.token, now if b.is_sign_of_life else None, b.details, self.db.at(b.due_at))
                    for b in beats
                    if b.is_sign_of_life or b.due_at is not None
                ],
            )
            asked = self.db.rows(self.sql.asked_about, self.db.ids(b.task_id for b in beats)) if beats else []
        held = {uuid(row[0]): row for row in asked}
        canceled: set[UUID] = set()
        lost: set[tuple[UUID, int]] = set()
        for beat in beats:
            row = held.get(beat.task_id)
            if row is None or row[1:3] != (beat.token, "RUNNING") or uuid_or_none(row[3]) != worker_id:
                lost.add((beat.task_id, beat.token))
            elif row[4]:
                canceled.add(beat.task_id)
        return BeatReply(known, frozenset(canceled), frozenset(lost))

    def dead_workers(self, timeout: timedelta) -> list[UUID]:
        silent_since = self.db.dialect.text_of(self.db.now() - timeout)
        return [uuid(row[0]) for row in self.db.rows(self.sql.silent_workers, silent_since)]

    def buried_alive(self) -> list[UUID]:
        return [uuid(row[0]) for row in self.db.rows(self.sql.buried_alive)]

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        if not worker_ids:
            return []
        with self.db.transaction():
            rows = self.db.rows(self.sql.own_free_workers, self.db.ids(worker_ids))
            mine = {uuid(row[0]) for row in rows}
            known = mine | self._known(set(worker_ids) - mine)
            dead = [worker_id for worker_id in worker_ids if worker_id in mine or worker_id not in known]
            if not dead:
                return []
            ids = self.db.ids(dead)
            tasks = [task_of(row) for row in self.db.rows(self.sql.own_free_running, ids)]
            left = self.db.rows(self.sql.workers_of_others, ids, self.db.ids(task.id for task in tasks))
            kept = {uuid(row[0]) for row in left} | self._make_public(rows)
            self.db.rows(self.sql.delete_workers, self.db.ids(worker_id for worker_id in dead if worker_id not in kept))
            return tasks

    def _known(self, worker_ids: Collection[UUID]) -> set[UUID]:
        """Those that have a row."""
        if not worker_ids:
            return set()
        return {uuid(row[0]) for row in self.db.rows(self.sql.known_workers, self.db.ids(worker_ids))}

    def _make_public(self, workers: Sequence[Row]) -> set[UUID]:
        """Move what stands in the private queues of these workers; whose could not be moved whole is answered."""
        owners = {private_queue(uuid(row[0])): uuid(row[0]) for row in workers}
        served = {queue for row in workers for queue in json.loads(row[1])} & owners.keys()
        if not served:
            return set()
        private = self.db.texts(served)
        self.db.run(self.sql.move_tasks, DEFAULT_QUEUE, private, private)
        self.db.run(self.sql.move_runs, DEFAULT_QUEUE, private)
        return {owners[row[0]] for row in self.db.rows(self.sql.private_left, private, private)}
