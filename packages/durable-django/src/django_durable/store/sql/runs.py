"""Runs: read, created, and what is noted of them beside decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import EVENT, LAST, OPEN, RUN, RUN_COLUMNS, TASK

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_RUN = {
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
    "chain_id": "uuid",
    "forked_from_id": "uuid",
    "timeout": "float8",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "status": "text",
    "error": "text",
    "version": "bigint",
    "history_length": "int",
    "failures": "int",
    "crashes": "int",
}


class RunStatements:
    def __init__(self, d: Dialect) -> None:
        # --- reading ---

        # A run as it stands.
        self.runs = f"SELECT {RUN_COLUMNS} FROM {RUN} WHERE id {d.among}"
        # The same, for its writer: waits for whoever holds it.
        self.own_run = f"{self.runs} {d.own}"
        # Histories, each in order.
        self.events = (
            f"SELECT execution_id, seq, type, call_id, details, created_at FROM {EVENT} "
            f"WHERE execution_id {d.among} ORDER BY execution_id, seq"
        )
        # The last event of one.
        self.last_event = (
            f"SELECT seq, type, call_id, details, created_at FROM {EVENT} "
            f"WHERE execution_id {d.among} ORDER BY seq DESC LIMIT 1"
        )
        # The newest of the runs that go on for one.
        self.newest = (
            f"SELECT {RUN_COLUMNS} FROM {RUN} WHERE status IN {LAST} "
            f"AND chain_id = (SELECT COALESCE(chain_id, id) FROM {RUN} o WHERE o.id {d.among})"
        )
        # Which of these exist: tells a row that is locked from one that is gone.
        self.runs_there = f"SELECT id, created_at FROM {RUN} WHERE id {d.among}"
        self.tasks_there = f"SELECT id FROM {TASK} WHERE id {d.among}"
        # Open children that are canceled with a run.
        self.children = (
            f"SELECT id FROM {RUN} WHERE parent_id {d.among} AND cancel_with_parent AND status IN {OPEN} ORDER BY id"
        )

        # --- creating ---

        # A new run, unless an open one has its workflow_id.
        self.insert_runs = d.insert(RUN, NEW_RUN, conflict="ON CONFLICT DO NOTHING")
        # Who has these workflow_ids now.
        self.open_by_workflow_id = (
            f"SELECT workflow_id, id, workflow_name, input FROM {RUN} "
            f"WHERE workflow_id {d.among.replace('uuid', 'text')} AND status IN {OPEN}"
        )

        # --- beside decisions ---

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

        # Those that a dead worker has been charged against.
        self.crashed = f"SELECT id FROM {RUN} WHERE id {d.among} AND crashes > 0"
