"""What people do to runs: pause and resume them, and open closed ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import LAST, RUN, RUN_COLUMNS, TASK, TASK_COLUMNS

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
REOPENED = {
    "id": "uuid",
    "history_length": "int",
    "waiting_for": "text",
    "deadline": "timestamptz",
    "due_at": "timestamptz",
    "updated_at": "timestamptz",
}
BEGUN_ANEW = {
    "id": "uuid",
    "expires_at": "timestamptz",
    "due_at": "timestamptz",
    "queued_at": "timestamptz",
}


class LifeStatements:
    def __init__(self, d: Dialect) -> None:
        # The newest run but one with a workflow_id. Parameters: the id, that one.
        self.last_of = (
            f"SELECT {RUN_COLUMNS} FROM {RUN} WHERE workflow_id {d.among.replace('uuid', 'text')} AND NOT id {d.among} "
            f"AND status IN {LAST} ORDER BY created_at DESC, id DESC LIMIT 1"
        )
        # Nothing is decided for a run until it is resumed; what is being decided does not stand.
        # Parameters: the time, the reason, the time, the run.
        self.pause = (
            f"UPDATE {RUN} SET paused_at = {d.instant}, pause_reason = %s, due_at = deadline, worker_id = NULL, "
            f"version = version + 1, updated_at = {d.instant} WHERE id {d.among}"
        )
        # Parameters: when it is due, the time, the run.
        self.resume = (
            f"UPDATE {RUN} SET paused_at = NULL, pause_reason = NULL, due_at = {d.instant}, "
            f"version = version + 1, updated_at = {d.instant} WHERE id {d.among}"
        )
        # The activities of a run, open and closed.
        self.tasks_of = (
            f"SELECT {TASK_COLUMNS}, result FROM {TASK} WHERE execution_id {d.among} ORDER BY scheduled_at, id"
        )
        # Closed runs go on.
        self.reopen_runs = d.update(
            RUN,
            REOPENED,
            f"status = 'RUNNING', version = {RUN}.version + 1, history_length = v.history_length, result = NULL, "
            "error = '', waiting_for = v.waiting_for, deadline = v.deadline, due_at = v.due_at, failures = 0, "
            "crashes = 0, paused_at = NULL, pause_reason = NULL, unheard = NULL, worker_id = NULL, "
            "finished_at = NULL, updated_at = v.updated_at",
        )
        # Their activities begin anew, as if never tried; an attempt that is still under way is nobody's.
        self.begin_anew = d.update(
            TASK,
            BEGUN_ANEW,
            f"status = 'QUEUED', attempt = 0, token = {TASK}.token + 1, result = NULL, worker_id = NULL, "
            "scheduled_at = v.queued_at, queued_at = v.queued_at, started_at = NULL, finished_at = NULL, "
            "retry_at = NULL, expires_at = v.expires_at, heartbeat_at = NULL, crashes = 0, cancel_requested = FALSE, "
            "due_at = v.due_at",
            lock=d.own,
        )
        # Activities that their code has canceled, of runs that go on. Parameters: the time, the activities.
        self.end_canceled = (
            f"UPDATE {TASK} SET status = 'CANCELED', token = token + 1, result = NULL, worker_id = NULL, "
            f"retry_at = NULL, due_at = NULL, finished_at = {d.instant} WHERE id {d.among}"
        )
