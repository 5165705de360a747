"""What an audit reads of a store and of a queue. Optional: a backend without it is named in the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from durable_core.codec import Payload
    from durable_core.events import EventRecord
    from durable_core.execution import Status
    from durable_core.ports.people import HumanTaskRecord
    from durable_core.ports.queue import Entry
    from durable_core.ports.records import Mail, MessageRecord, RunRecord, TaskRecord


class Outline(NamedTuple):
    """A run, before its history is read; where a page of runs ends."""

    created_at: datetime
    run_id: UUID
    history_length: int  # how much there is to read


class AuditedMail(NamedTuple):
    mail: Mail
    due_at: datetime | None  # when its run is woken if nobody has read it


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedTask:
    """An activity, open or closed."""

    record: TaskRecord
    result: Payload | None
    worker_id: UUID | None  # whose attempt it is or was
    has_worker: bool  # whether that worker is alive, or not yet known to be dead
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedChild:
    """A run, as its parent's history should tell of it."""

    id: UUID
    workflow_name: str
    call_id: str | None  # of the parent's code
    status: Status
    result: Payload | None
    error: str
    cancel_with_parent: bool
    is_told: bool  # a request to cancel it waits in its mailbox


class AuditedItem(NamedTuple):
    """Something that a call has published."""

    call_id: str
    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRun:
    """All that a store holds of a run, as it was at one moment."""

    record: RunRecord
    waiting_for: str | None
    due_at: datetime | None
    events: Sequence[EventRecord]  # all there are, by seq; also those that its history_length leaves out
    mail: Sequence[AuditedMail]  # unread, oldest first
    tasks: Sequence[AuditedTask]
    children: Sequence[AuditedChild]  # whose parent it is, whatever its history says
    namesakes: Sequence[UUID] = ()  # other open runs with its workflow_id
    messages: Sequence[MessageRecord] = ()  # with keys, that it was sent or has taken
    values: Mapping[str, Payload] = field(default_factory=dict)  # of its events, by key
    items: Sequence[AuditedItem] = ()  # calls and streams that have some
    asked: Sequence[HumanTaskRecord] = ()
    chain_ends: int = 0  # runs of its chain that were not continued as new


@runtime_checkable
class AuditableStore(Protocol):
    """A store that an audit can read. Nothing of it writes, or waits for whoever writes."""

    def now(self) -> datetime: ...

    def snapshot(self) -> AbstractContextManager[None]:
        """What the calling thread reads inside is of one moment; whatever it would write is refused."""

    def outlines(self, *, after: Outline | None, since: datetime | None, limit: int) -> list[Outline]:
        """The next runs behind *after*, by creation and then id; only those created at *since* or later."""

    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        """These runs, as they are at one moment, in the order of `outlines`; a bounded number of statements.

        Unknown ids are missing.
        """


class EntryState(Enum):
    READY = "ready"
    CLAIMED = "claimed"
    DELAYED = "delayed"


class AuditedEntry(NamedTuple):
    entry: Entry
    state: EntryState
    worker_id: UUID | None  # who has claimed it


@runtime_checkable
class AuditableQueue(Protocol):
    """A queue that an audit can read."""

    def audited(self) -> Iterator[AuditedEntry]:
        """All entries, in any order, a batch in memory at a time. An entry that moves meanwhile may come twice, or not.

        Where the queue is transactional, and read inside of the store's `snapshot`, they are of that moment.
        """
