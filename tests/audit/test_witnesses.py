"""What was witnessed outside of the store is held against it: acknowledgements, effects, a model, totals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from durable_core.activity import current_activity
from durable_core.audit import Effects, End, Invariant, Performed, SentSignal, Start, Total, Violation, audit, seal_of
from durable_core.codec import Payload
from durable_core.events import SignalReceived
from durable_core.execution import Status
from durable_core.ports import AuditedRun, Entry, EntryKind
from durable_core.retry import RetryPolicy
from tests.core.test_worker import Bench


class NotingBench(Bench):
    noted: list[tuple[str, int]]  # key and attempt of each activity that came to its end


@pytest.fixture
def bench() -> NotingBench:
    bench = NotingBench()
    bench.noted = []

    @bench.registry.workflow
    def collects(ctx, n):
        return [ctx.wait_signal("word") for _ in range(n)]

    @bench.registry.activity(name="notes")
    def notes():
        bench.noted.append((current_activity().idempotency_key, current_activity().attempt))

    @bench.registry.workflow
    def noting(ctx, queue="default"):
        return ctx.run_activity(notes.using(queue=queue))

    @bench.registry.workflow
    def noting_here(ctx):
        return ctx.run_local_activity(notes)

    @bench.registry.activity(name="breaks", retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01))
    def breaks():
        notes()
        raise ValueError("no")

    @bench.registry.workflow
    def breaking_here(ctx, limit=None):
        return ctx.run_local_activity(breaks.using(timeout=limit))

    return bench


def found(bench: NotingBench, effects: Effects) -> list[tuple[Invariant, UUID | None]]:
    return [(violation.invariant, violation.run_id) for violation in said(bench, effects)]


def said(bench: NotingBench, effects: Effects) -> list[Violation]:
    return audit(bench.store, bench.queue, effects, bench.clock.now())


# Signals


def send(bench: NotingBench, run_id: UUID, *payloads: int) -> list[SentSignal]:
    for payload in payloads:
        bench.client.signal(run_id, "word", payload)
    return [SentSignal(run_id=run_id, name="word", payload=Payload(str(payload))) for payload in payloads]


def test_signals_read_and_unread_are_all_there(bench: NotingBench):
    run_id = bench.start("collects", n=3)
    sent = send(bench, run_id, 1, 2)
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    sent += send(bench, run_id, 3, 4)
    assert found(bench, Effects(signals=sent)) == []
    bench.drive(run_id)
    assert found(bench, Effects(signals=sent)) == []


def test_signal_that_was_acknowledged_and_is_nowhere_is_lost(bench: NotingBench):
    run_id = bench.start("collects", n=1)
    sent = send(bench, run_id, 1)
    lost = SentSignal(run_id=run_id, name="word", payload=Payload("2"))
    [violation] = said(bench, Effects(signals=[*sent, lost]))
    assert violation.invariant is Invariant.SIGNALS
    assert "1 lost" in violation.found


def test_signal_whose_reply_was_lost_may_be_there_or_not(bench: NotingBench):
    run_id = bench.start("collects", n=1)
    here, there = (
        replace(s, acknowledged=False)
        for s in (*send(bench, run_id, 1), SentSignal(run_id=run_id, name="word", payload=Payload("2")))
    )
    assert found(bench, Effects(signals=[here, there])) == []


def test_signal_that_came_twice_is_one_too_many(bench: NotingBench):
    run_id = bench.start("collects", n=2)
    sent = send(bench, run_id, 1, 1)
    bench.drive(run_id)
    [violation] = said(bench, Effects(signals=sent[:1]))
    assert "1 too many" in violation.found


def test_signals_of_one_sender_are_in_order(bench: NotingBench):
    run_id = bench.start("collects", n=2)
    first, second = send(bench, run_id, 1, 2)
    assert found(bench, Effects(signals=[second, first])) == [(Invariant.SIGNALS, run_id)]
    others = [replace(second, sender="a"), replace(first, sender="b")]
    assert found(bench, Effects(signals=others)) == []


@pytest.mark.parametrize("to", [0, 1, 2], ids=["the first", "one in between", "the newest"])
def test_signals_of_runs_that_go_on_for_each_other_are_one_receivers(bench: NotingBench, to: int):
    @bench.registry.workflow
    def one_by_one(ctx, read=0):
        if ctx.wait_signal("word") and read < 2:
            ctx.continue_as_new(read=read + 1)

    run_id = bench.start("one_by_one")
    sent = send(bench, run_id, 1, 2)
    bench.drive(run_id, to=lambda status: status is Status.CONTINUED_AS_NEW)
    bench.worker().run(until_idle=True)
    chain = [run_id, *(row.record.id for row in bench.store._runs if row.record.chain_id == run_id)]
    assert len(chain) == 3
    sent += send(bench, chain[to], 3)
    lost = SentSignal(run_id=chain[to], name="word", payload=Payload("4"))
    for _ in range(2):  # unread, and read
        assert found(bench, Effects(signals=sent)) == []
        assert found(bench, Effects(signals=[*sent, lost])) == [(Invariant.SIGNALS, run_id)]
        assert found(bench, Effects(signals=[*sent[1:], sent[0]])) == [(Invariant.SIGNALS, run_id)]
        assert found(bench, Effects(signals=sent[:2])) == [(Invariant.SIGNALS, run_id)]
        bench.worker().run(until_idle=True)
    assert bench.client.find_newest(run_id).status is Status.COMPLETED


@pytest.mark.promise("P6")
def test_signals_that_come_again_to_a_reopened_run_have_come_once(bench: NotingBench):
    is_mended = False

    @bench.registry.workflow
    def fails_behind_them(ctx):
        words = [ctx.wait_signal("word"), ctx.wait_signal("word")]
        if not is_mended:
            raise ValueError
        return words

    run_id = bench.start("fails_behind_them")
    sent = send(bench, run_id, 1, 2)
    bench.drive(run_id)
    is_mended = True
    bench.client.reopen(run_id)
    for _ in range(2):  # in the mailbox, and read
        assert found(bench, Effects(signals=sent)) == []
        assert found(bench, Effects(signals=sent[:1])) == [(Invariant.SIGNALS, run_id)]
        bench.drive(run_id)
    assert bench.result(run_id) == [1, 2]


@pytest.mark.parametrize("by", ["to", "workflow_id"])
def test_signals_of_other_runs_are_expected_too(bench: NotingBench, by: str):
    @bench.registry.workflow
    def tells(ctx, payloads, **whom):
        for payload in payloads:
            ctx.signal_workflow("word", payload, **whom)

    run_id = bench.client.start(bench.registry.workflows["collects"].using(workflow_id="w"), {"n": 4}).run_id
    whom = {by: str(run_id) if by == "to" else "w"}
    bench.start("tells", payloads=[2, 3], **whom)
    sent = send(bench, run_id, 1)
    bench.worker().run(until_idle=True)
    assert found(bench, Effects(signals=sent)) == []
    sent += send(bench, run_id, 4)
    assert found(bench, Effects(signals=sent)) == []
    assert found(bench, Effects(signals=sent[:1])) == [(Invariant.SIGNALS, run_id)]
    send(bench, run_id, 2)  # the same once more, which no run has sent
    assert found(bench, Effects(signals=sent)) == [(Invariant.SIGNALS, run_id)]


def test_signal_that_its_sender_heard_to_be_delivered_is_there(bench: NotingBench, monkeypatch: pytest.MonkeyPatch):
    @bench.registry.workflow
    def tells(ctx, to):
        ctx.signal_workflow("word", 2, to=to)

    run_id = bench.start("collects", n=3)
    sent = send(bench, run_id, 1)
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    bench.drive(bench.start("tells", to=str(run_id)))
    bench.worker().run(until_idle=True)
    assert found(bench, Effects(signals=sent)) == []
    audited = bench.store.audited

    def lossy(run_ids: list[UUID]) -> list[AuditedRun]:
        runs: list[AuditedRun] = audited(run_ids)
        for place, run in enumerate(runs):
            if run.record.id == run_id:
                *rest, last, _ = run.events
                assert last.type == SignalReceived.type
                runs[place] = replace(run, events=rest)
        return runs

    monkeypatch.setattr(bench.store, "audited", lossy)
    violations = [v.found for v in said(bench, Effects(signals=sent)) if v.invariant is Invariant.SIGNALS]
    assert violations == ["0 of signal 'word' 2 (1 lost)"]


# Effects


def performed(bench: NotingBench, **changes: Any) -> list[Performed]:
    return [replace(Performed(key=key, attempt=attempt, ended=True), **changes) for key, attempt in bench.noted]


NOTING = frozenset({"notes", "breaks"})


def test_effects_agree_with_the_tasks(bench: NotingBench):
    run_id = bench.start("noting")
    bench.drive(run_id)
    assert found(bench, Effects(performed=performed(bench), noting=NOTING)) == []


def test_completed_activity_without_an_effect_is_found(bench: NotingBench):
    run_id = bench.start("noting")
    bench.drive(run_id)
    begun = performed(bench, ended=False)
    for noted in ([], begun):
        [violation] = said(bench, Effects(performed=noted, noting=NOTING))
        assert (violation.invariant, violation.run_id) == (Invariant.EFFECTS, run_id)
        assert "never came to its end" in violation.found


def test_code_that_began_more_often_than_it_was_claimed_is_found(bench: NotingBench):
    run_id = bench.start("noting")
    bench.drive(run_id)
    [violation] = said(bench, Effects(performed=performed(bench) * 2, noting=NOTING))
    assert "began 2 times" in violation.found


def test_attempts_of_a_call_that_was_put_aside_are_those_of_the_call_made_again(bench: NotingBench):
    is_mended = False

    @bench.registry.workflow
    def fails_beside_it(ctx):
        handle = ctx.start_activity("notes")
        if not is_mended:
            raise ValueError
        return ctx.wait_activity(handle)

    run_id = bench.start("fails_beside_it")
    bench.drive(run_id)
    assert bench.noted == []
    is_mended = True
    bench.client.reopen(run_id)
    bench.drive(run_id)
    assert len(bench.noted) == 1
    assert found(bench, Effects(performed=performed(bench), noting=NOTING)) == []
    [violation] = said(bench, Effects(performed=performed(bench) * 2, noting=NOTING))
    assert "began 2 times" in violation.found


def test_effect_of_an_activity_that_nobody_asked_for_is_found(bench: NotingBench):
    run_id = bench.start("noting")
    bench.drive(run_id)
    stray = Performed(key=f"{run_id}:99", attempt=1, ended=True)
    [violation] = said(bench, Effects(performed=[*performed(bench), stray], noting=NOTING))
    assert "of which the run knows nothing" in violation.found


def test_activity_that_begins_after_a_cancel_is_found(bench: NotingBench):
    run_id = bench.start("noting", queue="elsewhere")
    bench.settings = replace(bench.settings, queues=("default",))
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    bench.client.cancel(run_id)
    late = bench.clock.now() + timedelta(seconds=1)
    attempt = Performed(key=f"{run_id}:0", attempt=1, ended=True, begun_at=late)
    unclaimed, late_one = said(bench, Effects(performed=[attempt], noting=NOTING))
    assert "changed hands 0 times" in unclaimed.found
    assert "began after its run was canceled" in late_one.found
    kept = Effects(performed=[attempt], noting=NOTING, kept=frozenset({run_id}))
    assert [violation.found for violation in said(bench, kept)] == [unclaimed.found]


@pytest.mark.parametrize(("name", "attempts"), [("noting_here", 1), ("breaking_here", 2)])
def test_effects_agree_with_the_outcomes_of_local_activities(bench: NotingBench, name: str, attempts: int):
    run_id = bench.start(name)
    bench.drive(run_id)
    noted = performed(bench, is_local=True)
    assert len(noted) == attempts
    for more in ([], noted[:1], noted):  # whoever has the run next begins with the first again
        assert found(bench, Effects(performed=noted + more, noting=NOTING)) == []


def test_effects_that_a_fork_took_over_are_those_of_the_other_run(bench: NotingBench):
    run_id = bench.start("noting_here")
    bench.drive(run_id)
    noted = performed(bench, is_local=True)
    length = len(bench.store.load([run_id])[run_id].events)
    bench.drive(bench.client.fork_run(run_id, length))
    assert found(bench, Effects(performed=noted, noting=NOTING)) == []


def test_local_activity_that_completed_without_an_effect_is_found(bench: NotingBench):
    run_id = bench.start("noting_here")
    bench.drive(run_id)
    begun = performed(bench, is_local=True, ended=False)
    another = performed(bench, is_local=True, attempt=2)
    for noted in ([], begun, another):
        [violation] = said(bench, Effects(performed=noted, noting=NOTING))
        assert (violation.invariant, violation.run_id, violation.call_id) == (Invariant.EFFECTS, run_id, "0")
        assert "attempt 1 completed, and its code never came to its end" in violation.found


def test_local_activity_that_failed_and_never_began_is_found(bench: NotingBench):
    run_id = bench.start("breaking_here")
    bench.drive(run_id)
    [violation] = said(bench, Effects(performed=performed(bench, is_local=True)[:1], noting=NOTING))
    assert "attempt 2 failed, and its code never began" in violation.found


def test_local_activity_whose_time_is_over_may_not_have_begun(bench: NotingBench):
    run_id = bench.start("breaking_here", limit=0.001)
    bench.drive(run_id)
    assert "ActivityTimeout" in bench.client.find(run_id).error
    assert found(bench, Effects(noting=NOTING)) == []


def test_only_a_local_activity_may_leave_no_word_of_itself(bench: NotingBench):
    run_id = bench.start("noting_here")
    bench.drive(run_id)
    lost = Performed(key=f"{run_id}:7", attempt=1, ended=True, is_local=True)
    noted = performed(bench, is_local=True)
    assert found(bench, Effects(performed=[*noted, lost], noting=NOTING)) == []
    for stray in (replace(lost, is_local=False), replace(lost, is_local=False, attempt=2)):
        [violation] = said(bench, Effects(performed=[*noted, lost, stray], noting=NOTING))
        assert "of which the run knows nothing" in violation.found


# Starts


def test_acknowledged_start_is_there(bench: NotingBench):
    run_id = bench.start("noting")
    assert found(bench, Effects(starts=[Start(run_id=run_id)])) == []


def test_acknowledged_start_that_is_not_there_is_found(bench: NotingBench):
    missing = uuid4()
    assert found(bench, Effects(starts=[Start(run_id=missing)])) == [(Invariant.STARTS, missing)]


def test_start_under_another_name_is_found(bench: NotingBench):
    run_id = bench.start("noting")
    assert found(bench, Effects(starts=[Start(run_id=run_id, workflow_id="x")])) == [(Invariant.STARTS, run_id)]


# Model, liveness, totals


def test_run_ends_as_its_model_says(bench: NotingBench):
    run_id = bench.start("collects", n=0)
    bench.drive(run_id)
    assert found(bench, Effects(ends={run_id: [End(Status.CANCELED), End(Status.COMPLETED, Payload("[]"))]})) == []
    for wrong in (End(Status.COMPLETED, Payload("[1]")), End(Status.FAILED), End(Status.COMPLETED, error="ValueError")):
        assert found(bench, Effects(ends={run_id: [wrong]})) == [(Invariant.MODEL, run_id)]


def test_run_that_should_have_closed_is_found_when_the_bound_is_over(bench: NotingBench):
    run_id = bench.start("collects", n=1)
    calm = Effects(ends={run_id: [End(Status.COMPLETED)]}, calm_since=bench.clock.now(), bound=timedelta(seconds=5))
    bench.clock.advance(4)
    assert found(bench, calm) == []
    bench.clock.advance(1)
    assert found(bench, calm) == [(Invariant.LIVENESS, run_id)]


def test_totals_are_kept(bench: NotingBench):
    totals = [Total(name="money", found=100, expected=100)]
    assert found(bench, Effects(totals=totals)) == []
    totals.append(Total(name="money", found=99, expected=100))
    assert found(bench, Effects(totals=totals)) == [(Invariant.CONSERVATION, None)]


# What was there before, and what should have been cleared away


def test_history_may_only_grow(bench: NotingBench):
    run_id = bench.start("collects", n=1)
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    history = bench.store._events[run_id]
    seals = {run_id: seal_of(history)}
    send(bench, run_id, 1)
    bench.drive(run_id)
    assert found(bench, Effects(seals=seals)) == []
    history[1] = history[1]._replace(details=history[1].details.replace("word", "other"))
    assert found(bench, Effects(seals=seals)) == [(Invariant.NO_GAPS, run_id)]


def test_history_that_was_cut_off_is_found(bench: NotingBench):
    run_id = bench.start("collects", n=1)
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    longer = seal_of([*bench.store._events[run_id], bench.store._events[run_id][-1]])
    assert found(bench, Effects(seals={run_id: longer})) == [(Invariant.NO_GAPS, run_id)]


def test_entry_for_what_is_closed_must_be_cleared_away_in_time(bench: NotingBench):
    run_id = bench.start("collects", n=0)
    bench.drive(run_id)
    assert found(bench, Effects(drained=True)) == []
    bench.queue.enqueue([Entry(EntryKind.RUN, run_id, "default")])
    assert found(bench, Effects()) == []  # a hint too many costs time only
    [violation] = said(bench, Effects(drained=True))
    assert violation.invariant is Invariant.QUIESCENCE
    assert str(run_id) in violation.found


def test_activities_that_nobody_kept_end_with_their_run(bench: NotingBench):
    bench.settings = replace(bench.settings, queues=("default",))
    run_id = bench.start("noting", queue="elsewhere")
    bench.drive(run_id, to=lambda status: status is Status.RUNNING)
    bench.client.cancel(run_id, keep_queued=True)
    started = [Start(run_id=run_id)]
    assert found(bench, Effects()) == []  # in production nobody knows
    assert found(bench, Effects(starts=started, kept=frozenset({run_id}))) == []
    assert found(bench, Effects(starts=started)) == [(Invariant.QUIESCENCE, run_id)]
