"""What is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import KEEPER, MAIL, RUN, TASK, TASK_COLUMNS

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect


class ScheduleStatements:
    def __init__(self, d: Dialect) -> None:
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
