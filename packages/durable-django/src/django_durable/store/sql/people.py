"""Questions to people. Only who holds their run writes them, or who has kept others from deciding on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import ASKED, ASKED_COLUMNS

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_ASKED = {
    "id": "uuid",
    "execution_id": "uuid",
    "call_id": "text",
    "question": "text",
    "form": "text",
    "assignee": "text",
    "permission": "text",
    "status": "text",
    "asked_at": "timestamptz",
    "expires_at": "timestamptz",
    "reason": "text",
}
ANEW = ", ".join(f"{name} = excluded.{name}" for name in NEW_ASKED if name not in ("id", "execution_id", "call_id"))


class PeopleStatements:
    def __init__(self, d: Dialect) -> None:
        # Questions that decisions ask; one that was put aside when its run was opened again is asked anew.
        self.insert_asked = d.insert(
            ASKED,
            NEW_ASKED,
            conflict=f"ON CONFLICT (id) DO UPDATE SET {ANEW}, answer = NULL, answered_by = NULL, ended_at = NULL",
        )
        # Open ones are over: expired, or canceled.
        self.end_asked = d.update(
            ASKED,
            {"id": "uuid", "status": "text", "reason": "text", "ended_at": "timestamptz"},
            "status = v.status, reason = v.reason, ended_at = v.ended_at",
            f"AND {ASKED}.status = 'OPEN'",
        )
        # An open one is answered.
        self.answer_asked = d.update(
            ASKED,
            {"id": "uuid", "answer": "text", "answered_by": "text", "ended_at": "timestamptz"},
            "status = 'ANSWERED', answer = v.answer, answered_by = v.answered_by, ended_at = v.ended_at",
            f"AND {ASKED}.status = 'OPEN'",
        )
        # Those that a run which is opened again still waits for.
        self.ask_again = (
            f"UPDATE {ASKED} SET status = 'OPEN', reason = '', ended_at = NULL WHERE id {d.among} "
            "AND status <> 'ANSWERED'"
        )
        self.asked = f"SELECT {ASKED_COLUMNS} FROM {ASKED} WHERE id {d.among}"
        # Which of these are open.
        self.open_asked = f"SELECT id FROM {ASKED} WHERE id {d.among} AND status = 'OPEN'"
        # Questions of runs, for an audit.
        self.audited_asked = (
            f"SELECT {ASKED_COLUMNS} FROM {ASKED} WHERE execution_id {d.among} ORDER BY execution_id, asked_at, id"
        )
