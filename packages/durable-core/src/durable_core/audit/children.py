"""Parent and child tell the same story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.story import CHILD_OUTCOMES, as_text_column
from durable_core.audit.violations import Invariant
from durable_core.execution import Status
from durable_core.failures import summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation
    from durable_core.ports import AuditedChild


def family(story: Story) -> Iterator[Violation]:
    """Each scheduled child exists and each child was scheduled; its end is told once, as it was; none is orphaned."""
    there = {child.id: child for child in story.run.children}
    for call_id, fact in story.children.items():
        if call_id in story.ended_elsewhere:
            continue
        child = there.pop(fact.child_id, None)
        if child is not None and child.status is Status.CONTINUED_AS_NEW:
            child = _end_of_chain(child, there)
        if child is None:
            found = f"no run {fact.child_id} that is its child"
            yield story.violation(Invariant.FAMILY, found, "the child that it has started", call_id=call_id)
        else:
            yield from _check(story, fact, child)
    for child in there.values():
        found = f"a child, {child.id}, by call {child.call_id}, that it never started"
        yield story.violation(Invariant.FAMILY, found, "only those in its history", call_id=child.call_id)


def _end_of_chain(first: AuditedChild, there: dict[UUID, AuditedChild]) -> AuditedChild:
    """The run that goes on for a child, or ended for it; all that came in between are taken from *there*."""
    later = [child for child in there.values() if child.call_id == first.call_id]
    for child in later:
        del there[child.id]
    return next((child for child in later if child.status is not Status.CONTINUED_AS_NEW), first)


def _check(story: Story, fact: e.ChildWorkflowScheduled, child: AuditedChild) -> Iterator[Violation]:
    call_id = fact.call_id
    if (child.call_id, child.workflow_name) != (call_id, fact.workflow_name):
        found = f"child {child.id} as {child.workflow_name} by call {child.call_id}"
        expected = f"{fact.workflow_name} by call {call_id}, as it was started"
        yield story.violation(Invariant.FAMILY, found, expected, call_id=call_id)
    outcome = story.outcomes.get(call_id)
    if outcome is not None and not _agrees(outcome, child):
        found, expected = (
            f"{outcome.type} of child {child.id}",
            f"what became of it: {child.status} {child.error}".rstrip(),
        )
        yield story.violation(Invariant.FAMILY, found, expected, call_id=call_id)
    if child.status.is_closed and not story.is_closed and not story.is_told(call_id, CHILD_OUTCOMES):
        found = f"child {child.id}, {child.status}, of whose end its open parent has not heard"
        expected = "its outcome in the history or the mailbox"
        yield story.violation(Invariant.FAMILY, found, expected, call_id=call_id)
    if not child.status.is_closed and story.is_closed and child.cancel_with_parent and not child.is_told:
        found = f"child {child.id}, {child.status}, although its parent is {story.record.status}"
        yield story.violation(Invariant.FAMILY, found, "that it is canceled with its parent", call_id=call_id)


def _agrees(outcome: e.HistoryEvent, child: AuditedChild) -> bool:
    match outcome:
        case e.ChildWorkflowCompleted(result=result):
            return child.status is Status.COMPLETED and child.result == result
        case e.ChildWorkflowFailed(failure=failure):
            error = summary(failure)
            return child.status is Status.FAILED and child.error in (error, as_text_column(error))
        case e.ChildWorkflowCanceled():
            return child.status is Status.CANCELED
        case e.ChildWorkflowTimedOut():
            return child.status is Status.TIMED_OUT
        case _:
            return False
