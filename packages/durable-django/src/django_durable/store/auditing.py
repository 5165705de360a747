"""What an audit reads of the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django_durable.store.database import instant, uuid, uuid_or_none
from django_durable.store.messages import message_of
from django_durable.store.people import asked_of
from django_durable.store.records import run_of, task_of
from django_durable.store.workers import Workers
from durable_core.events import EventRecord
from durable_core.execution import Status
from durable_core.ports import AuditedChild, AuditedItem, AuditedMail, AuditedRun, AuditedTask, Mail, Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager

    from django_durable.store.database import Row

T = TypeVar("T")
BEGINNING = Outline(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0), 0)


class Audits(Workers):
    def snapshot(self) -> AbstractContextManager[None]:
        return self.db.snapshot()

    def outlines(self, *, after: Outline | None, since: datetime | None, limit: int) -> list[Outline]:
        after = after or BEGINNING
        params = self.db.at(since or BEGINNING.created_at), self.db.at(after.created_at), after.run_id.hex, limit
        return [Outline(_at(row[0]), uuid(row[1]), row[2]) for row in self.db.rows(self.sql.outlines, *params)]

    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        if not run_ids:
            return []
        sql, ids = self.sql, self.db.ids(run_ids)
        statements = (
            sql.audited_runs,
            sql.audited_events,
            sql.audited_mail,
            sql.audited_tasks,
            sql.audited_children,
            sql.audited_messages,
            sql.audited_asked,
            sql.namesakes,
        )
        with self.snapshot():
            outputs = (sql.audited_outputs, ids, ids)
            runs, *others, names, told = self.db.rows_of_all([*((statement, ids) for statement in statements), outputs])
        events, mail = _by_run(others[0], _event_of), _by_run(others[1], _mail_of)
        tasks, children = _by_run(others[2], _task_of), _by_run(others[3], _child_of)
        messages = _by_run(others[4], lambda row: (row[0], message_of(row)))
        asked = _by_run(others[5], lambda row: (row[1], asked_of(row)))
        values = _by_run([row for row in told if row[1] == 0], lambda row: (row[0], row[2:]))
        items = _by_run([row for row in told if row[1] == 1], lambda row: (row[0], AuditedItem(*row[2:])))
        namesakes: dict[str, list[UUID]] = {}
        for name, run_id in names:
            namesakes.setdefault(name, []).append(uuid(run_id))
        return [
            AuditedRun(
                record=(record := run_of(row)),
                values=dict(values.get(record.id, ())),
                items=items.get(record.id, ()),
                asked=asked.get(record.id, ()),
                chain_ends=row[-3],
                waiting_for=row[-2],
                due_at=instant(row[-1]),
                events=events.get(record.id, ()),
                mail=mail.get(record.id, ()),
                tasks=tasks.get(record.id, ()),
                children=children.get(record.id, ()),
                messages=messages.get(record.id, ()),
                namesakes=[
                    other
                    for other in namesakes.get(record.workflow_id or "", ())
                    if other != record.id and not record.status.is_closed
                ],
            )
            for row in runs
        ]


def _by_run(rows: list[Row], make: Callable[[Row], tuple[Any, T]]) -> dict[UUID, list[T]]:
    found: dict[UUID, list[T]] = {}
    for row in rows:
        run_id, made = make(row)
        found.setdefault(uuid(run_id), []).append(made)
    return found


def _event_of(row: Row) -> tuple[Any, EventRecord]:
    return row[0], EventRecord(row[1], row[2], row[3], row[4], _at(row[5]))


def _mail_of(row: Row) -> tuple[Any, AuditedMail]:
    return row[0], AuditedMail(Mail(*row[1:5]), instant(row[5]))


def _task_of(row: Row) -> tuple[Any, AuditedTask]:
    *columns, result, worker_id, has_worker, due_at = row
    task = AuditedTask(
        record=task_of(tuple(columns)),
        result=result,
        worker_id=uuid_or_none(worker_id),
        has_worker=bool(has_worker),
        due_at=instant(due_at),
    )
    return row[1], task


def _child_of(row: Row) -> tuple[Any, AuditedChild]:
    parent_id, child_id, name, call_id, status, result, error, cancel_with_parent, is_told = row
    child = AuditedChild(
        id=uuid(child_id),
        workflow_name=name,
        call_id=call_id,
        status=Status(status),
        result=result,
        error=error,
        cancel_with_parent=bool(cancel_with_parent),
        is_told=bool(is_told),
    )
    return parent_id, child


def _at(value: Any) -> datetime:
    at = instant(value)
    assert at is not None
    return at
