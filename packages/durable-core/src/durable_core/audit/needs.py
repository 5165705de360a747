"""What would be lost without an entry in the queue.

The store's `due_at` makes good what a queue loses. Where there is none, or none soon, the queue must have an entry: a
suspect is what needs one, and it is a violation only if the queue has none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from durable_core.audit.violations import Invariant
from durable_core.events import WorkflowForked, WorkflowReopened
from durable_core.execution import Status, TaskStatus
from durable_core.ports import earliest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation

# How far ahead the store may look again after what a queue is believed to hold: twenty times the redelivery of 30 s.
PATIENCE = timedelta(minutes=10)


class Need(NamedTuple):
    """Something for which the queue must have an entry."""

    ref: UUID  # of the run, or of the task
    violation: Violation  # if it has none


def needs(story: Story, now: datetime, patience: timedelta) -> Iterator[Need]:
    yield from _of_run(story, now, patience)
    for task in story.run.tasks:
        record = task.record
        if record.status is not TaskStatus.QUEUED:
            continue
        if not _is_soon(task.due_at, record.retry_at, now, patience):
            found = "a QUEUED activity without an entry in the queue, and without a time at which it is looked at"
            yield Need(record.id, story.about(task, Invariant.NOTHING_LOST, found, "an entry"))


def _of_run(story: Story, now: datetime, patience: timedelta) -> Iterator[Need]:
    run, record = story.run, story.record
    if record.status not in (Status.PENDING, Status.RUNNING):  # a BLOCKED one waits for a person
        return
    found = None
    if record.paused_at is not None:
        if record.deadline is not None and not _is_soon(run.due_at, record.deadline, now, patience):
            found = "a paused run with a deadline"
    elif record.status is Status.PENDING and not _is_soon(run.due_at, record.start_at, now, patience):
        found = "a PENDING run"
    elif _is_to_be_decided(story) and not _is_soon(run.due_at, None, now, patience):
        found = "a reopened run" if run.events[-1].type == WorkflowReopened.type else "a forked run"
    elif run.mail and run.due_at is None and all(letter.due_at is None for letter in run.mail):
        found = f"a run with {len(run.mail)} unread messages"
    elif (until := _until(story)) is not None and not _is_soon(run.due_at, until, now, patience):
        found = f"a run with a timer, {until},"
    if found is not None:
        found += " without an entry in the queue, and without a time at which it is looked at"
        yield Need(record.id, story.violation(Invariant.NOTHING_LOST, found, "an entry"))


def _is_to_be_decided(story: Story) -> bool:
    """Whether nobody has looked at it since it was forked, or opened again."""
    events = story.run.events
    was_opened = bool(events) and events[-1].type in (WorkflowReopened.type, WorkflowForked.type)
    return was_opened and story.waits.get("kind") == "worker"


def _until(story: Story) -> datetime | None:
    """The next moment at which a RUNNING run has something to do by itself."""
    if story.record.status is not Status.RUNNING:
        return None
    said = story.waits.get("until")
    return earliest(None if said is None else datetime.fromisoformat(said), story.record.deadline)


def _is_soon(due_at: datetime | None, wanted: datetime | None, now: datetime, patience: timedelta) -> bool:
    return due_at is not None and due_at <= max(now, wanted or now) + patience


def abandoned(story: Story) -> Iterator[Violation]:
    """Attempts of workers that are gone, of which nobody will ever say how they ended."""
    if story.is_closed:
        return
    for task in story.run.tasks:
        if task.record.status is TaskStatus.RUNNING and not task.has_worker and task.due_at is None:
            found = f"a RUNNING activity of worker {task.worker_id}, which is gone"
            expected = "a worker, or a time at which it is looked at"
            yield story.about(task, Invariant.NOTHING_LOST, found, expected)
