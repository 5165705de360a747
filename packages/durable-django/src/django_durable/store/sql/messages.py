"""Messages that their senders have given a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import MESSAGE

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect


class MessageStatements:
    def __init__(self, d: Dialect) -> None:
        # A new message, unless the chain has one with its key; waits for who is about to write that.
        self.insert_message = d.insert(
            MESSAGE,
            {
                "execution_id": "uuid",
                "chain_id": "uuid",
                "kind": "text",
                "key": "text",
                "name": "text",
                "status": "text",
                "created_at": "timestamptz",
            },
            conflict="ON CONFLICT DO NOTHING",
        )
        self.message = (
            f"SELECT execution_id, kind, key, name, status, result, failure FROM {MESSAGE} "
            f"WHERE chain_id = {d.uuid} AND kind = %s AND key = %s"
        )
        # What has become of updates.
        self.tell_updates = d.update(
            MESSAGE,
            {
                "chain_id": "uuid",
                "key": "text",
                "execution_id": "uuid",
                "status": "text",
                "result": "text",
                "failure": "text",
                "finished_at": "timestamptz",
            },
            "execution_id = v.execution_id, status = v.status, result = v.result, failure = v.failure, "
            "finished_at = v.finished_at",
            f"AND {MESSAGE}.key = v.key AND {MESSAGE}.kind = 'update' AND {MESSAGE}.status IN ('SENT', 'ACCEPTED')",
        )
        # Of chains: all but the newest messages that have come to their end. Parameters: chains, how many stay.
        self.forget_messages = (
            f"DELETE FROM {MESSAGE} WHERE id IN (SELECT id FROM (SELECT id, "
            f"ROW_NUMBER() OVER (PARTITION BY chain_id ORDER BY id DESC) AS age FROM {MESSAGE} "
            f"WHERE chain_id {d.among} AND (kind = 'signal' OR status NOT IN ('SENT', 'ACCEPTED'))) ended "
            "WHERE age > %s)"
        )
