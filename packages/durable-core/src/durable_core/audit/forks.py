"""A run that was forked begins with the history of its origin, and says which that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant
from durable_core.cutting import taken_over
from durable_core.errors import NewerCodeNeeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation
    from durable_core.ports import AuditableStore


def forks(story: Story) -> Iterator[Violation]:
    """Its row and its history name the same origin, and it is in its place."""
    origin, found = story.record.forked_from, _fork_of(story)
    if found is None:
        if origin is not None:
            missing = f"a run that was forked from {origin}, and whose history does not say so"
            yield story.violation(Invariant.FORKS, missing, "that it says where")
        return
    fork, placed = found
    if origin is not None and origin != fork.origin:  # none: that run was deleted
        expected = f"{origin}, as its row says"
        yield story.violation(Invariant.FORKS, f"a fork from {fork.origin}", expected, seq=placed.seq)
    if fork.from_seq != placed.seq:
        wrong = f"a fork from seq {fork.from_seq} at seq {placed.seq}"
        yield story.violation(Invariant.FORKS, wrong, "that what stands before is what was taken over", seq=placed.seq)


def origins(store: AuditableStore, stories: Sequence[Story]) -> Iterator[Violation]:
    """What was taken over is what the origins have, if they are still there."""
    forked = [(story, found[0]) for story in stories if (found := _fork_of(story)) is not None]
    if not forked:
        return
    there = {run.record.id: run.events for run in store.audited({fork.origin for _, fork in forked})}
    for story, fork in forked:
        if fork.origin not in there:
            continue
        before = there[fork.origin][: fork.from_seq - 1]
        try:
            expected = taken_over(before, story.record.id)
        except NewerCodeNeeded:
            continue
        own = list(story.whole[: fork.from_seq - 1])
        if own != expected:
            pairs = zip(own, expected, strict=False)
            seq = next((event.seq for event, other in pairs if event != other), min(len(own), len(expected)) + 1)
            wrong = f"an event that is not that of run {fork.origin}"
            yield story.violation(Invariant.FORKS, wrong, "the same, up to where it was forked", seq=seq)


def _fork_of(story: Story) -> tuple[e.WorkflowForked, e.EventRecord] | None:
    """The last one: those before are of its origin's history."""
    found = [(fact, placed) for fact, placed in story.placed() if isinstance(fact, e.WorkflowForked)]
    return found[-1] if found else None
