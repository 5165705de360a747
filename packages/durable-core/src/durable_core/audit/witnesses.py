"""What the store says beside what was witnessed outside of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.story import LOCAL_OUTCOMES, as_text_column
from durable_core.audit.violations import Invariant, Violation
from durable_core.execution import Status, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.effects import Effects, End, Performed
    from durable_core.audit.story import Story
    from durable_core.ports import AuditableStore, AuditedTask

BATCH = 500  # runs looked up at once


def effects(story: Story) -> Iterator[Violation]:
    """An activity that completed has come to its end, none began more often than it was claimed, or after a cancel."""
    noted = dict(story.effects.performed_by_run.get(str(story.record.id), {}))
    hands = Counter[str]()  # how often a call changed them; one that was put aside and made again has several tasks
    for task in story.run.tasks:
        hands[task.record.call_id] += task.record.token
    for call_id, task in story.tasks.items():
        of_call = noted.pop(f"{story.record.id}:{call_id}", [])
        if task.record.activity_name in story.effects.noting:
            yield from _compare(story, task, of_call, hands[call_id])
    for fact in story.facts[story.forked_at :]:
        if isinstance(fact, LOCAL_OUTCOMES):
            of_call = noted.pop(f"{story.record.id}:{fact.call_id}", [])
            if fact.activity_name in story.effects.noting:
                yield from _compare_local(story, fact, of_call)
    for key, attempts in noted.items():
        if all(attempt.is_local for attempt in attempts):
            continue  # nobody has waited for it to the end
        found = f"{len(attempts)} attempts of {key}, of which the run knows nothing"
        yield story.violation(Invariant.EFFECTS, found, "only activities that it has scheduled")


def _compare(story: Story, task: AuditedTask, noted: list[Performed], hands: int) -> Iterator[Violation]:
    record = task.record
    if record.status is TaskStatus.COMPLETED and not any(p.ended and p.attempt == record.attempt for p in noted):
        found = f"attempt {record.attempt} COMPLETED, and its code never came to its end"
        yield story.about(task, Invariant.EFFECTS, found, "at least one effect")
    if len(noted) > hands:
        found = f"code that began {len(noted)} times, of a task that changed hands {hands} times"
        yield story.about(task, Invariant.EFFECTS, found, "that it is claimed each time")
    ended_at = story.ended_at
    if record.status is TaskStatus.QUEUED or story.record.status is not Status.CANCELED or ended_at is None:
        return
    committed_by = ended_at + story.effects.cancel_takes
    if story.record.id in story.effects.kept or (record.started_at is not None and record.started_at <= committed_by):
        return
    if any(p.begun_at is not None and p.begun_at > ended_at for p in noted):
        found = "an activity that began after its run was canceled, and was not claimed before"
        yield story.about(task, Invariant.EFFECTS, found, "none")


def _compare_local(
    story: Story, fact: e.LocalActivityCompleted | e.LocalActivityFailed, noted: list[Performed]
) -> Iterator[Violation]:
    """Of attempts there may be more than led to the outcome: whoever has the run next begins with the first again."""
    match fact:
        case e.LocalActivityCompleted():
            is_so = any(p.ended and p.attempt == fact.attempt for p in noted)
            what, found = "at least one effect", f"attempt {fact.attempt} completed, and its code never came to its end"
        case e.LocalActivityFailed(kind=None):
            attempt = fact.failure.get("attempt")
            is_so = any(p.attempt == attempt for p in noted)
            what, found = "that it began", f"attempt {attempt} failed, and its code never began"
        case _:
            return  # its time may have been over before it began
    if not is_so:
        yield story.violation(Invariant.EFFECTS, found, what, call_id=fact.call_id)


def model(story: Story) -> Iterator[Violation]:
    """It ended as a model of its program says."""
    record = story.record
    expected = story.effects.ends.get(record.id)
    if expected is None or not record.status.is_closed:
        return
    if not any(_is_like(story, end) for end in expected):
        found = f"{record.status} with result {record.result} and error {record.error!r}"
        yield story.violation(Invariant.MODEL, found, " or ".join(map(_told, expected)))


def _is_like(story: Story, end: End) -> bool:
    record = story.record
    return (
        record.status is end.status
        and (end.result is None or end.result == record.result)
        and (end.error is None or record.error in (end.error, as_text_column(end.error)))
    )


def _told(end: End) -> str:
    return " ".join(filter(None, (end.status.value, end.result, end.error)))


def liveness(story: Story) -> Iterator[Violation]:
    """It closed in time, once faults had stopped."""
    calm = story.effects.calm_since
    if calm is None or story.is_closed or story.record.id not in story.effects.ends:
        return
    if story.now >= calm + story.effects.bound:
        found = f"{story.record.status}, {story.now - calm} after the last fault; it waits for {story.run.waiting_for}"
        yield story.violation(Invariant.LIVENESS, found, f"closed within {story.effects.bound}")


def one_of_a_name(story: Story) -> Iterator[Violation]:
    """No other open run has its workflow_id."""
    if story.run.namesakes:
        others = ", ".join(map(str, story.run.namesakes))
        found = f"open runs with the same workflow_id {story.record.workflow_id!r}: {others}"
        yield story.violation(Invariant.STARTS, found, "one at most")


# Of no single run


def starts(store: AuditableStore, effects: Effects) -> Iterator[Violation]:
    """Each acknowledged start exists."""
    for first in range(0, len(effects.starts), BATCH):
        some = effects.starts[first : first + BATCH]
        names = {run.record.id: run.record.workflow_id for run in store.audited({start.run_id for start in some})}
        for start in some:
            if start.run_id not in names:
                found = "no such run, although its caller was told that it is started"
                yield Violation(invariant=Invariant.STARTS, run_id=start.run_id, found=found, expected="a run")
            elif names[start.run_id] != start.workflow_id:
                found = f"workflow_id {names[start.run_id]!r}"
                expected = f"{start.workflow_id!r}, as it was started"
                yield Violation(invariant=Invariant.STARTS, run_id=start.run_id, found=found, expected=expected)


def conservation(effects: Effects) -> Iterator[Violation]:
    for total in effects.totals:
        if total.found != total.expected:
            found, expected = f"{total.name} of {total.found}", str(total.expected)
            yield Violation(invariant=Invariant.CONSERVATION, run_id=None, found=found, expected=expected)
