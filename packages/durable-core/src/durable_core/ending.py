"""How a run ends without its code being asked: canceled at once, or timed out while it is paused or BLOCKED."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.codec import Payload, is_sealed, opened
from durable_core.execution import STATUS_AFTER, child_end, error_of
from durable_core.ports import Commit, Letter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import Mail, RunRecord


def why_it_ends(record: RunRecord, mail: Iterable[Mail], now: datetime) -> e.HistoryEvent | None:
    """The end that a run comes to, whatever its code would do; None: none yet. What is sealed waits for its key."""
    for letter in mail:
        if letter.type == e.WorkflowCancelRequested.type and not is_sealed(letter.details):
            request = e.event_of(e.EventRecord(0, letter.type, letter.call_id, letter.details, now))
            assert isinstance(request, e.WorkflowCancelRequested)
            if not request.graceful:
                return e.WorkflowCanceled(reason=request.reason)
    if record.deadline is not None and record.deadline <= now:
        return e.WorkflowTimedOut(deadline=record.deadline)
    return None


def end_from_outside(
    record: RunRecord, mail: Sequence[Mail], end: e.HistoryEvent, now: datetime, *, children: Iterable[UUID] = ()
) -> Commit:
    """The commit that closes a run; signals and answers that it has not read become history before the end.

    *now* is not before its last event. *children* are asked to end too.
    """
    # A run that never ran still has a history that begins with its start.
    facts: list[tuple[str, str | None, str]] = []
    if not record.history_length:
        started = e.WorkflowStarted(workflow_name=record.workflow_name, input=opened(record.input))
        facts.append((started.type, None, e.details_of(started)))
    acknowledged = [letter for letter in mail if letter.type in e.ACKNOWLEDGED_TYPES]
    facts += [(letter.type, letter.call_id, opened(Payload(letter.details))) for letter in acknowledged]
    facts.append((end.type, None, e.details_of(end)))
    events = [e.EventRecord(record.history_length + place, *fact, now) for place, fact in enumerate(facts, start=1)]
    letters = [
        Letter.of(child_id, e.WorkflowCancelRequested(reason="its parent closed", graceful=False))
        for child_id in children
    ]
    if record.parent_id is not None and record.parent_call_id is not None:
        told = child_end(record.parent_call_id, end)
        assert told is not None
        letters.append(Letter.of(record.parent_id, told))
    return Commit(
        run_id=record.id,
        version=record.version,
        status=STATUS_AFTER[type(end)],
        events=events,
        history_length=record.history_length + len(events),
        error=error_of(end),
        mail_read=[letter.id for letter in mail],
        letters=letters,
        unheard=[
            Letter(record.id, letter.type, letter.call_id, letter.details)
            for letter in mail
            if letter.type in e.WORD_TYPES
        ],
    )
