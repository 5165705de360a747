"""About what an audit is shown."""

from __future__ import annotations

from collections.abc import Iterator

from durable_core.ports import AuditedEntry, EntryKind, EntryState
from durable_core.testing import InMemoryTaskQueue
from tests.core.lying import found_by


@found_by("test_audit_sees_each_entry_as_it_is")
class HidesWhatIsDelayed(InMemoryTaskQueue):
    def audited(self) -> Iterator[AuditedEntry]:
        return (entry for entry in super().audited() if entry.state is not EntryState.DELAYED)


@found_by("test_audit_sees_what_is_kept_for_a_worker")
class HidesWhatIsKept(InMemoryTaskQueue):
    def audited(self) -> Iterator[AuditedEntry]:
        return (entry for entry in super().audited() if entry.entry.preferred is None)


@found_by("test_claim_whose_lease_is_over_is_nobodys_to_an_audit")
class ShowsClaimsForEver(InMemoryTaskQueue):
    def audited(self) -> Iterator[AuditedEntry]:
        for item in self._items:
            state = EntryState.READY if item.worker_id is None else EntryState.CLAIMED
            yield AuditedEntry(item.entry, state, item.worker_id)


@found_by("test_audit_sees_all_however_many")
class ShowsOnePage(InMemoryTaskQueue):
    def audited(self) -> Iterator[AuditedEntry]:
        yield from list(super().audited())[:1000]


@found_by("test_audit_moves_nothing")
class ClaimsToLook(InMemoryTaskQueue):
    def audited(self) -> Iterator[AuditedEntry]:
        found = list(super().audited())
        somebody = next(iter(item.worker_id for item in self._items if item.worker_id is not None), None)
        if somebody is not None:
            everything = dict.fromkeys(EntryKind, 1000)
            self.release(self.claim(somebody, everything, queues=(), exclude=()))
        yield from found
