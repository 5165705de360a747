"""What an audit reads of a queue that lets itself be audited. It is optional: others have nothing to pass here."""

from __future__ import annotations

from datetime import timedelta

from durable_core.ports import AuditableQueue, AuditedEntry, EntryKind, EntryState
from durable_core.testing.contracts.queue_base import QueueCases, an_entry

LONG = timedelta(hours=1)
MANY = 1_500  # entries; more than a backend reads at once


class QueueAuditCases(QueueCases):
    def audited(self) -> list[AuditedEntry]:
        assert isinstance(self.queue, AuditableQueue)
        return list(self.queue.audited())

    def test_audit_sees_each_entry_as_it_is(self) -> None:
        if not isinstance(self.queue, AuditableQueue):
            return
        claimed = self.enqueue(kind=EntryKind.ACTIVITY, queue="mail", priority=-3)
        assert self.claimed_refs() == [claimed.ref]
        ready, other = self.enqueue(priority=7), self.enqueue(queue="other, with a comma")
        delayed = an_entry()
        self.queue.enqueue([delayed], delay=LONG)
        expected = {
            claimed.ref: (claimed, EntryState.CLAIMED, self.me),
            ready.ref: (ready, EntryState.READY, None),
            other.ref: (other, EntryState.READY, None),
            delayed.ref: (delayed, EntryState.DELAYED, None),
        }
        found = {entry.entry.ref: tuple(entry) for entry in self.audited()}
        assert found == expected

    def test_audit_sees_what_is_kept_for_a_worker(self) -> None:
        if not isinstance(self.queue, AuditableQueue):
            return
        entry = self.enqueue(preferred=self.me)
        self.claim(worker_id=None, queues=["other"])  # a look, after which some backends set it aside
        assert self.audited() == [AuditedEntry(entry, EntryState.READY, None)]

    def test_claim_whose_lease_is_over_is_nobodys_to_an_audit(self) -> None:
        if not isinstance(self.queue, AuditableQueue):
            return
        entry = self.enqueue()
        assert self.claim()
        self.pass_time(self.lease * 1.2)
        assert self.audited() == [AuditedEntry(entry, EntryState.READY, None)]

    def test_audit_sees_all_however_many(self) -> None:
        if not isinstance(self.queue, AuditableQueue):
            return
        entries = [an_entry() for _ in range(MANY)]
        self.queue.enqueue(entries)
        assert sorted(audited.entry.ref for audited in self.audited()) == sorted(entry.ref for entry in entries)

    def test_audit_moves_nothing(self) -> None:
        if not isinstance(self.queue, AuditableQueue):
            return
        mine, ready = self.enqueue(), self.enqueue(queue="other")
        claims = self.claim(queues=["default"])
        before = self.totals()
        self.audited()
        assert self.totals() == before
        self.queue.complete(claims)
        [claim] = self.claim()
        assert (claim.entry.ref, claim.deliveries) == (ready.ref, 1)
        assert mine.ref not in [audited.entry.ref for audited in self.audited()]
