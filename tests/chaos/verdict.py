"""What must be so once faults have stopped: all has closed, the audit is clean, the model allows what was seen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_durable.engine import engine
from django_durable.models import ActivityTask, WorkflowExecution
from durable_core.audit import Code, Effects, End, Start, Total, audit
from durable_core.definitions import Registry
from durable_core.execution import CLOSED_STATUSES, OPEN_STATUSES, Status
from durable_core.ports import AuditableStore, LoadedRun
from tests.programs.activities import HERE, OPENING_BALANCE, SCRIPTED, MemoryLedger, install
from tests.programs.chains import by_name, judge_chains, signals_of
from tests.programs.generator import ACCOUNTS
from tests.programs.model import Circumstances, Judgement, judge, judge_effects
from tests.programs.outputs import judge_outputs
from tests.programs.seen import seen_of, times_reopened
from tests.programs.source import source_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.clients import Story
    from tests.chaos.ledger import FileLedger
    from tests.sites import Site

BOUND = 60.0  # seconds after the last fault in which all must close: backoff of 5 s, redelivery, 100 programs to end
CANCEL_TAKES = timedelta(seconds=1)  # on a busy machine; clients are not paused
PREFIXES = 4  # of each history that are replayed; the tests of programs replay all
LOADED_AT_ONCE = 200


@dataclass
class Verdict:
    complaints: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    effects: int = 0
    slowest: float = 0.0  # seconds from the end of faults to the last end of a run


def settle(site: Site, began: float) -> Verdict:
    """Wait until all runs have closed and nothing is left to do; says what is open when that takes too long."""
    verdict = Verdict()
    runs = WorkflowExecution.objects.using(site.alias)
    tasks = ActivityTask.objects.using(site.alias).filter(status__in=("QUEUED", "RUNNING"))
    try:
        wait_until(lambda: not runs.filter(status__in=OPEN_STATUSES).exists(), "all runs to close", patience=BOUND)
        verdict.slowest = time.monotonic() - began
        wait_until(lambda: not tasks.exists(), "all activities to end", patience=BOUND)
        wait_until(lambda: not _entries(), lambda: f"the queue to be empty: {_entries()}", patience=BOUND)
    except AssertionError as late:
        left = [f"{run} waits for {run.waiting_for}" for run in runs.filter(status__in=OPEN_STATUSES)[:20]]
        verdict.complaints += [str(late), *left, *(f"{task} is {task.status}" for task in tasks[:20])]
    return verdict


def _entries() -> list[Any]:
    return [stats for stats in engine().queue.stats() if stats.ready or stats.claimed]


def look_at_all(site: Site, stories: Sequence[Story], ledger: FileLedger, *, faults: int, verdict: Verdict) -> None:
    """Audit what is there, and hold it against what was witnessed."""
    calm_since = datetime.now(UTC) - timedelta(seconds=verdict.slowest)
    _audit(site, stories, ledger, calm_since, verdict)
    by_path = {story.path: story for story in stories}
    judgements: dict[UUID, Judgement] = {}
    records = {run.record.id: run.record for run in _runs(site)}
    for run in _runs(site):
        verdict.runs += 1
        verdict.statuses[run.record.status] += 1
        if not run.record.status.is_closed:
            continue
        try:
            seen = seen_of(run)
        except ValueError as problem:
            verdict.complaints.append(str(problem))
            continue
        story = by_path.get(seen.path.rstrip("'"))  # or of the run that it goes on for
        around = Circumstances(
            signals=by_name(signals_of(run)),
            may_be_canceled=story is None or story.may_be_canceled,  # a child: with its parent
            faults=faults,
            reopened=times_reopened(run),
            performs_again=True,
            runs=records,
        )
        judgement = judge(seen, around)
        judgements[run.record.id] = judgement
        if judgement.complaints:
            verdict.complaints += [*judgement.complaints, source_of(seen.program)]
    begun = ledger.begun()
    verdict.effects = len(begun)
    verdict.complaints += judge_effects(judgements.values(), begun)
    if not any(record.status in OPEN_STATUSES for record in records.values()):
        runs = {run.record.id: run for run in _runs(site)}
        verdict.complaints += judge_chains(runs, judgements)
        verdict.complaints += judge_outputs(engine().store, runs, judgements)


def _audit(site: Site, stories: Sequence[Story], ledger: FileLedger, calm_since: datetime, verdict: Verdict) -> None:

    made = engine()
    assert isinstance(made.store, AuditableStore)
    registry = Registry()
    install(registry, MemoryLedger())
    started = [story for story in stories if story.run_id is not None]
    money = sum(map(ledger.balance, ACCOUNTS))
    effects = Effects(
        starts=[Start(run_id=story.run_id, workflow_id=story.path) for story in started if story.run_id is not None],
        signals=[signal for story in started for signal in story.signals],
        performed=list(ledger.performed()),
        noting=frozenset({SCRIPTED, HERE}),
        cancel_takes=CANCEL_TAKES,
        ends={story.run_id: [End(Status(s)) for s in CLOSED_STATUSES] for story in started if story.run_id},
        calm_since=calm_since,
        bound=timedelta(seconds=BOUND),
        drained=True,
        totals=[Total(name="money", found=money, expected=OPENING_BALANCE * len(ACCOUNTS))],
    )
    programs = {story.run_id: story.program for story in started}
    for violation in audit(made.store, made.queue, effects, code=Code(registry=registry, prefixes=PREFIXES)):
        verdict.complaints.append(str(violation))
        if violation.run_id in programs:
            verdict.complaints.append(source_of(programs[violation.run_id]))


def _runs(site: Site) -> Iterator[LoadedRun]:
    store = engine().store
    ids: list[UUID] = list(WorkflowExecution.objects.using(site.alias).values_list("pk", flat=True))
    for first in range(0, len(ids), LOADED_AT_ONCE):
        yield from store.load(ids[first : first + LOADED_AT_ONCE]).values()
