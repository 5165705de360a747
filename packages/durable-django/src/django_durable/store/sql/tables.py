"""Names of tables and columns, and the statuses that statements speak of."""

from __future__ import annotations

from durable_core.execution import OPEN_STATUSES, Status

RUN = "django_durable_workflowexecution"
EVENT = "django_durable_historyevent"
TASK = "django_durable_activitytask"
VALUE = "django_durable_eventvalue"
ITEM = "django_durable_publisheditem"
MAIL = "django_durable_mail"
MESSAGE = "django_durable_message"
ASKED = "django_durable_humantask"
WORKER = "django_durable_worker"

OPEN = f"({', '.join(repr(status.value) for status in OPEN_STATUSES)})"
# Of the last run of a chain. Named one by one: an index of (chain_id, status) knows nothing of "any but".
LAST = f"({', '.join(repr(status.value) for status in Status if status is not Status.CONTINUED_AS_NEW)})"
LIVE = "('QUEUED', 'RUNNING')"  # statuses of open tasks
# Of an open task: it has no worker, so that it can end at once. RUNNING ones are completed from outside.
NOBODYS = f"({TASK}.status = 'QUEUED' OR {TASK}.worker_id IS NULL)"
# Who has a run in memory, if that worker is still there: a queue keeps entries for it for a while.
KEEPER = f"(SELECT w.id FROM {WORKER} w WHERE w.id = {RUN}.worker_id) AS keeper"

RUN_COLUMNS = (
    "id, workflow_name, workflow_id, status, version, history_length, input, result, error, queue, priority, "
    "start_at, deadline, parent_id, parent_call_id, worker_id, failures, crashes, created_at, cancel_with_parent, "
    "chain_id, timeout, paused_at, unheard, forked_from_id"
)
ASKED_COLUMNS = (
    "id, execution_id, call_id, question, form, assignee, permission, status, asked_at, expires_at, answer, "
    "answered_by, reason, ended_at"
)
TASK_COLUMNS = (
    "id, execution_id, call_id, activity_name, status, input, attempt, token, queue, priority, retry_policy, "
    "scheduled_at, started_at, queued_at, retry_at, expires_at, schedule_to_start, start_to_close, "
    "heartbeat_timeout, heartbeat_at, heartbeat_details, crashes, failure, at_most_once, "
    "completion_digest, completion_expires_at, (worker_id IS NULL AND status = 'RUNNING')"
)
