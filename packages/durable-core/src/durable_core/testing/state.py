"""The tables of the in-memory store, and the few things that all of its parts do with them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

from durable_core.execution import Status
from durable_core.ports import REDELIVERY, Mail, Wake
from durable_core.testing.rows import HumanTaskRow, ItemRow, MailRow, MessageRow, RunRow, TaskRow, ValueRow, WorkerRow
from durable_core.testing.tables import Journal, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from durable_core.events import EventRecord
    from durable_core.ports import Letter
    from durable_core.testing.clock import TimeSource


class State:
    """All that the store holds."""

    def __init__(self, clock: TimeSource) -> None:
        self._clock = clock
        self.journal = Journal()  # a transactional queue writes to it too
        self._runs: Table[UUID, RunRow] = Table(
            self.journal,
            groups={
                "open workflow_id": lambda run: run.record.workflow_id if run.is_open else None,
                "workflow_id": lambda run: run.record.workflow_id,
                "parent": lambda run: run.record.parent_id,
                "chain": lambda run: run.record.chain_id,
            },
            due_at=lambda run: run.due_at,
        )
        self._events: dict[UUID, list[EventRecord]] = {}
        self._mail: Table[int, MailRow] = Table(
            self.journal, groups={"run": lambda row: row.run_id}, due_at=lambda row: row.due_at
        )
        self._mail_ids = count(1)
        self._messages: Table[tuple[UUID, str, str], MessageRow] = Table(
            self.journal, groups={"chain": lambda row: row.chain_id, "run": lambda row: row.record.run_id}
        )
        self._tasks: Table[UUID, TaskRow] = Table(
            self.journal,
            groups={
                "run": lambda row: row.record.run_id,
                "worker": lambda row: row.worker_id,
            },
            due_at=lambda row: row.due_at,
        )
        self._values: Table[tuple[UUID, str], ValueRow] = Table(
            self.journal,
            groups={
                "event": lambda row: (row.value.chain_id, row.value.key),
                "run": lambda row: row.run_id,
            },
        )
        self._items: Table[tuple[UUID, str, str, int], ItemRow] = Table(
            self.journal,
            groups={
                "stream": lambda row: (row.new.chain_id, row.new.stream),
                "run": lambda row: row.run_id,
            },
        )
        self._asked: Table[UUID, HumanTaskRow] = Table(self.journal, groups={"run": lambda row: row.record.run_id})
        self._numbers = count(1)  # of rows, in the order in which they came
        self._seal: Callable[[Letter], str] | None = None
        self._workers: Table[UUID, WorkerRow] = Table(self.journal)

    def now(self) -> datetime:
        return self._clock.now()

    def transaction(self) -> AbstractContextManager[None]:
        return self.journal.transaction()

    def shared_transaction(self) -> AbstractContextManager[None]:
        """No code beside it can be in the way, and there is no other database."""
        return self.journal.transaction()

    def in_transaction(self) -> bool:
        return self.journal.in_transaction()

    def seal_letters_with(self, seal: Callable[[Letter], str]) -> None:
        self._seal = seal

    def _open_run(self, run_id: UUID) -> RunRow | None:
        run = self._runs.get(run_id)
        return run if run is not None and run.is_open else None

    def _newest(self, run_id: UUID) -> RunRow | None:
        run = self._runs.get(run_id)
        if run is None or run.record.status is not Status.CONTINUED_AS_NEW:
            return run
        later = self._runs.group("chain", run.record.chain_id or run_id)
        return next((run for run in later if run.record.status is not Status.CONTINUED_AS_NEW), run)

    def _wake_of(self, run: RunRow) -> Wake:
        record = run.record
        keeper = record.worker_id if record.worker_id is not None and self._workers.get(record.worker_id) else None
        return Wake(record.id, record.queue, record.priority, keeper)

    def _unread(self, run_id: UUID) -> list[Mail]:
        return sorted(row.mail for row in self._mail.group("run", run_id))  # by id, so the oldest first

    def _put_letters(self, letters: Iterable[Letter]) -> list[Wake]:
        """Into the mailboxes of open runs; one wake for each of those."""
        wakes: dict[UUID, Wake] = {}
        due_at = self.now() + REDELIVERY
        for letter in letters:
            run = self._newest(letter.run_id) if letter.follows else self._runs.get(letter.run_id)
            if run is None or not run.is_open:
                continue
            text = letter.details if self._seal is None else self._seal(letter._replace(run_id=run.record.id))
            mail = Mail(next(self._mail_ids), letter.type, letter.call_id, text)
            self._mail.put(mail.id, MailRow(run.record.id, mail, due_at))
            wakes[run.record.id] = self._wake_of(run)
        return list(wakes.values())

    def _append(self, run_id: UUID, events: Iterable[EventRecord], length: int) -> None:
        """Extend a history to *length* events."""
        history = self._events.setdefault(run_id, [])
        self.journal.undo_with(_truncate, history, len(history))
        for event in events:
            assert event.seq == len(history) + 1, f"event {event.seq} after {len(history)} of run {run_id}"
            history.append(event)
        assert len(history) == length, f"history_length is {length}, but run {run_id} has {len(history)} events"


def _truncate(history: list[EventRecord], length: int) -> None:
    del history[length:]
