"""Answers that people give to programs: each that was accepted is in a history, once, and no other is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.codec import decode
from durable_core.execution import HumanTaskStatus
from durable_core.rewinding import lived

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from uuid import UUID

    from durable_core.ports import HumanTaskRecord, LoadedRun
    from durable_core.testing import InMemoryHistoryStore


class Accepted(NamedTuple):
    """An answer whose caller was told that it counts."""

    run_id: UUID
    call_id: str
    answer: str


def open_questions(store: InMemoryHistoryStore) -> list[HumanTaskRecord]:
    return [row.record for row in store._asked if row.record.status is HumanTaskStatus.OPEN]


def answers_in(runs: Iterable[LoadedRun]) -> list[Accepted]:
    """As histories have them; what was put aside when a run was opened again does not count."""
    return [
        Accepted(run.record.id, fact.call_id, decode(fact.answer))
        for run in runs
        for fact in map(e.event_of, lived(run.events))
        if isinstance(fact, e.TaskAnswered)
    ]


def judge_answers(runs: Collection[LoadedRun], accepted: Collection[Accepted], tried: Collection[str]) -> Iterator[str]:
    """*tried*: what anybody has said, whatever became of it."""
    there = Counter(answers_in(runs))
    for answer in accepted:
        if answer not in there:
            yield f"{answer} was accepted, and is in no history"
    ends = Counter(
        (run.record.id, fact.call_id)
        for run in runs
        for fact in map(e.event_of, lived(run.events))
        if isinstance(fact, e.TASK_ENDS)
    )
    yield from (
        f"question {call_id} of run {run_id} has ended {n} times" for (run_id, call_id), n in ends.items() if n > 1
    )
    yield from (f"{answer} is in a history, and nobody has said that" for answer in there if answer.answer not in tried)
