"""What an audit reads: nothing here locks or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import (
    EVENT,
    ITEM,
    LAST,
    MAIL,
    MESSAGE,
    OPEN,
    RUN,
    RUN_COLUMNS,
    TASK,
    TASK_COLUMNS,
    VALUE,
    WORKER,
)
from durable_core.events import WorkflowCancelRequested

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect


class AuditStatements:
    def __init__(self, d: Dialect) -> None:
        # A page of runs, in the order of their creation. Parameters: since, the last one's creation and id, limit.
        self.outlines = (
            f"SELECT created_at, id, history_length FROM {RUN} WHERE created_at >= {d.instant} "
            f"AND (created_at, id) > ({d.instant}, {d.uuid}) ORDER BY created_at, id LIMIT %s"
        )
        self.audited_runs = (
            f"SELECT {RUN_COLUMNS}, (SELECT COUNT(*) FROM {RUN} n "
            f"WHERE n.chain_id = COALESCE({RUN}.chain_id, {RUN}.id) AND n.status IN {LAST}), waiting_for, due_at "
            f"FROM {RUN} WHERE id {d.among} ORDER BY created_at, id"
        )
        self.audited_events = (
            f"SELECT execution_id, seq, type, call_id, details, created_at FROM {EVENT} "
            f"WHERE execution_id {d.among} ORDER BY execution_id, seq"
        )
        self.audited_mail = (
            f"SELECT execution_id, id, type, call_id, details, due_at FROM {MAIL} "
            f"WHERE execution_id {d.among} ORDER BY id"
        )
        self.audited_tasks = (
            f"SELECT {TASK_COLUMNS}, result, worker_id, "
            f"EXISTS (SELECT 1 FROM {WORKER} w WHERE w.id = {TASK}.worker_id), due_at "
            f"FROM {TASK} WHERE execution_id {d.among} ORDER BY execution_id, scheduled_at, id"
        )
        self.audited_messages = (
            f"SELECT execution_id, kind, key, name, status, result, failure FROM {MESSAGE} "
            f"WHERE execution_id {d.among} ORDER BY id"
        )
        # Children of runs; the last column says whether a request to cancel it waits to be read.
        self.audited_children = (
            "SELECT parent_id, id, workflow_name, parent_call_id, status, result, error, cancel_with_parent, "
            f"EXISTS (SELECT 1 FROM {MAIL} m WHERE m.execution_id = {RUN}.id "
            f"AND m.type = '{WorkflowCancelRequested.type}') FROM {RUN} WHERE parent_id {d.among} ORDER BY id"
        )
        # What they let others read: events (0) with their values, and calls (1) that have published, with the stream.
        self.audited_outputs = (
            f"SELECT execution_id, 0 AS kind, key, value FROM {VALUE} WHERE execution_id {d.among} UNION ALL "
            f"SELECT DISTINCT execution_id, 1, call_id, stream FROM {ITEM} WHERE execution_id {d.among} "
            "ORDER BY 1, 2, 3, 4"
        )
        # Open runs with a workflow_id that an open one of these has, themselves included.
        self.namesakes = (
            f"SELECT workflow_id, id FROM {RUN} WHERE status IN {OPEN} AND workflow_id IN "
            f"(SELECT workflow_id FROM {RUN} WHERE id {d.among} AND status IN {OPEN} AND workflow_id IS NOT NULL)"
        )
