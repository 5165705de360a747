"""Human tasks: what a row says has become of one is what the history says, or will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant
from durable_core.codec import decode
from durable_core.execution import HumanTaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation
    from durable_core.ports import HumanTaskRecord

ENDS: dict[str, HumanTaskStatus] = {
    e.TaskAnswered.type: HumanTaskStatus.ANSWERED,
    e.TaskExpired.type: HumanTaskStatus.EXPIRED,
    e.TaskCanceled.type: HumanTaskStatus.CANCELED,
}


def asked(story: Story) -> Iterator[Violation]:
    rows = {row.id: row for row in story.run.asked}
    questions = [
        fact for fact in story.facts if isinstance(fact, e.TaskAsked) and fact.call_id not in story.ended_elsewhere
    ]
    for fact in questions:
        row = rows.pop(fact.task_id, None)
        if row is None:
            yield story.violation(Invariant.PEOPLE, "no row of a human task", "one", call_id=fact.call_id)
        else:
            yield from _of_one(story, row)
    for row in rows.values():
        if row.call_id not in story.put_aside:
            expected = "only tasks that the history tells of"
            yield story.violation(Invariant.PEOPLE, "a human task that nobody has asked", expected, call_id=row.call_id)
        elif row.status is HumanTaskStatus.OPEN:
            expected = "that it is closed, for its question was put aside"
            yield story.violation(Invariant.PEOPLE, "an OPEN human task", expected, call_id=row.call_id)


def _of_one(story: Story, row: HumanTaskRecord) -> Iterator[Violation]:
    ends = [fact for fact in story.facts if isinstance(fact, e.TASK_ENDS) and fact.call_id == row.call_id]
    ended: e.HistoryEvent | None = ends[0] if ends else None
    mail = [letter.mail for letter in story.run.mail if letter.mail.call_id == row.call_id and letter.mail.type in ENDS]
    if ended is None and mail:
        ended = e.event_of(e.EventRecord(0, *mail[0][1:], story.now))
    if ended is not None:
        expected = ENDS[ended.type]
    else:
        expected = HumanTaskStatus.CANCELED if story.is_closed else HumanTaskStatus.OPEN
    if row.status is not expected:
        where = "its history" if ended is not None else f"a run that is {story.record.status}"
        found = f"a human task that is {row.status}"
        yield story.violation(Invariant.PEOPLE, found, f"{expected}, by {where}", call_id=row.call_id)
    elif isinstance(ended, e.TaskAnswered):
        told = None if row.answer is None else decode(row.answer)
        if told != decode(ended.answer) or row.answered_by != ended.by:
            found = f"an answer by {row.answered_by}"
            yield story.violation(
                Invariant.PEOPLE, found, f"that of {ended.by}, as in its history", call_id=row.call_id
            )
