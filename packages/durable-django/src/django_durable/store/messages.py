"""Messages that their senders have given a key, and what has become of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django_durable.store.base import Part
from django_durable.store.database import uuid
from durable_core.execution import MessageStatus
from durable_core.ports import MAX_KEPT, MessageKind, MessageRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.ports import Commit, NewMessage


class Messages(Part):
    def note(self, message: NewMessage) -> bool:
        with self.db.transaction():
            row = (
                message.run_id.hex,
                message.chain_id.hex,
                message.kind.value,
                message.key,
                message.name,
                MessageStatus.SENT.value,
                self.db.stamp(),
            )
            return self.db.run_many(self.sql.insert_message, [row]) == 1

    def message(self, chain_id: UUID, kind: MessageKind, key: str) -> MessageRecord | None:
        rows = self.db.rows(self.sql.message, chain_id.hex, kind.value, key)
        return message_of(rows[0]) if rows else None

    def _update_rows(self, commits: Iterable[Commit], now: str) -> list[Row]:
        """For `tell_updates`."""
        return [
            (
                news.chain_id.hex,
                news.key,
                commit.run_id.hex,
                news.status.value,
                news.result,
                None if news.failure is None else json.dumps(dict(news.failure)),
                now if news.status.is_final else None,
            )
            for commit in commits
            for news in commit.updates
        ]

    def _forget_messages(self, chains: Sequence[UUID]) -> None:
        if chains:
            self.db.run(self.sql.forget_messages, self.db.ids(chains), MAX_KEPT)


def message_of(row: Row) -> MessageRecord:
    return MessageRecord(
        run_id=uuid(row[0]),
        kind=MessageKind(row[1]),
        key=row[2],
        name=row[3],
        status=MessageStatus(row[4]),
        result=row[5],
        failure=None if row[6] is None else json.loads(row[6]),
    )
