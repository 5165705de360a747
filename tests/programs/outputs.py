"""What others read of programs is what their code has told, in its order and once. Runs that go on for each other tell
it together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_core.codec import decode
from tests.programs.interpreter import given_to
from tests.programs.scripts import same
from tests.programs.seen import times_reopened
from tests.programs.steps.outputs import KEYS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from durable_core.ports import HistoryStore, LoadedRun
    from tests.programs.model import Judgement

MANY = 10_000  # items: more than any program publishes


def judge_outputs(
    store: HistoryStore, runs: Mapping[UUID, LoadedRun], judgements: Mapping[UUID, Judgement]
) -> Iterator[str]:
    """*runs* are all there are, closed, and *judgements* those of all whose code has begun."""
    chains: dict[UUID, list[UUID]] = {}
    for run_id, run in runs.items():
        chains.setdefault(run.record.chain_id or run_id, []).append(run_id)
    for chain_id, members in chains.items():
        members.sort(key=lambda run_id: len(given_to(runs[run_id].record)["path"]))  # each adds a mark to it
        told = [judgements[run_id] for run_id in members if run_id in judgements]
        if any(judgement.complaints for judgement in told):
            continue  # what its model says is not what it did
        values: dict[str, Any] = {}
        items: dict[str, list[Any]] = {}
        for judgement in told:
            values |= judgement.values
            for stream, some in judgement.items.items():
                items.setdefault(stream, []).extend(some)
        if any(times_reopened(runs[run_id]) for run_id in members):
            yield from _compare_reopened(store, chain_id, items)
        else:
            yield from _compare(store, chain_id, values, items)


def _compare(
    store: HistoryStore, chain_id: UUID, values: Mapping[str, Any], items: Mapping[str, list[Any]]
) -> Iterator[str]:
    for key in KEYS:
        payload = store.value(chain_id, key)
        found = "nothing" if payload is None else [decode(payload)]
        expected = [values[key]] if key in values else "nothing"
        if not same(found, expected):
            yield f"run {chain_id} has {found} as event {key!r}; its code has set {expected}"
    for stream in STREAMS:
        published = _published(store, chain_id, stream)
        if not same(published, items.get(stream, [])):
            yield f"run {chain_id} has {published} in stream {stream!r}; its code has published {items.get(stream)}"


def _compare_reopened(store: HistoryStore, chain_id: UUID, items: Mapping[str, list[Any]]) -> Iterator[str]:
    """What a step has told that was put aside stands there too, and may stand there twice."""
    for stream in STREAMS:
        published = _published(store, chain_id, stream)
        rest = iter(published)
        if not all(any(same(item, other) for other in rest) for item in items.get(stream, [])):
            yield f"run {chain_id} has {published} in stream {stream!r}; its code has published {items.get(stream)}"


def _published(store: HistoryStore, chain_id: UUID, stream: str) -> list[Any]:
    return [decode(stored.item) for stored in store.items(chain_id, stream, after=0, limit=MANY)]
