"""Signals that runs have sent to other runs, by their senders' histories: nobody outside has witnessed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.audit.effects import SentSignal
from durable_core.codec import decode
from durable_core.errors import NewerCodeNeeded, PayloadSealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from durable_core.ports import AuditedRun, RunRecord


class Post(NamedTuple):
    sender: UUID
    sent: e.ExternalSignalSent
    has_come: bool | None  # None: nobody knows

    def to(self, run_id: UUID) -> SentSignal:
        # Which run had the workflow_id at that time, the histories do not say.
        is_certain = bool(self.has_come) and self.sent.workflow_id is None
        return SentSignal(
            run_id=run_id,
            name=self.sent.name,
            payload=self.sent.payload,
            sender=str(self.sender),
            acknowledged=is_certain,
        )


@dataclass
class Posts:
    """Those that can have come, by whom they were sent to: a run, or a workflow_id."""

    _by_target: dict[UUID | str, list[Post]] = field(default_factory=dict)

    def collect(self, run: AuditedRun) -> None:
        for post in _posts_of(run):
            target = post.sent.target_id or post.sent.workflow_id
            if target is not None and post.has_come is not False:
                self._by_target.setdefault(target, []).append(post)

    def sent_to(self, run: RunRecord) -> list[SentSignal]:
        """To this one, or perhaps to it."""
        found = self._by_target.get(run.id, [])
        if run.workflow_id is not None:
            found = found + self._by_target.get(run.workflow_id, [])
        return [post.to(run.id) for post in found]


def _posts_of(run: AuditedRun) -> Iterator[Post]:
    try:
        facts = [e.event_of(event) for event in _own(run) if event.type in _TYPES]
        facts += [
            e.event_of(e.EventRecord(0, *letter.mail[1:], run.record.created_at))
            for letter in run.mail
            if letter.mail.type in e.WORD_TYPES
        ]
        words: dict[str, str | None] = {} if run.record.unheard is None else decode(run.record.unheard)
    except (NewerCodeNeeded, PayloadSealed):
        return
    come = {call_id: failure is None for call_id, failure in words.items()}
    for fact in facts:
        if isinstance(fact, e.WORDS):
            come[fact.call_id] = isinstance(fact, e.ExternalMessageDelivered)
    for fact in facts:
        if isinstance(fact, e.ExternalSignalSent):
            yield Post(run.record.id, fact, come.get(fact.call_id))


def _own(run: AuditedRun) -> list[e.EventRecord]:
    """Its history without what a fork has from its origin, which has sent it; with what was put aside later."""
    forked_at = max((event.seq for event in run.events if event.type == e.WorkflowForked.type), default=0)
    return [event for event in run.events if event.seq > forked_at]


_TYPES = frozenset({e.ExternalSignalSent.type, *e.WORD_TYPES})
