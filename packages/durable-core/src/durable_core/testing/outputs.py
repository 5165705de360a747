"""What runs in memory let others read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.testing.rows import ValueRow
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import NewValue


class OutputMethods(State):
    def value(self, run_id: UUID, key: str) -> Payload | None:
        with self.transaction():
            rows = self._values.group("event", (self._chain_of(run_id), key))
            return max(rows).value.value if rows else None

    def _set_values(self, run_id: UUID, values: Iterable[NewValue]) -> None:
        for value in values:
            older = self._values.get((run_id, value.key))
            number = next(self._numbers) if older is None else older.number
            self._values.put((run_id, value.key), ValueRow(number, run_id, value))

    def _chain_of(self, run_id: UUID) -> UUID:
        run = self._runs.get(run_id)
        return run_id if run is None else run.record.chain_id or run_id
