"""A run as the checks see it: what the store holds, with its history read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant, Violation
from durable_core.codec import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.audit.effects import Effects
    from durable_core.ports import AuditedRun, AuditedTask, RunRecord

ACTIVITY_OUTCOMES = (e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut, e.ActivityCanceled)
LOCAL_OUTCOMES = (e.LocalActivityCompleted, e.LocalActivityFailed)
CHILD_OUTCOMES = (
    e.ChildWorkflowCompleted,
    e.ChildWorkflowFailed,
    e.ChildWorkflowCanceled,
    e.ChildWorkflowTimedOut,
)
UPDATE_FACTS = (e.WorkflowUpdateAccepted, e.WorkflowUpdateCompleted, e.WorkflowUpdateFailed)
TIMERS = (e.TimerStarted, e.SignalWaitStarted)


@dataclass(frozen=True)
class Story:
    """A run whose events could all be read."""

    run: AuditedRun  # its events are those that a replay goes by
    facts: Sequence[e.HistoryEvent]  # of run.events
    effects: Effects
    now: datetime
    whole: Sequence[e.EventRecord]  # the history with what was put aside, which run.events leaves out

    @property
    def record(self) -> RunRecord:
        return self.run.record

    @property
    def is_closed(self) -> bool:
        return self.run.record.status.is_closed

    @property
    def ended_at(self) -> datetime | None:
        """When it closed."""
        return self.run.events[-1].created_at if self.is_closed and self.run.events else None

    @cached_property
    def scheduled(self) -> dict[str, e.ActivityScheduled]:
        """Activities that its code asked for, by call."""
        return {fact.call_id: fact for fact in self.facts if isinstance(fact, e.ActivityScheduled)}

    @cached_property
    def children(self) -> dict[str, e.ChildWorkflowScheduled]:
        return {fact.call_id: fact for fact in self.facts if isinstance(fact, e.ChildWorkflowScheduled)}

    @cached_property
    def outcomes(self) -> dict[str, e.HistoryEvent]:
        """The first outcome of each activity and child, by call."""
        found: dict[str, e.HistoryEvent] = {}
        for fact in self.facts:
            if isinstance(fact, (*ACTIVITY_OUTCOMES, *CHILD_OUTCOMES)):
                found.setdefault(fact.call_id, fact)
        return found

    @cached_property
    def told_by_mail(self) -> frozenset[tuple[str, str | None]]:
        """Type and call of what waits in the mailbox."""
        return frozenset((letter.mail.type, letter.mail.call_id) for letter in self.run.mail)

    @cached_property
    def tasks(self) -> dict[str, AuditedTask]:
        """By call; of a call that was put aside and made again, the newest."""
        return {task.record.call_id: task for task in self.run.tasks}

    @cached_property
    def waits(self) -> dict[str, str | None]:
        """What `waiting_for` says, without what is no text."""
        said = decode(self.run.waiting_for) if self.run.waiting_for is not None else {}
        return {name: text for name, text in said.items() if isinstance(text, str)}

    @cached_property
    def forked_at(self) -> int:
        """How many facts are those of another run."""
        return max((place for place, fact in enumerate(self.facts) if isinstance(fact, e.WorkflowForked)), default=0)

    @cached_property
    def ended_elsewhere(self) -> frozenset[str]:
        """Calls that ended in the run from which this one was forked: there are no rows of its own for them."""
        before = self.facts[: self.forked_at]
        ends = (
            *ACTIVITY_OUTCOMES,
            *CHILD_OUTCOMES,
            *e.TASK_ENDS,
            e.ActivityCancelRequested,
            e.TaskCancelRequested,
        )
        return frozenset(fact.call_id for fact in before if isinstance(fact, ends))

    @cached_property
    def put_aside(self) -> frozenset[str | None]:
        """Calls that the code has made, and has gone back behind."""
        kept = {event.seq for event in self.run.events}
        return frozenset(event.call_id for event in self.whole if event.seq not in kept)

    def placed(self) -> Iterator[tuple[e.HistoryEvent, e.EventRecord]]:
        return zip(self.facts, self.run.events, strict=True)

    def is_told(self, call_id: str, outcomes: tuple[type[e.Event], ...]) -> bool:
        """Whether how a call ended is in the history, or on its way there."""
        return call_id in self.outcomes or any((cls.type, call_id) in self.told_by_mail for cls in outcomes)

    def violation(
        self,
        invariant: Invariant,
        found: str,
        expected: str,
        *,
        seq: int | None = None,
        call_id: str | None = None,
        task_id: UUID | None = None,
    ) -> Violation:
        return Violation(
            invariant=invariant,
            run_id=self.record.id,
            found=found,
            expected=expected,
            seq=seq,
            call_id=call_id,
            task_id=task_id,
        )

    def about(self, task: AuditedTask, invariant: Invariant, found: str, expected: str) -> Violation:
        """A violation that one of its activities shows."""
        where = task.record
        return self.violation(invariant, found, expected, call_id=where.call_id, task_id=where.id)


def as_text_column(text: str) -> str:
    """As a store may keep plain text: databases refuse NUL and lone surrogates, and get escapes instead."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
