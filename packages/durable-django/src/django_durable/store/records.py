"""Rows to records, and records to rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django_durable.store.database import hex_of, instant, seconds, seconds_of, uuid, uuid_or_none
from durable_core.events import EventRecord
from durable_core.execution import Status, TaskStatus
from durable_core.failures import summary
from durable_core.ports import Mail, RunRecord, TaskRecord, Wake, earliest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from django_durable.store.database import Database, Row
    from durable_core.ports import Letter, NewRun, NewTask


def run_of(row: Row) -> RunRecord:
    """From `RUN_COLUMNS`."""
    created_at = instant(row[18])
    assert created_at is not None
    return RunRecord(
        id=uuid(row[0]),
        workflow_name=row[1],
        workflow_id=row[2],
        status=Status(row[3]),
        version=row[4],
        history_length=row[5],
        input=row[6],
        result=row[7],
        error=row[8],
        queue=row[9],
        priority=row[10],
        start_at=instant(row[11]),
        deadline=instant(row[12]),
        parent_id=uuid_or_none(row[13]),
        parent_call_id=row[14],
        cancel_with_parent=bool(row[19]),
        chain_id=uuid_or_none(row[20]),
        timeout=seconds(row[21]),
        worker_id=uuid_or_none(row[15]),
        failures=row[16],
        crashes=row[17],
        created_at=created_at,
        paused_at=instant(row[22]),
        unheard=row[23],
        forked_from=uuid_or_none(row[24]),
    )


def task_of(row: Row) -> TaskRecord:
    """From `TASK_COLUMNS`."""
    scheduled_at, queued_at = instant(row[11]), instant(row[13])
    assert scheduled_at is not None
    assert queued_at is not None
    return TaskRecord(
        id=uuid(row[0]),
        run_id=uuid(row[1]),
        call_id=row[2],
        activity_name=row[3],
        status=TaskStatus(row[4]),
        input=row[5],
        attempt=row[6],
        token=row[7],
        queue=row[8],
        priority=row[9],
        retry_policy=json.loads(row[10]),
        scheduled_at=scheduled_at,
        started_at=instant(row[12]),
        queued_at=queued_at,
        retry_at=instant(row[14]),
        expires_at=instant(row[15]),
        schedule_to_start=seconds(row[16]),
        start_to_close=seconds(row[17]),
        heartbeat_timeout=seconds(row[18]),
        heartbeat_at=instant(row[19]),
        heartbeat_details=row[20],
        crashes=row[21],
        failure=None if row[22] is None else json.loads(row[22]),
        at_most_once=bool(row[23]),
        completion_digest=row[24],
        completion_expires_at=instant(row[25]),
        is_detached=bool(row[26]),
    )


def wake_of(row: Row) -> Wake:
    """From id, queue, priority, worker_id."""
    return Wake(uuid(row[0]), row[1], row[2], uuid_or_none(row[3]))


def event_of(seq: int, kind: str, call_id: str | None, details: str, created_at: Any) -> EventRecord:
    at = instant(created_at)
    assert at is not None
    return EventRecord(seq, kind, call_id, details, at)


def mail_of(rows: list[Row]) -> dict[Any, list[Mail]]:
    """By execution_id, as the database has it."""
    boxes: dict[Any, list[Mail]] = {}
    for run_id, *letter in rows:
        boxes.setdefault(run_id, []).append(Mail(*letter))
    return boxes


def row_of_run(run: NewRun, now: str, db: Database) -> Row:
    """For `insert_runs`."""
    return (
        run.id.hex,
        run.workflow_name,
        run.workflow_id,
        run.input,
        run.queue,
        run.priority,
        db.at(earliest(run.due_at, run.deadline)),
        db.at(run.start_at),
        db.at(run.deadline),
        hex_of(run.parent_id),
        run.parent_call_id,
        run.cancel_with_parent,
        hex_of(run.chain_id),
        hex_of(run.forked_from),
        seconds_of(run.timeout),
        now,
        now,
        "PENDING",
        "",
        0,
        0,
        0,
        0,
    )


def row_of_task(task: NewTask, run_id: UUID, worker_id: UUID | None, now: str, db: Database) -> Row:
    """For `insert_tasks`."""
    claimed = task.claimed
    return (
        task.id.hex,
        run_id.hex,
        task.call_id,
        task.activity_name,
        "RUNNING" if claimed else "QUEUED",
        1 if claimed else 0,
        1 if claimed else 0,
        task.input,
        task.queue,
        task.priority,
        policy_text(task.retry_policy),
        db.at(task.expires_at),
        seconds_of(task.schedule_to_start),
        seconds_of(task.start_to_close),
        seconds_of(task.heartbeat_timeout),
        hex_of(worker_id) if claimed else None,
        db.at(task.due_at),
        now,
        now,
        now if claimed else None,
        "",
        0,
        False,
        task.at_most_once,
    )


_policy_encode = json.JSONEncoder(separators=(",", ":")).encode


def policy_text(policy: Mapping[str, Any]) -> str:
    return _policy_encode(dict(policy))


def row_of_letter(letter: Letter, now: str, due_at: str) -> Row:
    """For `insert_mail`."""
    return (letter.run_id.hex, letter.type, letter.call_id, letter.details, now, due_at)


def failure_text(failure: Mapping[str, Any] | None) -> tuple[str, str | None]:
    """The columns error and failure. Of a sealed one, only the second."""
    if failure is None:
        return "", None
    return storable(summary(dict(failure))), json.dumps(dict(failure))


def storable(text: str) -> str:
    """Plain text without what a text column refuses: NUL on Postgres, lone surrogates on both. They become escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
