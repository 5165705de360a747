"""Every statement of the store, for one dialect. Locks are taken on tasks before runs, and in the order of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.execution import OPEN_STATUSES

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

RUN = "django_durable_workflowexecution"
EVENT = "django_durable_historyevent"
TASK = "django_durable_activitytask"
MAIL = "django_durable_mail"
WORKER = "django_durable_worker"

OPEN = f"({', '.join(repr(status.value) for status in OPEN_STATUSES)})"
LIVE = "('QUEUED', 'RUNNING')"  # statuses of open tasks
# Who has a run in memory, if that worker is still there: a queue keeps entries for it for a while.
KEEPER = f"(SELECT w.id FROM {WORKER} w WHERE w.id = {RUN}.worker_id) AS keeper"

RUN_COLUMNS = (
    "id, workflow_name, workflow_id, status, version, history_length, input, result, error, queue, priority, "
    "start_at, deadline, parent_id, parent_call_id, worker_id, failures, crashes, created_at"
)
TASK_COLUMNS = (
    "id, execution_id, call_id, activity_name, status, input, attempt, token, queue, priority, retry_policy, "
    "scheduled_at, started_at, queued_at, retry_at, expires_at, schedule_to_start, start_to_close, "
    "heartbeat_timeout, heartbeat_at, heartbeat_details, crashes, failure"
)


class Statements:
    def __init__(self, d: Dialect) -> None:
        # --- runs: reading ---

        # A run as it stands.
        self.runs = f"SELECT {RUN_COLUMNS} FROM {RUN} WHERE id {d.among}"
        # The same, for its writer: waits for whoever holds it.
        self.own_run = f"{self.runs} {d.own}"
        # Histories, each in order.
        self.events = (
            f"SELECT execution_id, seq, type, call_id, details, created_at FROM {EVENT} "
            f"WHERE execution_id {d.among} ORDER BY execution_id, seq"
        )
        # Which of these exist: tells a row that is locked from one that is gone.
        self.runs_there = f"SELECT id, created_at FROM {RUN} WHERE id {d.among}"
        self.tasks_there = f"SELECT id FROM {TASK} WHERE id {d.among}"
        # Open children that are canceled with a run.
        self.children = (
            f"SELECT id FROM {RUN} WHERE parent_id {d.among} AND cancel_with_parent AND status IN {OPEN} ORDER BY id"
        )

        # --- runs: creating ---

        # A new run, unless an open one has its workflow_id.
        self.insert_runs = d.insert(
            RUN,
            {
                "id": "uuid",
                "workflow_name": "text",
                "workflow_id": "text",
                "input": "text",
                "queue": "text",
                "priority": "smallint",
                "due_at": "timestamptz",
                "start_at": "timestamptz",
                "deadline": "timestamptz",
                "parent_id": "uuid",
                "parent_call_id": "text",
                "cancel_with_parent": "boolean",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
                "status": "text",
                "error": "text",
                "version": "bigint",
                "history_length": "int",
                "failures": "int",
                "crashes": "int",
            },
            conflict="ON CONFLICT DO NOTHING",
        )
        # Who has these workflow_ids now.
        self.open_by_workflow_id = (
            f"SELECT workflow_id, id, workflow_name, input FROM {RUN} "
            f"WHERE workflow_id {d.among.replace('uuid', 'text')} AND status IN {OPEN}"
        )

        # --- runs: deciding ---

        # The attempts (0) and the runs (1) of a commit, tasks before runs; those that others hold are left out.
        # And mail (2), as it was when the statement began: who writes some that is not seen here wakes the run.
        # And the open tasks (3) of runs that close.
        self.own_free = (
            f"WITH t AS (SELECT id, status, token FROM {TASK} WHERE id {d.among} ORDER BY id {d.own_free}), "
            f"r AS (SELECT id, status, version FROM {RUN} WHERE id {d.among} ORDER BY id {d.own_free}) "
            "SELECT 0, id, status, token, NULL, NULL FROM t UNION ALL "
            "SELECT 1, id, status, version, NULL, NULL FROM r UNION ALL "
            f"SELECT 2, execution_id, type, id, call_id, details FROM {MAIL} WHERE execution_id {d.among} UNION ALL "
            f"SELECT 3, execution_id, CAST(id AS text), 0, NULL, NULL FROM {TASK} "
            f"WHERE execution_id {d.among} AND status IN {LIVE}"
        )
        # Mailboxes, oldest letter first. After the lock, so that READ COMMITTED shows what its last holder wrote.
        self.mail = (
            f"SELECT execution_id, id, type, call_id, details FROM {MAIL} WHERE execution_id {d.among} ORDER BY id"
        )
        # New facts.
        self.insert_events = d.insert(
            EVENT,
            {
                "execution_id": "uuid",
                "seq": "int",
                "type": "text",
                "call_id": "text",
                "details": "text",
                "created_at": "timestamptz",
            },
        )
        # What a decision makes of its run.
        self.decide_runs = d.update(
            RUN,
            {
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
            },
            f"version = {RUN}.version + 1, status = v.status, history_length = v.history_length, result = v.result, "
            "error = v.error, waiting_for = v.waiting_for, due_at = v.due_at, failures = v.failures, "
            "crashes = v.crashes, worker_id = v.worker_id, updated_at = v.updated_at, "
            f"started_at = COALESCE({RUN}.started_at, v.updated_at), finished_at = v.finished_at",
        )
        # Activities that decisions set in motion.
        self.insert_tasks = d.insert(
            TASK,
            {
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
            },
        )
        # How attempts ended. One that goes back into the queue changes hands: its old token is worth nothing.
        self.end_attempts = d.update(
            TASK,
            {
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
            },
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
            f"status = CASE WHEN {TASK}.status = 'QUEUED' THEN COALESCE(v.status, 'QUEUED') ELSE {TASK}.status END, "
            f"error = CASE WHEN {TASK}.status = 'QUEUED' THEN COALESCE(v.error, {TASK}.error) ELSE {TASK}.error END, "
            f"finished_at = CASE WHEN {TASK}.status = 'QUEUED' THEN v.finished_at END, "
            f"cancel_requested = ({TASK}.status = 'RUNNING'), "
            f"due_at = CASE WHEN {TASK}.status = 'RUNNING' OR v.status IS NULL THEN {TASK}.due_at END, "
            f"retry_at = CASE WHEN {TASK}.status = 'RUNNING' OR v.status IS NULL THEN {TASK}.retry_at END",
            f"AND {TASK}.status IN {LIVE}",
            lock=d.own,
        )
        # Mail that is in the history now.
        self.delete_read = d.delete(MAIL, {"id": "bigint", "execution_id": "uuid"})

        # --- runs: beside decisions ---

        # What open runs wait for.
        self.annotate = d.update(
            RUN,
            {"id": "uuid", "waiting_for": "text"},
            "waiting_for = v.waiting_for",
            f"AND {RUN}.status IN {OPEN}",
            lock=d.own_free,
        )
        # One more worker died over these.
        self.charge = (
            f"UPDATE {RUN} SET crashes = crashes + 1 WHERE id IN (SELECT id FROM {RUN} "
            f"WHERE id {d.among} AND status IN {OPEN} ORDER BY id {d.own_free})"
        )

        # --- mail ---

        # Where letters can be put without stopping the addressee from being decided on meanwhile.
        self.open_runs = f"SELECT id, queue, priority, {KEEPER} FROM {RUN} WHERE id {d.among} AND status IN {OPEN}"
        # Where letters can be put so that the run cannot close without having read them.
        self.hold_open_runs = f"{self.open_runs} ORDER BY id {d.hold}"
        # How full mailboxes are; empty ones are left out.
        self.count_mail = (
            f"SELECT execution_id, COUNT(*) FROM {MAIL} WHERE execution_id {d.among} GROUP BY execution_id"
        )
        self.insert_mail = d.insert(
            MAIL,
            {
                "execution_id": "uuid",
                "type": "text",
                "call_id": "text",
                "details": "text",
                "created_at": "timestamptz",
                "due_at": "timestamptz",
            },
        )

        # --- tasks ---

        # Tasks that may begin an attempt; one that somebody else is about to begin is left out.
        self.own_free_ready = (
            f"SELECT {TASK_COLUMNS} FROM {TASK} WHERE id {d.among} AND status = 'QUEUED' "
            f"AND (retry_at IS NULL OR retry_at <= {d.instant}) "
            f"ORDER BY id {d.own_free}"
        )
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
        # Which of these nobody wants another attempt of: their run has closed since they began.
        self.told_to_stop = f"SELECT id FROM {TASK} WHERE id {d.among} AND cancel_requested"
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

        # --- time ---

        # The first moment at which anything is due.
        self.next_due = (
            "SELECT MIN(due_at) FROM ("
            + " UNION ALL ".join(
                f"SELECT * FROM (SELECT due_at FROM {table} WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1) t{n}"
                for n, table in enumerate((RUN, TASK, MAIL))
            )
            + ") first"
        )
        self.due_runs = (
            f"SELECT id, queue, priority, {KEEPER} FROM {RUN} WHERE due_at <= {d.instant} "
            f"ORDER BY due_at LIMIT %s {d.own_free}"
        )
        self.due_tasks = (
            f"SELECT {TASK_COLUMNS} FROM {TASK} WHERE due_at <= {d.instant} ORDER BY due_at LIMIT %s {d.own_free}"
        )
        self.due_mail = (
            f"SELECT id, execution_id FROM {MAIL} WHERE due_at <= {d.instant} ORDER BY due_at LIMIT %s {d.own_free}"
        )
        self.runs_of_mail = f"SELECT id, status, queue, priority, {KEEPER} FROM {RUN} WHERE id {d.among}"
        # Mail that nobody will ever read.
        self.delete_mail = f"DELETE FROM {MAIL} WHERE id {d.among.replace('uuid', 'bigint')}"
        self.postpone_runs = f"UPDATE {RUN} SET due_at = {d.instant} WHERE id {d.among}"
        self.postpone_mail = f"UPDATE {MAIL} SET due_at = {d.instant} WHERE id {d.among.replace('uuid', 'bigint')}"

        # --- workers ---

        self.insert_worker = d.insert(
            WORKER,
            {
                "id": "uuid",
                "host": "text",
                "pid": "int",
                "queues": "text",
                "started_at": "timestamptz",
                "heartbeat_at": "timestamptz",
            },
            conflict="ON CONFLICT DO NOTHING",
        )
        # Gone on purpose, or found dead: only one caller is told of each.
        self.delete_workers = f"DELETE FROM {WORKER} WHERE id {d.among} RETURNING id"
        # Alive; no row means that somebody has declared it dead.
        self.beat = f"UPDATE {WORKER} SET heartbeat_at = {d.instant} WHERE id {d.among} RETURNING id"
        # Attempts that have called in.
        self.beat_tasks = d.update(
            TASK,
            {
                "id": "uuid",
                "token": "int",
                "heartbeat_at": "timestamptz",
                "details": "text",
                "due_at": "timestamptz",
            },
            f"heartbeat_at = COALESCE(v.heartbeat_at, {TASK}.heartbeat_at), "
            f"due_at = COALESCE(v.due_at, {TASK}.due_at), "
            f"heartbeat_details = COALESCE(v.details, {TASK}.heartbeat_details)",
            f"AND {TASK}.token = v.token AND {TASK}.status = 'RUNNING'",
            lock=d.own_free,  # a cancel in somebody's long transaction must not stop a worker's heart
        )
        # Attempts a worker asks about.
        self.asked_about = f"SELECT id, token, status, worker_id, cancel_requested FROM {TASK} WHERE id {d.among}"
        self.silent_workers = f"SELECT id FROM {WORKER} WHERE heartbeat_at < {d.instant} ORDER BY id"
        # To be buried; one that somebody else is burying is left out.
        self.own_free_workers = f"SELECT id FROM {WORKER} WHERE id {d.among} ORDER BY id {d.own_free}"
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
