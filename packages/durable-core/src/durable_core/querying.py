"""A query of live state: the run is brought back from its history, asked, and thrown away.

That takes no worker and no lock, and writes nothing. It sees what the last decision has left behind: mail that nobody
has read yet has not happened.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from durable_core.codec import decode, encode
from durable_core.errors import (
    CodeFailed,
    CodeStuck,
    NewerCodeNeeded,
    NondeterminismError,
    QueryFailed,
    UnknownQueryError,
    did_you_mean,
)
from durable_core.queries import STATUS, check_payload
from durable_core.replay import WorkflowRun
from durable_core.rewinding import decided
from durable_core.worker.loading import info_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable_core.decision import RunSettings
    from durable_core.definitions import Registry
    from durable_core.events import EventRecord
    from durable_core.ports import LoadedRun
    from durable_core.worker.liveness import CodeWatch


def ask(
    loaded: LoadedRun,
    name: str,
    payload: Mapping[str, Any],
    *,
    registry: Registry,
    settings: RunSettings,
    watch: CodeWatch | None = None,
) -> Any:
    """What the handler *name* of the run's code answers; open or closed.

    Raises `UnknownQueryError`, `TypeError` or `PayloadError` for a question that cannot be put, `QueryFailed` where the
    run cannot be brought back, and whatever the handler raises.
    """
    record = loaded.record
    label = f"workflow {record.workflow_name!r} ({record.id})"
    definition = registry.workflows.get(record.workflow_name)
    if definition is None:
        raise QueryFailed(
            f"{label}, query {name!r}: its code is not here. {did_you_mean(record.workflow_name, registry.workflows)}",
            execution_id=record.id,
        )
    history = loaded.events
    if not decided(history):
        raise UnknownQueryError(
            f"Workflow {record.workflow_name!r} has no query {name!r} yet: run {record.id} is {record.status}, and no "
            f"worker has begun it. {did_you_mean(name, [*registry.queries_of(record.workflow_name), STATUS])}",
            execution_id=record.id,
        )
    given = decode(encode(dict(payload), what=f"the payload of query {name!r}", limit=settings.payload_limit))
    problem: Exception | CodeStuck | None = None
    for past in _pasts(history):
        run = WorkflowRun(definition, info_of(record), registry, settings)
        try:
            with nullcontext() if watch is None else watch.over(run):
                run.replay(past)
                return _put(run, name, given, registry, settings, label)
        except (NondeterminismError, NewerCodeNeeded, CodeFailed, CodeStuck) as error:
            problem = problem or error
        finally:
            run.close()
    assert problem is not None
    why = "its code ran for too long" if isinstance(problem, CodeStuck) else f"{type(problem).__name__}: {problem}"
    raise QueryFailed(f"{label}, query {name!r} cannot be answered: {why}", execution_id=record.id) from problem


def _pasts(history: Sequence[EventRecord]) -> Sequence[Sequence[EventRecord]]:
    """As what the code knows it. Where a cancel closed the run it may have been asked or not, and only it can tell."""
    asked = decided(history)
    return [history] if len(asked) == len(history) else [asked, history]


def _put(
    run: WorkflowRun, name: str, payload: dict[str, Any], registry: Registry, settings: RunSettings, label: str
) -> Any:
    handler = run.find_query(name, registry.queries_of(run.info.workflow_name))
    check_payload(handler, payload, what=f"{label}, query {name!r}", name=name)
    answer = run.only_looking(lambda: handler(**payload))
    return decode(encode(answer, what=f"the answer of query {name!r}", limit=settings.payload_limit))
