"""Updates: taken once, answered once, and their senders are told what the history says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant
from durable_core.codec import decode
from durable_core.execution import MessageStatus
from durable_core.ports import MessageKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation

Answer = tuple[MessageStatus, object]  # what came of it, and its result, if it has one


def updates(story: Story) -> Iterator[Violation]:
    taken: dict[str, str] = {}  # update_id by call_id
    answers: dict[str, Answer] = {}  # by update_id
    for fact, placed in story.placed():
        match fact:
            case e.WorkflowUpdateAccepted():
                call_id = fact.call_id or ""
                if call_id in taken or fact.update_id in answers:
                    found = f"update {fact.update_id!r} accepted again"
                    yield story.violation(Invariant.UPDATES, found, "once", seq=placed.seq, call_id=call_id)
                taken[call_id] = fact.update_id
                answers[fact.update_id] = (MessageStatus.ACCEPTED, None)
            case e.WorkflowUpdateCompleted() | e.WorkflowUpdateFailed():
                update_id = taken.get(fact.call_id)
                if update_id is None or answers[update_id][0] is not MessageStatus.ACCEPTED:
                    found, expected = f"{fact.type} of nothing that waits for it", "one answer to an accepted update"
                    yield story.violation(Invariant.UPDATES, found, expected, seq=placed.seq, call_id=fact.call_id)
                else:
                    answers[update_id] = _answer(fact)
            case _:
                pass
    yield from _told(story, answers)


def _answer(end: e.WorkflowUpdateCompleted | e.WorkflowUpdateFailed) -> Answer:
    if isinstance(end, e.WorkflowUpdateCompleted):
        return MessageStatus.COMPLETED, decode(end.result)
    return MessageStatus.FAILED, None


def _told(story: Story, answers: dict[str, Answer]) -> Iterator[Violation]:
    """What the rows of updates say is what the history says, and one that waits to be read is in the mailbox."""
    waiting = {
        decode(letter.mail.details).get("update_id")
        for letter in story.run.mail
        if letter.mail.type == e.WorkflowUpdateAccepted.type
    }
    for message in story.run.messages:
        if message.kind is not MessageKind.UPDATE:
            continue
        told: Answer = (message.status, None if message.result is None else decode(message.result))
        match message.status:
            case MessageStatus.SENT:
                if not story.is_closed and message.key not in waiting:
                    found = f"update {message.key!r} SENT, but neither answered nor in the mailbox"
                    yield story.violation(Invariant.UPDATES, found, "that it is read, or waits to be")
            case MessageStatus.REJECTED:
                if message.key in answers:
                    found = f"update {message.key!r} REJECTED, but accepted in the history"
                    yield story.violation(Invariant.UPDATES, found, "no trace of what was rejected")
            case _:
                if answers.get(message.key) != told:
                    found = f"update {message.key!r} {message.status}"
                    expected = "what the history says of it, result included"
                    yield story.violation(Invariant.UPDATES, found, expected)
