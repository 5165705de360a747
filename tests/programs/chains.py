"""Runs that go on as new ones: the next is what the code asked for, and begins with the signals that nobody had read.

What was read is known from the model, so that nothing is believed of what the product says is left.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.codec import decode
from durable_core.execution import Status
from durable_core.rewinding import lived
from tests.programs.interpreter import given_to, next_path
from tests.programs.language import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from durable_core.ports import LoadedRun
    from tests.programs.model import Judgement


def judge_chains(runs: Mapping[UUID, LoadedRun], judgements: Mapping[UUID, Judgement]) -> Iterator[str]:
    """*runs* are all there are, closed."""
    later = {run_id for run_id, run in runs.items() if run.record.chain_id is not None}
    for run_id, run in runs.items():
        if run.record.status is not Status.CONTINUED_AS_NEW:
            continue
        end = e.event_of(run.events[-1])
        assert isinstance(end, e.WorkflowContinuedAsNew)
        following = runs.get(end.next_id)
        if following is None:
            yield f"run {run_id} goes on as {end.next_id}, which is not there"
            continue
        later.discard(end.next_id)
        yield from _compare(run, following)
        if run_id in judgements and not judgements[run_id].unseen:
            yield from _carried(run, following, judgements[run_id])
    for run_id in later:
        yield f"run {run_id} goes on for {runs[run_id].record.chain_id}, of whose runs none has asked for it"


def signals_of(run: LoadedRun) -> list[tuple[str, Any]]:
    """Name and payload, in the order in which they came; those that came again once."""
    facts = (e.event_of(record) for record in lived(run.events) if record.type == e.SignalReceived.type)
    return [(fact.name, decode(fact.payload)) for fact in facts if isinstance(fact, e.SignalReceived)]


def by_name(signals: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Payloads in their order."""
    payloads: dict[str, list[Any]] = {}
    for name, payload in signals:
        payloads.setdefault(name, []).append(payload)
    return payloads


def _compare(run: LoadedRun, following: LoadedRun) -> Iterator[str]:
    before, after = run.record, following.record
    kept = "workflow_name", "workflow_id", "queue", "priority", "parent_id", "parent_call_id", "timeout"
    expected = {name: getattr(before, name) for name in kept} | {"chain_id": before.chain_id or before.id}
    found = {name: getattr(after, name) for name in expected}
    if found != expected:
        yield f"run {after.id} goes on for {before.id} with {found}; expected {expected}"
    given = given_to(before)
    then = Program.from_text(given["program"]).then
    asked = {"program": then.to_text() if then else None, "path": next_path(given["path"])}
    if decode(after.input) != asked:
        yield f"run {after.id} goes on for {before.id} with input {after.input}; expected {asked}"


def _carried(run: LoadedRun, following: LoadedRun, judgement: Judgement) -> Iterator[str]:
    places = Counter[str]()
    left = []
    for name, payload in signals_of(run):
        if places[name] not in judgement.consumed.get(name, ()):
            left.append((name, payload))
        places[name] += 1
    found = signals_of(following)[: len(left)]
    if found != left:
        yield f"run {following.record.id} begins with the signals {found}; {run.record.id} has not read {left}"
