"""Random programs on the real worker: what comes out is what the model allows, whatever is kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable_core import events as e
from durable_core.audit import Code, audit
from durable_core.execution import Status
from durable_core.ports import LoadedRun
from tests.programs import language as p
from tests.programs.activities import OPENING_BALANCE
from tests.programs.answers import judge_answers
from tests.programs.bench import ProgramBench
from tests.programs.bookings import judge_bookings
from tests.programs.chains import by_name, judge_chains, signals_of
from tests.programs.generator import ACCOUNTS, generate
from tests.programs.model import Circumstances, judge, judge_effects
from tests.programs.outputs import judge_outputs
from tests.programs.seen import replayed, seen_of, times_reopened
from tests.programs.source import source_of
from tests.programs.steps.signals import TOLD
from tests.programs.strategies import programs, transfers

RUN_ID = UUID(int=7)

properties = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)


def complaints_about(bench: ProgramBench, circumstances: Circumstances) -> list[str]:
    """Of all runs on the bench; *circumstances* are those of the first."""
    all_runs = {loaded.record.id: loaded for loaded in bench.runs()}
    runs = {run_id: loaded.record for run_id, loaded in all_runs.items()}
    answers = {accepted.answer for accepted in bench.accepted}
    judgements = {}
    for run_id, loaded in all_runs.items():
        sent = by_name(signals_of(loaded))  # by other runs, too
        if run_id == RUN_ID:
            told = {name: payloads for name, payloads in sent.items() if name == TOLD}
            around = replace(circumstances, signals={**circumstances.signals, **told})
        elif runs[run_id].chain_id == RUN_ID:
            around = replace(circumstances, signals=sent)
        else:  # it may be canceled with its parent
            again = circumstances.performs_again
            around = Circumstances(signals=sent, may_be_canceled=True, performs_again=again)
        around = replace(around, reopened=times_reopened(loaded), runs=runs, words=bench.others.words, answers=answers)
        judgements[run_id] = judge(seen_of(loaded), around)
    complaints = [complaint for judgement in judgements.values() for complaint in judgement.complaints]
    complaints += judge_chains(all_runs, judgements)
    complaints += judge_outputs(bench.store, all_runs, judgements)
    complaints += judge_answers(all_runs.values(), bench.accepted, answers)
    complaints += judge_bookings(judgements.values(), bench.books.keys)
    complaints += bench.judge_words()
    return complaints + judge_effects(judgements.values(), bench.ledger.begun) + audited(bench)


def updates(bench: ProgramBench, program: p.Program) -> list[Callable[[], Any]]:
    """One is refused; one is sent twice. And answers to what people are asked meanwhile."""
    answers: list[Callable[[], Any]] = [partial(bench.answer, number) for number in (range(5) if program.asks else ())]
    if not program.takes_updates:
        return answers
    asked = [("a", False), ("b", True), ("a", False), ("c", False)]
    return [*(partial(bench.update, RUN_ID, update_id, refuse=refuse) for update_id, refuse in asked), *answers]


def audited(bench: ProgramBench) -> list[str]:
    return [
        str(violation)
        for violation in audit(bench.store, bench.queue, bench.witnessed(), code=Code(registry=bench.registry))
    ]


@pytest.mark.parametrize("cache_size", [1_000, 0], ids=["cached", "replayed"])
@properties
@given(program=programs, signals_first=st.booleans())
def test_worker_does_what_the_model_allows(cache_size, program, signals_first):
    bench = ProgramBench(cache_size=cache_size)
    bench.start(program, RUN_ID)
    signals = program.signals()
    sends: list[Callable[[], Any]] = [partial(bench.signal, RUN_ID, name, payload) for name, payload in signals]
    sends += updates(bench, program)
    if signals_first:
        for send in sends:
            send()
        bench.drive()
    else:
        bench.drive(sends)
    around = Circumstances(signals=by_name(signals), signals_first=signals_first)
    complaints = complaints_about(bench, around)
    assert not complaints, source_of(program)
    for loaded in bench.runs():
        assert_every_prefix_replays(loaded)


def assert_every_prefix_replays(loaded: LoadedRun) -> None:
    """To what was seen up to there. A prefix ends where a decision may have: before a fact from outside."""
    seen = seen_of(loaded)
    facts = [e.event_of(record) for record in loaded.events]
    decided = len(facts) - 1
    while isinstance(facts[decided - 1], e.SignalReceived):  # which may have come when the code had ended already
        decided -= 1
    lengths = [length for length in range(1, decided) if not isinstance(facts[length], e.COMMANDED)]
    known = 0
    for length in [*lengths, len(facts)]:
        prefix = LoadedRun(loaded.record, loaded.events[:length], [])
        trace = replayed(prefix, seen.program, seen.path)
        entries = trace.entries if trace else []
        assert entries == seen.trace[: len(entries)]
        assert known <= len(entries)
        known = len(entries)
    assert known == len(seen.trace)


@properties
@given(program=programs)
def test_source_of_a_program_does_the_same(program):
    bench, other = ProgramBench(), ProgramBench()
    bench.start(program, RUN_ID)
    names = {"register": other.registry, "scripted": other.scripted}
    exec(compile(source_of(program), "<program>", "exec"), names)
    other.start_as("program", RUN_ID, program, path="r")
    for each in (bench, other):
        sends = [partial(each.signal, RUN_ID, name, payload) for name, payload in program.signals()]
        each.drive([*updates(each, program), *sends])
    assert [ends_of(loaded) for loaded in other.runs()] == [ends_of(loaded) for loaded in bench.runs()]
    assert other.ledger.begun == bench.ledger.begun


def ends_of(loaded: LoadedRun) -> tuple[Any, ...]:
    record = loaded.record
    return record.id, record.status, record.result, record.error, [event.type for event in loaded.events]


@properties
@given(program=programs)
def test_json_of_a_program_is_the_program(program):
    assert p.Program.from_text(program.to_text()) == program
    assert p.Program.from_json(program.to_json()).to_json() == program.to_json()


@properties
@given(seed=st.integers(0, 2**64), size=st.integers(1, 20))
def test_seed_means_one_program(seed, size):
    assert generate(Random(seed), size=size) == generate(Random(seed), size=size)


@pytest.mark.parametrize("cache_size", [1_000, 0], ids=["cached", "replayed"])
@properties
@given(program=programs, cancels=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=2))
def test_canceled_program_does_what_the_model_allows(cache_size, program, cancels):
    """Gracefully or at once, or first the one and then the other."""
    bench = ProgramBench(cache_size=cache_size)
    bench.start(program, RUN_ID)
    acts: list[Any] = [partial(bench.signal, RUN_ID, name, payload) for name, payload in program.signals()]
    acts += updates(bench, program)
    for graceful, after in cancels:
        acts.insert(after, partial(bench.client.cancel, RUN_ID, reason="enough", graceful=graceful))
    bench.drive(acts)
    around = Circumstances(signals=by_name(program.signals()), may_be_canceled=True)
    assert not complaints_about(bench, around), source_of(program)


@pytest.mark.parametrize("cache_size", [1_000, 0], ids=["cached", "replayed"])
@settings(properties, max_examples=25)
@given(program=programs, pauses=st.lists(st.integers(0, 12), min_size=1, max_size=3))
def test_paused_program_does_what_the_model_allows(cache_size, program, pauses):
    """It is paused now and then, is told nothing less, and goes on when it is resumed."""
    bench = ProgramBench(cache_size=cache_size)
    bench.start(program, RUN_ID)
    acts: list[Any] = [partial(bench.signal, RUN_ID, name, payload) for name, payload in program.signals()]
    acts += updates(bench, program)
    for after in pauses:
        acts.insert(after, partial(bench.pause, RUN_ID))
        acts.insert(after + 3, partial(bench.resume, RUN_ID))
    bench.drive([*acts, partial(bench.resume, RUN_ID)])
    around = Circumstances(signals=by_name(program.signals()), performs_again=True)
    assert not complaints_about(bench, around), source_of(program)


@pytest.mark.parametrize("cache_size", [1_000, 0], ids=["cached", "replayed"])
@settings(properties, max_examples=50)
@given(program=programs, times=st.integers(1, 2))
def test_reopened_program_does_what_the_model_allows(cache_size, program, times):
    """Its activities may fail again, or not any more; its signals come to it once, whatever it had read of them."""
    bench = ProgramBench(cache_size=cache_size)
    bench.start(program, RUN_ID)
    for name, payload in program.signals():
        bench.signal(RUN_ID, name, payload)
    bench.drive(updates(bench, program))
    for _ in range(times):
        if bench.reopen(RUN_ID):
            bench.drive()
    around = Circumstances(signals=by_name(program.signals()), signals_first=True)
    assert not complaints_about(bench, around), source_of(program)


@properties
@given(several=st.lists(transfers, min_size=1, max_size=4))
def test_transfers_conserve_the_total(several):
    bench = ProgramBench()
    for number, program in enumerate(several):
        bench.start(program, UUID(int=number), path=f"t{number}")
    bench.drive()
    assert all(loaded.record.status is Status.COMPLETED for loaded in bench.runs())
    assert sum(map(bench.ledger.balance, ACCOUNTS)) == OPENING_BALANCE * len(ACCOUNTS)
    assert [judge(seen_of(loaded)).complaints for loaded in bench.runs()] == [[] for _ in several]
