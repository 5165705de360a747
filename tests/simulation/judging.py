"""Whether a world came to a good end: the audit, the model of its programs, and that it came to an end at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit import Code, audit
from durable_core.execution import Status
from tests.programs.answers import judge_answers
from tests.programs.bookings import judge_bookings
from tests.programs.chains import by_name, judge_chains, signals_of
from tests.programs.errands import judge_words
from tests.programs.model import Circumstances, judge, judge_effects
from tests.programs.outputs import judge_outputs
from tests.programs.scripts import same
from tests.programs.seen import seen_of, times_reopened
from tests.simulation.hub import Exhausted
from tests.simulation.updates import judge_told
from tests.simulation.vault import plain
from tests.simulation.witness import first_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from durable_core.ports import LoadedRun, RunRecord
    from tests.programs.seen import Seen
    from tests.simulation.orders import Order
    from tests.simulation.witness import Witness
    from tests.simulation.world import World

MANY = 10_000  # faults: whatever a script allows at all


def complaints(world: World, orders: Sequence[Order], witness: Witness, *, came_to_its_end: bool) -> list[str]:
    """All that is wrong with it, a sentence each."""
    found = [f"{strand} ended: {type(error).__name__}: {error}" for strand, error in world.hub.failures]
    if any(isinstance(error, Exhausted) for _, error in world.hub.failures):
        return found
    if not came_to_its_end and not found:
        found.append(f"it has not come to its end {world.bound} after the last fault")
    effects = witness.effects(calm_since=world.calm_since, bound=world.bound)
    now = world.clock.now()
    code = Code(registry=world.registry)
    patience = world.weather.redelivery * 20
    found += [str(v) for v in audit(world.opened, world.queue, effects, now, code=code, patience=patience)]
    if world.vault.is_shut:
        found += plain(world.store)
    if not found:
        found += _by_the_model(world, orders, witness)
    return found


def _answers(witness: Witness, run: LoadedRun, seen: Seen) -> Iterator[str]:
    """What a run was asked for is the beginning of what it saw in the end, unless it was reopened behind that."""
    reopened_at = max((event.seq for event in run.events if event.type == e.WorkflowReopened.type), default=0)
    for run_id, length, answer in witness.answers:
        if run_id == seen.run_id and length >= reopened_at and not same(answer, seen.trace[: len(answer)]):
            yield f"run {run_id} answered that it had seen {answer}; it has seen {seen.trace}"


def _of_forks(runs: Collection[RunRecord]) -> set[UUID]:
    """Forks, the runs that go on for them, and their children."""
    found = {run.id for run in runs if run.forked_from is not None}
    while more := {run.id for run in runs if {run.parent_id, run.chain_id} & found} - found:
        found |= more
    return found


def _by_the_model(world: World, orders: Sequence[Order], witness: Witness) -> Iterator[str]:
    loaded = world.opened.load([row.record.id for row in world.store._runs])
    runs = {run_id: run.record for run_id, run in loaded.items()}
    canceled = {first_of(runs[order.run_id]) for order in orders if order.cancels and order.run_id in runs}
    forked = _of_forks(runs.values())
    own = {run_id: run for run_id, run in loaded.items() if run_id not in forked}
    judgements = {}
    for run in loaded.values():
        record = run.record
        if record.status is Status.BLOCKED:
            yield f"run {record.id} is BLOCKED: {record.error}"
            return
        if record.id in forked:  # the audit knows what a fork begins with, and the model how a program begins
            continue
        around = Circumstances(
            signals=by_name(signals_of(run)),
            may_be_canceled=first_of(record) in canceled or record.parent_id is not None,
            faults=MANY if world.weather.is_rough else 0,
            reopened=times_reopened(run),
            performs_again=True,
            words=witness.words,
            runs=runs,
            answers=witness.tried,
        )
        seen = seen_of(run)
        judgements[record.id] = judge(seen, around)
        yield from _answers(witness, run, seen)
    for judgement in judgements.values():
        yield from judgement.complaints
    yield from judge_chains(own, judgements)
    yield from judge_outputs(world.opened, own, judgements)
    yield from judge_answers(loaded.values(), witness.accepted, witness.tried)
    reopened = {first_of(run.record) for run in loaded.values() if times_reopened(run)}
    yield from judge_told(world.opened, witness.told, reopened)
    was_reopened = {run.record.id: times_reopened(run) > 0 for run in loaded.values()}
    tasks = {past.record.id: past for run_id in loaded for past in world.opened.tasks_of(run_id)}
    yield from judge_words(witness.words, tasks, was_reopened.__getitem__, is_rough=world.weather.is_rough)
    if not forked and not any(order.workflow_id for order in orders):  # otherwise, one path has several runs
        yield from judge_effects(judgements.values(), witness.ledger.begun)
        yield from judge_bookings(judgements.values(), witness.books.keys)
