"""What a decision reads, locks and writes. Tasks are locked before runs, and both in the order of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import ASKED, EVENT, LIVE, MAIL, NOBODYS, RUN, TASK

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_EVENT = {
    "execution_id": "uuid",
    "seq": "int",
    "type": "text",
    "call_id": "text",
    "details": "text",
    "created_at": "timestamptz",
}
DECISION = {
    "id": "uuid",
    "status": "text",
    "history_length": "int",
    "result": "text",
    "error": "text",
    "waiting_for": "text",
    "due_at": "timestamptz",
    "failures": "int",
    "crashes": "int",
    "worker_id": "uuid",
    "updated_at": "timestamptz",
    "finished_at": "timestamptz",
}
NEW_TASK = {
    "id": "uuid",
    "execution_id": "uuid",
    "call_id": "text",
    "activity_name": "text",
    "status": "text",
    "attempt": "int",
    "token": "int",
    "input": "text",
    "queue": "text",
    "priority": "smallint",
    "retry_policy": "text",
    "expires_at": "timestamptz",
    "schedule_to_start": "float8",
    "start_to_close": "float8",
    "heartbeat_timeout": "float8",
    "worker_id": "uuid",
    "due_at": "timestamptz",
    "scheduled_at": "timestamptz",
    "queued_at": "timestamptz",
    "started_at": "timestamptz",
    "error": "text",
    "crashes": "int",
    "cancel_requested": "boolean",
    "at_most_once": "boolean",
}
ENDING = {
    "id": "uuid",
    "status": "text",
    "result": "text",
    "error": "text",
    "failure": "text",
    "retry_at": "timestamptz",
    "crashes": "int",
    "queued_at": "timestamptz",
    "finished_at": "timestamptz",
    "due_at": "timestamptz",
    "step": "int",
}


class CommitStatements:
    def __init__(self, d: Dialect) -> None:
        # The attempts (0) and the runs (1) of a commit, tasks before runs; those that others hold are left out.
        # And mail (2), as it was when the statement began: who writes some that is not seen here wakes the run.
        # And the open tasks (3) and human tasks (4) of runs that close.
        self.own_free = (
            f"WITH t AS (SELECT id, status, token FROM {TASK} WHERE id {d.among} ORDER BY id {d.own_free}), "
            f"r AS (SELECT id, status, version FROM {RUN} WHERE id {d.among} ORDER BY id {d.own_free}) "
            "SELECT 0, id, status, token, NULL, NULL FROM t UNION ALL "
            "SELECT 1, id, status, version, NULL, NULL FROM r UNION ALL "
            f"SELECT 2, execution_id, type, id, call_id, details FROM {MAIL} WHERE execution_id {d.among} UNION ALL "
            f"SELECT 3, execution_id, CAST(id AS text), 0, NULL, NULL FROM {TASK} "
            f"WHERE execution_id {d.among} AND status IN {LIVE} UNION ALL "
            f"SELECT 4, execution_id, CAST(id AS text), 0, NULL, NULL FROM {ASKED} "
            f"WHERE execution_id {d.among} AND status = 'OPEN'"
        )
        # Mailboxes, oldest letter first. After the lock, so that READ COMMITTED shows what its last holder wrote.
        self.mail = (
            f"SELECT execution_id, id, type, call_id, details FROM {MAIL} WHERE execution_id {d.among} ORDER BY id"
        )
        # Runs and their mailboxes; a row without a letter for an empty one.
        self.unread = (
            f"SELECT r.id, r.version, m.id, m.type, m.call_id, m.details FROM {RUN} r "
            f"LEFT JOIN {MAIL} m ON m.execution_id = r.id WHERE r.id {d.among} ORDER BY m.id"
        )
        # New facts.
        self.insert_events = d.insert(EVENT, NEW_EVENT)
        # What a decision makes of its run.
        self.decide_runs = d.update(
            RUN,
            DECISION,
            f"version = {RUN}.version + 1, status = v.status, history_length = v.history_length, result = v.result, "
            "error = v.error, waiting_for = v.waiting_for, due_at = v.due_at, failures = v.failures, "
            "crashes = v.crashes, worker_id = v.worker_id, updated_at = v.updated_at, "
            f"started_at = COALESCE({RUN}.started_at, v.updated_at), finished_at = v.finished_at",
        )
        # What runs that close keep of words that their code has not heard.
        self.keep_words = d.update(RUN, {"id": "uuid", "unheard": "text"}, "unheard = v.unheard")
        # Activities that decisions set in motion.
        self.insert_tasks = d.insert(TASK, NEW_TASK)
        # How attempts ended. One that goes back into the queue changes hands: its old token is worth nothing.
        self.end_attempts = d.update(
            TASK,
            ENDING,
            "status = v.status, result = v.result, error = v.error, "
            f"failure = COALESCE(v.failure, {TASK}.failure), "
            f"retry_at = v.retry_at, crashes = v.crashes, due_at = v.due_at, token = {TASK}.token + v.step, "
            f"queued_at = COALESCE(v.queued_at, {TASK}.queued_at), "
            f"worker_id = CASE WHEN v.step = 1 THEN NULL ELSE {TASK}.worker_id END, finished_at = v.finished_at",
        )
        # What becomes of the open tasks of runs that close: QUEUED ones end (or are kept, where v.status is NULL),
        # RUNNING ones are told to stop.
        self.close_tasks = d.update(
            TASK,
            {"id": "uuid", "status": "text", "error": "text", "finished_at": "timestamptz"},
            f"status = CASE WHEN {NOBODYS} THEN COALESCE(v.status, {TASK}.status) ELSE {TASK}.status END, "
            f"error = CASE WHEN {NOBODYS} THEN COALESCE(v.error, {TASK}.error) ELSE {TASK}.error END, "
            f"finished_at = CASE WHEN {NOBODYS} THEN v.finished_at END, "
            f"cancel_requested = NOT {NOBODYS}, "
            f"due_at = CASE WHEN NOT {NOBODYS} OR v.status IS NULL THEN {TASK}.due_at END, "
            f"retry_at = CASE WHEN NOT {NOBODYS} OR v.status IS NULL THEN {TASK}.retry_at END",
            f"AND {TASK}.status IN {LIVE}",
            lock=d.own,
        )
        # Mail that is in the history now.
        self.delete_read = d.delete(MAIL, {"id": "bigint", "execution_id": "uuid"})
