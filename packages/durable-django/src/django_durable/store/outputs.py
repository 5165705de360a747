"""What runs let others read: events and streams.

Rows are numbered while their run is held by whoever writes them. So a row that becomes visible later has a higher
number, in a run, and also in a chain, whose runs follow one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.base import Part
from django_durable.store.database import uuid
from durable_core.ports import NewItem, Published, StoredItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.codec import Payload
    from durable_core.ports import AttemptItems, Commit


class Outputs(Part):
    def value(self, run_id: UUID, key: str) -> Payload | None:
        rows = self.db.rows(self.sql.value, self.db.ids([run_id]), key)
        return rows[0][0] if rows else None

    def items(self, run_id: UUID, stream: str, *, after: int, limit: int) -> list[StoredItem]:
        rows = self.db.rows(self.sql.items, self.db.ids([run_id]), stream, after, limit)
        return [StoredItem(*row) for row in rows]

    def published(self, run_id: UUID) -> list[NewItem]:
        rows = self.db.rows(self.sql.items_of_run, self.db.ids([run_id]))
        return [NewItem(uuid(chain_id), *row) for chain_id, *row in rows]

    def publish(self, attempts: Sequence[AttemptItems]) -> Published:
        if not attempts:
            return Published(frozenset(), frozenset())
        db, sql = self.db, self.sql
        runs = db.ids({attempt.run_id for attempt in attempts})
        with db.transaction():
            owned: dict[object, object] = dict(db.rows(sql.own_open_runs, runs))
            busy: set[object] = set()
            if any(db.key(attempt.run_id) not in owned for attempt in attempts):
                busy = {row[0] for row in db.rows(sql.open_runs_there, runs)} - owned.keys()
            # Behind the lock: what ends an attempt by a decision holds its run.
            live: dict[object, int] = dict(db.rows(sql.live_attempts, db.ids(attempt.task_id for attempt in attempts)))
            accepted = [
                attempt
                for attempt in attempts
                if db.key(attempt.run_id) in owned and live.get(db.key(attempt.task_id)) == attempt.token
            ]
            now = db.stamp()
            db.run_many(
                sql.insert_items,
                [
                    (attempt.run_id.hex, str(owned[db.key(attempt.run_id)]), stream, attempt.call_id, number, item, now)
                    for attempt in accepted
                    for stream, number, item in attempt.items
                ],
            )
        held = frozenset(attempt.task_id for attempt in attempts if db.key(attempt.run_id) in busy)
        taken = {attempt.task_id for attempt in accepted}
        return Published(frozenset(attempt.task_id for attempt in attempts) - taken - held, held)

    def _value_rows(self, commits: Sequence[Commit], now: str) -> Iterator[Row]:
        for commit in commits:
            for chain_id, key, value in commit.values:
                yield commit.run_id.hex, chain_id.hex, key, value, now

    def _item_rows(self, commits: Sequence[Commit], now: str) -> Iterator[Row]:
        for commit in commits:
            for chain_id, stream, call_id, number, item in commit.items:
                yield commit.run_id.hex, chain_id.hex, stream, call_id, number, item, now
