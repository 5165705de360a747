"""Activities: one task for each call, attempts within the policy, one outcome that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.story import ACTIVITY_OUTCOMES
from durable_core.audit.violations import Invariant
from durable_core.execution import TaskStatus
from durable_core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation
    from durable_core.ports import AuditedTask

STATUS_BY_FACT: dict[type[e.Event], TaskStatus] = {
    e.ActivityCompleted: TaskStatus.COMPLETED,
    e.ActivityFailed: TaskStatus.FAILED,
    e.ActivityTimedOut: TaskStatus.TIMED_OUT,
    e.ActivityCanceled: TaskStatus.CANCELED,
}


def attempts(story: Story) -> Iterator[Violation]:
    """As many as the policy allows; a token for each; the outcome in the history is that of the task."""
    for task in story.run.tasks:
        record = task.record
        most = RetryPolicy.from_json(dict(record.retry_policy)).maximum_attempts
        if most and record.attempt > most:
            yield story.about(
                task, Invariant.ATTEMPTS, f"{record.attempt} attempts", f"{most} at most, by its retry policy"
            )
        if record.token < record.attempt:
            found = f"token {record.token} after {record.attempt} attempts"
            yield story.about(task, Invariant.ATTEMPTS, found, "a new token for each attempt")
        begun = record.status in (TaskStatus.RUNNING, TaskStatus.COMPLETED)
        if begun and (record.attempt < 1 or record.started_at is None):
            yield story.about(task, Invariant.ATTEMPTS, f"{record.status} without an attempt", "one that has begun")
        outcome = story.outcomes.get(record.call_id)
        if outcome is not None and task is story.tasks[record.call_id]:
            yield from _compare(story, task, outcome)


def _compare(story: Story, task: AuditedTask, outcome: e.HistoryEvent) -> Iterator[Violation]:
    record = task.record
    status = STATUS_BY_FACT.get(type(outcome))
    if status is not record.status:
        yield story.about(
            task, Invariant.ATTEMPTS, f"a {record.status} task whose run was told {outcome.type}", "that they agree"
        )
        return
    match outcome:
        case e.ActivityCompleted(attempt=attempt, result=result):
            if attempt != record.attempt:
                found = f"the outcome of attempt {attempt} where {record.attempt} were begun"
                yield story.about(task, Invariant.ATTEMPTS, found, "that of the last one")
            if result != task.result:
                yield story.about(
                    task, Invariant.ATTEMPTS, "another result in its history than in its task", "the same"
                )
        case e.ActivityFailed(failure=failure) | e.ActivityTimedOut(failure=failure):
            if failure != record.failure:
                yield story.about(
                    task, Invariant.ATTEMPTS, "another failure in its history than in its task", "the same"
                )
        case _:
            pass


def told(story: Story) -> Iterator[Violation]:
    """Each scheduled activity has one task, each task was scheduled, and how one ended is told to an open run."""
    for call_id, fact in story.scheduled.items():
        task = story.tasks.get(call_id)
        if call_id in story.ended_elsewhere:
            continue
        if task is None or task.record.activity_name != fact.activity_name:
            found = "no task" if task is None else f"a task of {task.record.activity_name}"
            yield story.violation(Invariant.OUTCOMES, found, f"a task of {fact.activity_name}", call_id=call_id)
    seen: set[str] = set()
    for task in story.run.tasks:
        call_id = task.record.call_id
        if task.record.status.is_closed and call_id in story.put_aside:
            continue
        if call_id not in story.scheduled or call_id in seen or call_id in story.ended_elsewhere:
            expected = "one task for each activity that is scheduled in the history"
            yield story.about(task, Invariant.OUTCOMES, "a task beyond those", expected)
        seen.add(call_id)
        if task.record.status.is_closed and not story.is_closed and not story.is_told(call_id, ACTIVITY_OUTCOMES):
            found = f"a {task.record.status} task of which its open run has not heard"
            yield story.about(task, Invariant.NOTHING_LOST, found, "its outcome in the history or the mailbox")
