"""Activities and their attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import LIVE, NOBODYS, TASK, TASK_COLUMNS

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect


class TaskStatements:
    def __init__(self, d: Dialect) -> None:
        # Tasks that may begin an attempt.
        may_begin = f"status = 'QUEUED' AND (retry_at IS NULL OR retry_at <= {d.instant})"
        ready = f"FROM {TASK} WHERE id {d.among} AND {may_begin}"
        self.ready = f"SELECT id {ready}"
        # The same, to begin it; one that somebody else is about to begin is left out.
        self.own_free_ready = f"SELECT {TASK_COLUMNS} {ready} ORDER BY id {d.own_free}"
        # An attempt begins.
        self.begin_attempts = d.update(
            TASK,
            {"id": "uuid", "worker_id": "uuid", "started_at": "timestamptz", "due_at": "timestamptz"},
            f"status = 'RUNNING', attempt = {TASK}.attempt + 1, token = {TASK}.token + 1, worker_id = v.worker_id, "
            "started_at = v.started_at, retry_at = NULL, heartbeat_at = NULL, due_at = v.due_at",
        )
        # Attempts somebody reports on; those that others hold are left out.
        self.own_free_tasks = f"SELECT {TASK_COLUMNS} FROM {TASK} WHERE id {d.among} ORDER BY id {d.own_free}"
        # The same, waiting for whoever holds them.
        self.own_tasks = f"SELECT {TASK_COLUMNS} FROM {TASK} WHERE id {d.among} ORDER BY id {d.own}"
        # Open ones of runs by call_id, waiting for whoever holds them.
        self.own_tasks_of_calls = (
            f"SELECT id, execution_id, call_id, {NOBODYS} FROM {TASK} WHERE execution_id {d.among} "
            f"AND call_id {d.among.replace('uuid', 'text')} AND status IN {LIVE} ORDER BY id {d.own}"
        )
        # Which of these nobody wants another attempt of: since they began, their run has closed, or its code has
        # canceled them.
        self.told_to_stop = f"SELECT id FROM {TASK} WHERE id {d.among} AND cancel_requested"
        # What must be known of an attempt that somebody else will complete.
        running = f"WHERE id {d.among} AND token = %s AND status = 'RUNNING' RETURNING id"
        self.expect_completion = (
            f"UPDATE {TASK} SET completion_digest = %s, completion_expires_at = {d.instant} {running}"
        )
        # It goes on without its worker.
        self.detach = f"UPDATE {TASK} SET worker_id = NULL, due_at = {d.instant} {running}"
        # It has called in.
        self.beat_detached = (
            f"UPDATE {TASK} SET heartbeat_at = {d.instant}, heartbeat_details = COALESCE(%s, heartbeat_details), "
            f"due_at = COALESCE({d.instant}, due_at) WHERE id {d.among}"
        )
        # An attempt that never began is undone.
        self.undo_attempts = d.update(
            TASK,
            {
                "id": "uuid",
                "status": "text",
                "queued_at": "timestamptz",
                "due_at": "timestamptz",
                "finished_at": "timestamptz",
            },
            f"status = v.status, attempt = {TASK}.attempt - 1, token = {TASK}.token + 1, worker_id = NULL, "
            "started_at = NULL, queued_at = v.queued_at, due_at = v.due_at, finished_at = v.finished_at",
        )
        # Backoff is over.
        self.requeue = d.update(
            TASK,
            {"id": "uuid", "queued_at": "timestamptz", "due_at": "timestamptz"},
            f"retry_at = NULL, due_at = v.due_at, queued_at = CASE WHEN {TASK}.queued_at < v.queued_at "
            f"THEN {TASK}.queued_at ELSE v.queued_at END",
            f"AND {TASK}.status = 'QUEUED'",
        )
        # What a worker runs, as the store sees it.
        self.running = f"SELECT id, token FROM {TASK} WHERE worker_id {d.among} AND status = 'RUNNING'"
