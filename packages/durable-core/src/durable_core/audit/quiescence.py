"""Nothing is left of closed runs, and open ones wait for something that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.story import ACTIVITY_OUTCOMES, CHILD_OUTCOMES, TIMERS
from durable_core.audit.violations import Invariant
from durable_core.execution import Status, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation


def quiescence(story: Story) -> Iterator[Violation]:
    if story.is_closed:
        yield from _left_behind(story)
    elif story.record.status is Status.RUNNING:
        yield from _in_vain(story)


def _left_behind(story: Story) -> Iterator[Violation]:
    run, record = story.run, story.record
    if run.due_at is not None:
        yield story.violation(Invariant.QUIESCENCE, f"a timer, {run.due_at}, of a closed run", "none")
    if run.waiting_for is not None:
        yield story.violation(Invariant.QUIESCENCE, f"a closed run that waits for {run.waiting_for}", "nothing")
    for task in run.tasks:
        if task.record.status is TaskStatus.QUEUED and not _may_be_kept(story):
            found = f"a QUEUED activity of a run that is {record.status}"
            yield story.about(task, Invariant.QUIESCENCE, found, "that it was closed with its run")
        if task.record.status is TaskStatus.RUNNING and not task.has_worker and task.due_at is None:
            found = f"a RUNNING activity of worker {task.worker_id}, which is gone"
            yield story.about(task, Invariant.QUIESCENCE, found, "a worker, or a time at which it is looked at")
    for letter in run.mail:
        if letter.due_at is None and letter.mail.type != e.SignalReceived.type:  # which has an invariant of its own
            found = f"{letter.mail.type} in the mailbox of a closed run, for ever"
            yield story.violation(Invariant.QUIESCENCE, found, "a time at which it is thrown away")


def _may_be_kept(story: Story) -> bool:
    """Whether somebody may have canceled the run with keep_queued; the store does not say."""
    if story.record.status is not Status.CANCELED:
        return False
    return story.record.id not in story.effects.started or story.record.id in story.effects.kept


def _in_vain(story: Story) -> Iterator[Violation]:
    """A RUNNING run that waits for something that is not there."""
    kind, what = story.waits.get("kind"), story.waits.get("what")
    if kind is None:
        yield story.violation(Invariant.QUIESCENCE, "a RUNNING run that waits for nothing", "something")
        return
    if story.run.mail:
        return  # whatever it waited for, it has something to do
    fired = {fact.call_id for fact in story.facts if isinstance(fact, e.TimerFired | e.TimerCanceled)}
    match kind:
        case "activity":
            there = any(
                fact.activity_name == what and not story.is_told(call_id, ACTIVITY_OUTCOMES)
                for call_id, fact in story.scheduled.items()
            )
        case "child":
            there = any(
                fact.workflow_name == what and not story.is_told(call_id, CHILD_OUTCOMES)
                for call_id, fact in story.children.items()
            )
        case "signal":
            there = any(
                isinstance(fact, e.SignalWaitStarted) and fact.name == what and fact.call_id not in fired
                for fact in story.facts
            )
        case "task":
            told = story.told_by_mail | {(fact.type, fact.call_id) for fact in story.facts}
            there = any(
                isinstance(fact, e.TaskAsked) and not any((end.type, fact.call_id) in told for end in e.TASK_ENDS)
                for fact in story.facts
            )
        case "timer":
            there = any(isinstance(fact, TIMERS) and fact.call_id not in fired for fact in story.facts)
        case _:
            there = True  # a worker, or code, that is not here
    if not there:
        found = f"a wait for {kind} {what!r}, which is not there"
        yield story.violation(Invariant.QUIESCENCE, found, f"an open {kind} in its history")
