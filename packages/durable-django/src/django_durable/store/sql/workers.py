"""Workers, and what dead ones leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import LIVE, OPEN, RUN, TASK, TASK_COLUMNS, WORKER

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_WORKER = {
    "id": "uuid",
    "host": "text",
    "pid": "int",
    "queues": "text",
    "exclude": "text",
    "started_at": "timestamptz",
    "heartbeat_at": "timestamptz",
}
BEAT = {
    "id": "uuid",
    "token": "int",
    "heartbeat_at": "timestamptz",
    "details": "text",
    "due_at": "timestamptz",
}


class WorkerStatements:
    def __init__(self, d: Dialect) -> None:
        self.insert_worker = d.insert(WORKER, NEW_WORKER, conflict="ON CONFLICT DO NOTHING")
        # Gone on purpose, or found dead: only one caller is told of each.
        self.delete_workers = f"DELETE FROM {WORKER} WHERE id {d.among} RETURNING id"
        # Alive; no row means that somebody has declared it dead.
        self.beat = f"UPDATE {WORKER} SET heartbeat_at = {d.instant} WHERE id {d.among} RETURNING id"
        # Attempts that have called in.
        self.beat_tasks = d.update(
            TASK,
            BEAT,
            f"heartbeat_at = COALESCE(v.heartbeat_at, {TASK}.heartbeat_at), "
            f"due_at = COALESCE(v.due_at, {TASK}.due_at), "
            f"heartbeat_details = COALESCE(v.details, {TASK}.heartbeat_details)",
            f"AND {TASK}.token = v.token AND {TASK}.status = 'RUNNING'",
            lock=d.own_free,  # a cancel in somebody's long transaction must not stop a worker's heart
        )
        # Attempts a worker asks about.
        self.asked_about = f"SELECT id, token, status, worker_id, cancel_requested FROM {TASK} WHERE id {d.among}"
        self.silent_workers = f"SELECT id FROM {WORKER} WHERE heartbeat_at < {d.instant} ORDER BY id"
        # Whoever has begun something without being known.
        self.buried_alive = (
            f"SELECT DISTINCT worker_id FROM {TASK} WHERE status = 'RUNNING' AND worker_id IS NOT NULL "
            f"AND NOT EXISTS (SELECT 1 FROM {WORKER} w WHERE w.id = {TASK}.worker_id) ORDER BY 1"
        )
        self.known_workers = f"SELECT id FROM {WORKER} WHERE id {d.among}"
        # To be buried; one that somebody else is burying is left out.
        self.own_free_workers = f"SELECT id, queues FROM {WORKER} WHERE id {d.among} ORDER BY id {d.own_free}"
        # What dead workers had begun, but for what somebody holds.
        self.own_free_running = (
            f"SELECT {TASK_COLUMNS} FROM {TASK} WHERE worker_id {d.among} AND status = 'RUNNING' "
            f"ORDER BY id {d.own_free}"
        )
        # Whose that is.
        self.workers_of_others = (
            f"SELECT DISTINCT worker_id FROM {TASK} WHERE worker_id {d.among} AND status = 'RUNNING' "
            f"AND NOT id {d.among}"
        )

        # What stands in private queues goes elsewhere, but for what somebody holds.
        # Parameters: the new queue, the private ones (twice, for tasks).
        private = f"status IN {OPEN} AND queue {d.among.replace('uuid', 'text')}"
        self.move_runs = (
            f"UPDATE {RUN} SET queue = %s WHERE id IN (SELECT id FROM {RUN} WHERE {private} ORDER BY id {d.own_free})"
        )
        self.move_tasks = (
            f"UPDATE {TASK} SET queue = %s WHERE id IN (SELECT id FROM {TASK} "
            f"WHERE execution_id IN (SELECT id FROM {RUN} WHERE {private}) AND status IN {LIVE} "
            f"AND queue {d.among.replace('uuid', 'text')} ORDER BY id {d.own_free})"
        )
        # Which of them are left.
        self.private_left = (
            f"SELECT r.queue FROM {RUN} r WHERE {private} UNION "
            f"SELECT t.queue FROM {TASK} t JOIN {RUN} r ON r.id = t.execution_id "
            f"WHERE r.status IN {OPEN} AND t.status IN {LIVE} AND t.queue {d.among.replace('uuid', 'text')}"
        )
