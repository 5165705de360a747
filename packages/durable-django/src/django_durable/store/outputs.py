"""What runs let others read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.base import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.codec import Payload
    from durable_core.ports import Commit


class Outputs(Part):
    def value(self, run_id: UUID, key: str) -> Payload | None:
        rows = self.db.rows(self.sql.value, self.db.ids([run_id]), key)
        return rows[0][0] if rows else None

    def _value_rows(self, commits: Sequence[Commit], now: str) -> Iterator[Row]:
        for commit in commits:
            for chain_id, key, value in commit.values:
                yield commit.run_id.hex, chain_id.hex, key, value, now
