"""What the in-memory store keeps of messages that their senders have given a key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core.execution import MessageStatus
from durable_core.ports import MAX_KEPT, MessageKind, MessageRecord
from durable_core.testing.rows import MessageRow, as_stored
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from durable_core.ports import Commit, Letter, MessageNews, NewMessage


class MessageMethods(State):
    def note(self, message: NewMessage) -> bool:
        with self.transaction():
            key = (message.chain_id, message.kind.value, message.key)
            if self._messages.get(key) is not None:
                return False
            record = MessageRecord(
                run_id=message.run_id,
                kind=message.kind,
                key=message.key,
                name=message.name,
                status=MessageStatus.SENT,
                result=None,
                failure=None,
            )
            self._messages.put(key, MessageRow(next(self._mail_ids), message.chain_id, record))
            return True

    def message(self, chain_id: UUID, kind: MessageKind, key: str) -> MessageRecord | None:
        with self.transaction():
            row = self._messages.get((chain_id, kind.value, key))
            return None if row is None else row.record

    def _tell(self, run_id: UUID, updates: Iterable[MessageNews]) -> None:
        for news in updates:
            key = (news.chain_id, MessageKind.UPDATE.value, news.key)
            row = self._messages.get(key)
            if row is None or row.record.status.is_final:
                continue
            failure = None if news.failure is None else as_stored(news.failure)
            record = replace(row.record, run_id=run_id, status=news.status, result=news.result, failure=failure)
            self._messages.put(key, replace(row, record=record))

    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        """Those that can be delivered, and what their sender hears of all."""
        letters: list[Letter] = []
        for message in commit.outgoing:
            target = message.run_id
            if message.workflow_id is not None:
                named = self._runs.group("open workflow_id", message.workflow_id)
                target = named[0].record.id if named else None
            run = None if target is None else self._newest(target)
            if run is not None and run.is_open:
                letters.append(message.letter(run.record.id))
                failure = None
            else:
                failure = "unknown" if run is None else "closed"
            letters.append(message.word(commit.run_id, failure))
        return letters

    def _forget_messages(self, chain_id: UUID) -> None:
        """All but the newest of those that have come to their end."""
        rows = [row for row in self._messages.group("chain", chain_id) if _has_ended(row.record)]
        for row in sorted(rows, key=lambda row: row.number, reverse=True)[MAX_KEPT:]:
            self._messages.remove((chain_id, row.record.kind.value, row.record.key))


def _has_ended(record: MessageRecord) -> bool:
    return record.kind is MessageKind.SIGNAL or record.status.is_final
