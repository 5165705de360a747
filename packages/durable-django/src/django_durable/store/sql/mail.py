"""Letters to runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import KEEPER, MAIL, OPEN, RUN

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect


class MailStatements:
    def __init__(self, d: Dialect) -> None:
        # Where letters can be put without stopping the addressee from being decided on meanwhile.
        self.open_runs = f"SELECT id, queue, priority, {KEEPER} FROM {RUN} WHERE id {d.among} AND status IN {OPEN}"
        # Where letters can be put so that the run cannot close without having read them.
        self.hold_open_runs = f"{self.open_runs} ORDER BY id {d.hold}"
        # The same, without those that somebody decides on.
        self.hold_free_open_runs = f"{self.open_runs} ORDER BY id {d.hold_free}"
        # Where letters go that were written to runs which were continued as new: the open ends of their chains.
        self.open_ends = (
            f"SELECT o.id, n.id FROM {RUN} o JOIN {RUN} n ON n.chain_id = COALESCE(o.chain_id, o.id) "
            f"WHERE o.id {d.among} AND o.status = 'CONTINUED_AS_NEW' AND n.status IN {OPEN}"
        )
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
