"""Brings runs into memory, and their mail: one query each, whatever the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.ending import why_it_ends
from durable_core.engine import WorkflowInfo
from durable_core.execution import Status
from durable_core.replay import WorkflowRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable_core.decision import RunSettings
    from durable_core.definitions import Registry
    from durable_core.ports import HistoryStore, LoadedRun, RunRecord
    from durable_core.worker.slots import Slot


class Loader:
    def __init__(self, store: HistoryStore, registry: Registry, settings: RunSettings) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings

    def load(self, slots: Sequence[Slot]) -> None:
        """Fill slots without a run; read the mail of the others, where a queue entry says that there may be some.

        What is decided already, and only waits to be committed, needs neither.
        """
        warm = [slot for slot in slots if slot.run is not None and slot.must_read_mail and slot.proposal is None]
        if warm:
            unread = self._store.unread({slot.run_id: slot.version for slot in warm})
            for slot in warm:
                if slot.run_id in unread:
                    slot.mail = unread[slot.run_id]
                    slot.must_read_mail = False
                else:
                    # Another worker has gone on with it. What woke it may be something that is not known here, such as
                    # a timer: nothing would be done about it, and nothing written that could tell.
                    slot.evict()
        cold = [slot for slot in slots if slot.run is None and slot.proposal is None]
        if cold:
            loaded = self._store.load([slot.run_id for slot in cold])
            for slot in cold:
                self._revive(slot, loaded.get(slot.run_id))

    def _revive(self, slot: Slot, loaded: LoadedRun | None) -> None:
        slot.must_read_mail = False
        if loaded is None or loaded.record.status.is_closed:
            return
        record = loaded.record
        slot.record, slot.mail = record, loaded.mail
        if record.paused_at is not None or record.status is Status.BLOCKED:
            now = self._store.now()
            slot.end = why_it_ends(record, loaded.mail, now)
            slot.children = [] if slot.end is None else self._store.children(record.id)
        slot.version, slot.history_length = record.version, record.history_length
        slot.status, slot.failures, slot.crashes = record.status, record.failures, record.crashes
        definition = self._registry.workflows.get(record.workflow_name)
        if definition is None:
            return
        slot.run = WorkflowRun(definition, info_of(record), self._registry, self._settings)
        slot.history = loaded.events


def info_of(record: RunRecord) -> WorkflowInfo:
    return WorkflowInfo(
        execution_id=record.id,
        workflow_name=record.workflow_name,
        workflow_id=record.workflow_id,
        parent_id=record.parent_id,
        queue=record.queue,
        priority=record.priority,
        created_at=record.created_at,
        deadline=record.deadline,
    )
