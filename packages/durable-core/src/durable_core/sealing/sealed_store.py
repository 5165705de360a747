"""A store whose callers see plain payloads, and whose tables hold sealed ones.

Every method stands here by itself. One that is new in `HistoryStore` has to be thought about: what carries a payload
goes through `Rows`. Letters are sealed by the store that is inside, when it knows which mailbox each comes to.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from durable_core.errors import ConfigurationError
from durable_core.ports import AuditableStore, HistoryStore, LoadedRun, PastTask
from durable_core.sealing import places
from durable_core.sealing.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports import (
        AttemptItems,
        AuditedRun,
        Beat,
        BeatReply,
        ClaimedTasks,
        Commit,
        Committed,
        Created,
        Detached,
        Due,
        GivenBack,
        HumanTaskRecord,
        Letter,
        Mail,
        MessageKind,
        MessageRecord,
        NewItem,
        NewMessage,
        NewRun,
        Outline,
        Published,
        Receipt,
        Reopening,
        RunRecord,
        StoredItem,
        TaskOutcome,
        TaskRecord,
        Wake,
        WorkerInfo,
    )
    from durable_core.sealing.sealer import Sealer

CHAINS = 10_000  # runs of which it is remembered whose chain they belong to: that never changes


@runtime_checkable
class SealableStore(HistoryStore, AuditableStore, Protocol):
    """A store that can have its letters sealed."""

    def seal_letters_with(self, seal: Callable[[Letter], str]) -> None:
        """From now on, what *seal* answers is stored as a letter's details, wherever the letter was written.

        It is given the letter with the run whose mailbox it comes to, which may be another than it was written to.
        """


def sealed(store: HistoryStore, sealer: Sealer) -> SealedStore:
    """Raises `ConfigurationError` for a store that cannot have its letters sealed."""
    if not isinstance(store, SealableStore):
        raise ConfigurationError(
            f"The store, a {type(store).__name__}, cannot hold sealed payloads: it lacks seal_letters_with()."
        )
    return SealedStore(store, sealer)


class SealedStore:
    """A `HistoryStore`, and an `AuditableStore`, around *inner*."""

    def __init__(self, inner: SealableStore, sealer: Sealer) -> None:
        self._inner = inner
        self._sealer = sealer
        self._rows = Rows(sealer)
        self._chains = _Chains(inner)
        inner.seal_letters_with(self._rows.sealed_letter)

    def now(self) -> datetime:
        return self._inner.now()

    def transaction(self) -> AbstractContextManager[None]:
        return self._inner.transaction()

    def shared_transaction(self) -> AbstractContextManager[None]:
        return self._inner.shared_transaction()

    def in_transaction(self) -> bool:
        return self._inner.in_transaction()

    # Runs

    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        made = self._inner.create([self._rows.sealed_run(run) for run in runs])
        return [
            created._replace(input=run.input if created.created else self._rows.input(created.run_id, created.input))
            for run, created in zip(runs, made, strict=True)
        ]

    def get(self, run_id: UUID) -> RunRecord | None:
        return self._opened_run(self._inner.get(run_id))

    def load(self, run_ids: Collection[UUID]) -> dict[UUID, LoadedRun]:
        return {run_id: self._opened(loaded) for run_id, loaded in self._inner.load(run_ids).items()}

    def unread(self, versions: Mapping[UUID, int]) -> dict[UUID, list[Mail]]:
        return {run_id: self._rows.mailbox(run_id, mail) for run_id, mail in self._inner.unread(versions).items()}

    def lock(self, run_id: UUID) -> LoadedRun | None:
        locked = self._inner.lock(run_id)
        return None if locked is None else self._opened(locked)

    def newest(self, run_id: UUID) -> RunRecord | None:
        return self._opened_run(self._inner.newest(run_id))

    def last_of(self, workflow_id: str, *, besides: UUID) -> RunRecord | None:
        return self._opened_run(self._inner.last_of(workflow_id, besides=besides))

    def children(self, run_id: UUID) -> list[UUID]:
        return self._inner.children(run_id)

    def pause(self, run_id: UUID, reason: str) -> None:
        sealed = self._sealer.seal(reason, places.of_run(run_id, "pause_reason")) if reason else reason
        self._inner.pause(run_id, sealed)

    def resume(self, run_id: UUID, due_at: datetime | None) -> None:
        self._inner.resume(run_id, due_at)

    def tasks_of(self, run_id: UUID) -> list[PastTask]:
        rows = self._rows
        return [PastTask(rows.task(t), rows.result(t.id, result)) for t, result in self._inner.tasks_of(run_id)]

    def reopen(self, reopening: Reopening) -> UUID | None:
        event = self._rows.sealed_event(reopening.run_id, reopening.event)
        return self._inner.reopen(replace(reopening, event=event))

    def commit(self, commits: Sequence[Commit]) -> Committed:
        committed = self._inner.commit([self._rows.sealed_commit(commit) for commit in commits])
        for run_id, result in committed.results.items():
            result.mail = self._rows.mailbox(run_id, result.mail)
        return committed

    def annotate(self, waiting_for: Mapping[UUID, str]) -> None:
        self._inner.annotate(waiting_for)

    def crashed(self, run_ids: Collection[UUID]) -> set[UUID]:
        return self._inner.crashed(run_ids)

    def charge(self, run_ids: Collection[UUID]) -> None:
        self._inner.charge(run_ids)

    # Mail

    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        return self._inner.deliver(letters)

    def note(self, message: NewMessage) -> bool:
        return self._inner.note(message)

    def message(self, chain_id: UUID, kind: MessageKind, key: str) -> MessageRecord | None:
        found = self._inner.message(chain_id, kind, key)
        return None if found is None else self._rows.message(chain_id, found)

    # Activities

    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        claimed = self._inner.claim_tasks(task_ids, worker_id)
        return claimed._replace(begun=[self._rows.task(task) for task in claimed.begun])

    def record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        return self._inner.record_outcomes([self._rows.sealed_outcome(outcome) for outcome in outcomes])

    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        found = self._inner.hold_task(task_id)
        return None if found is None else self._rows.task(found)

    def expect_completion(self, task_id: UUID, token: int, digest: str, expires_at: datetime) -> bool:
        return self._inner.expect_completion(task_id, token, digest, expires_at)

    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        return self._inner.detach(task_id, token, due_at)

    def beat_detached(self, task_id: UUID, details: Payload | None, due_at: datetime | None) -> None:
        self._inner.beat_detached(task_id, self._rows.sealed_beat(task_id, details), due_at)

    def give_back(self, attempts: Mapping[UUID, int]) -> GivenBack:
        given = self._inner.give_back(attempts)
        return given._replace(queued=[self._rows.outline(task) for task in given.queued])

    def requeue(self, due_at: Mapping[UUID, datetime | None]) -> None:
        self._inner.requeue(due_at)

    def forgotten(self, worker_id: UUID, known: Collection[tuple[UUID, int]]) -> dict[UUID, int]:
        return self._inner.forgotten(worker_id, known)

    # What runs let others read

    def value(self, run_id: UUID, key: str) -> Payload | None:
        found = self._inner.value(run_id, key)
        return None if found is None else self._rows.value(self._chains.of(run_id), key, found)

    def publish(self, attempts: Sequence[AttemptItems]) -> Published:
        return self._inner.publish([self._sealed_items(attempt) for attempt in attempts])

    def items(self, run_id: UUID, stream: str, *, after: int, limit: int) -> list[StoredItem]:
        found = self._inner.items(run_id, stream, after=after, limit=limit)
        if not found:
            return []
        chain_id = self._chains.of(run_id)
        return [stored._replace(item=self._rows.item(chain_id, stream, stored.item)) for stored in found]

    def published(self, run_id: UUID) -> list[NewItem]:
        found = self._inner.published(run_id)
        return [new._replace(item=self._rows.item(new.chain_id, new.stream, new.item)) for new in found]

    # People

    def human_task(self, task_id: UUID) -> HumanTaskRecord | None:
        found = self._inner.human_task(task_id)
        return None if found is None else self._rows.human_task(found)

    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        return self._inner.answer(task_id, self._sealer.seal(answer, places.of_task(task_id, "answer")), by)

    # Time

    def next_due(self) -> datetime | None:
        return self._inner.next_due()

    def due(self, now: datetime, *, limit: int, again_at: datetime | None) -> Due:
        due = self._inner.due(now, limit=limit, again_at=again_at)
        due.tasks = [self._rows.outline(task) for task in due.tasks]
        return due

    # Workers

    def add_worker(self, worker: WorkerInfo) -> None:
        self._inner.add_worker(worker)

    def remove_worker(self, worker_id: UUID) -> None:
        self._inner.remove_worker(worker_id)

    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        sealed = [beat._replace(details=self._rows.sealed_beat(beat.task_id, beat.details)) for beat in beats]
        return self._inner.beat(worker_id, sealed)

    def dead_workers(self, timeout: timedelta) -> list[UUID]:
        return self._inner.dead_workers(timeout)

    def buried_alive(self) -> list[UUID]:
        return self._inner.buried_alive()

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        return [self._rows.outline(task) for task in self._inner.bury(worker_ids)]

    # Audits

    def snapshot(self) -> AbstractContextManager[None]:
        return self._inner.snapshot()

    def outlines(self, *, after: Outline | None, since: datetime | None, limit: int) -> list[Outline]:
        return self._inner.outlines(after=after, since=since, limit=limit)

    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [self._rows.audited(run) for run in self._inner.audited(run_ids)]

    # Inside

    def _opened_run(self, record: RunRecord | None) -> RunRecord | None:
        return None if record is None else self._rows.run(record)

    def _opened(self, loaded: LoadedRun) -> LoadedRun:
        run_id = loaded.record.id
        return LoadedRun(
            self._rows.run(loaded.record),
            self._rows.events(run_id, loaded.events),
            self._rows.mailbox(run_id, loaded.mail),
        )

    def _sealed_items(self, attempt: AttemptItems) -> AttemptItems:
        chain_id = self._chains.of(attempt.run_id)
        items = [(s, number, self._rows.sealed_item(chain_id, s, item)) for s, number, item in attempt.items]
        return attempt._replace(items=items)


class _Chains:
    """The first run of each run's chain."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._known: OrderedDict[UUID, UUID] = OrderedDict()
        self._lock = Lock()

    def of(self, run_id: UUID) -> UUID:
        with self._lock:
            if (known := self._known.get(run_id)) is not None:
                return known
        record = self._store.get(run_id)
        if record is None:
            return run_id  # nothing is written for it, nor read
        chain_id = record.chain_id or record.id
        with self._lock:
            self._known[run_id] = chain_id
            if len(self._known) > CHAINS:
                self._known.popitem(last=False)
        return chain_id
