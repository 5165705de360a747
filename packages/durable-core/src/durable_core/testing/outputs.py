"""What runs in memory let others read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.execution import TaskStatus
from durable_core.ports import NewItem, Published, StoredItem
from durable_core.testing.rows import ItemRow, ValueRow
from durable_core.testing.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import AttemptItems, NewValue


class OutputMethods(State):
    """The part of `HistoryStore` that is about events and streams."""

    def value(self, run_id: UUID, key: str) -> Payload | None:
        with self.transaction():
            rows = self._values.group("event", (self._chain_of(run_id), key))
            return max(rows).value.value if rows else None

    def publish(self, attempts: Sequence[AttemptItems]) -> Published:
        refused = set()
        with self.transaction():
            for attempt in attempts:
                if not self._is_under_way(attempt):
                    refused.add(attempt.task_id)
                    continue
                chain_id = self._chain_of(attempt.run_id)
                new = [NewItem(chain_id, stream, attempt.call_id, number, i) for stream, number, i in attempt.items]
                self._put_items(attempt.run_id, new)
        return Published(frozenset(refused), frozenset())

    def items(self, run_id: UUID, stream: str, *, after: int, limit: int) -> list[StoredItem]:
        with self.transaction():
            rows = sorted(self._items.group("stream", (self._chain_of(run_id), stream)))
            return [StoredItem(row.cursor, row.new.item) for row in rows if row.cursor > after][:limit]

    def published(self, run_id: UUID) -> list[NewItem]:
        with self.transaction():
            return [row.new for row in sorted(self._items.group("run", run_id))]

    def _is_under_way(self, attempt: AttemptItems) -> bool:
        task = self._tasks.get(attempt.task_id)
        if task is None or self._open_run(attempt.run_id) is None:
            return False
        return task.record.status is TaskStatus.RUNNING and task.record.token == attempt.token

    def _set_values(self, run_id: UUID, values: Iterable[NewValue]) -> None:
        for value in values:
            older = self._values.get((run_id, value.key))
            number = next(self._numbers) if older is None else older.number
            self._values.put((run_id, value.key), ValueRow(number, run_id, value))

    def _put_items(self, run_id: UUID, items: Iterable[NewItem]) -> None:
        for new in items:
            key = (run_id, new.stream, new.call_id, new.number)
            if self._items.get(key) is None:
                self._items.put(key, ItemRow(next(self._numbers), run_id, new))

    def _chain_of(self, run_id: UUID) -> UUID:
        run = self._runs.get(run_id)
        return run_id if run is None else run.record.chain_id or run_id
