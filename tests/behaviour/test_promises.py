"""The promises P1 to P9 of semantics.md; P10 needs histories of earlier releases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import connections, transaction

from django_durable import (
    UnknownExecutionError,
    WaitTimeout,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
    cancel_workflow,
    register,
    send_signal,
    start_workflow,
)
from django_durable.engine import engine
from django_durable.models import QueueEntry
from durable_core.ports import Entry, EntryKind, new_id
from tests.scenarios import ledger
from tests.waiting import wait_until

TERMINAL = {"workflow_completed", "workflow_failed", "workflow_canceled", "workflow_timed_out"}


def in_threads(site, count, work):
    """What *work* of 0, 1, ... returned or raised, each in a thread with a connection of its own."""

    def one(number):
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return error
        finally:
            connections[site.alias].close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.promise("P1")
def test_p1_start_joins_the_callers_transaction(site):
    with transaction.atomic(using=site.alias):
        lost = site.start("echoes", value=1)
        transaction.set_rollback(True, using=site.alias)
    with transaction.atomic(using=site.alias):
        kept = site.start("echoes", value=2)
    assert kept.result(timeout=30) == 2
    with pytest.raises(UnknownExecutionError, match="rolled back"):
        lost.result(timeout=0)


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("workflow", "given", "status"),
    [
        ("echoes", {"value": 1}, "COMPLETED"),
        ("raises", {}, "FAILED"),
        ("sleeps", {"seconds": 60, "timeout": 0.05}, "TIMED_OUT"),
    ],
)
def test_p1_a_run_reaches_exactly_one_terminal_status(site, workflow, given, status):
    handle = site.start(workflow, **given)
    execution = site.until(handle, status)
    assert execution.finished_at is not None
    history = site.history(handle)
    assert [kind for kind in history if kind in TERMINAL] == [history[-1]] == [f"workflow_{status.lower()}"]


@pytest.mark.promise("P2")
def test_p2_start_is_idempotent_by_workflow_id(site, key):
    workflow = register.find_workflow("waits_for_answer").using(workflow_id=key)
    first = start_workflow(workflow, name="answer")
    assert start_workflow(workflow, name="answer").id == first.id
    with pytest.raises(WorkflowAlreadyStarted, match=str(first.id)):
        start_workflow(workflow, name="another")
    with pytest.raises(WorkflowAlreadyStarted, match="waits_for_answer"):
        start_workflow(register.find_workflow("echoes").using(workflow_id=key), value=1)
    send_signal(first, "answer", 1)
    first.result(timeout=30)
    second = start_workflow(workflow, name="another")  # the id is free again
    assert second.id != first.id
    cancel_workflow(second)


@pytest.mark.promise("P2")
def test_p2_of_eight_concurrent_starters_all_get_one_run(site, key):
    workflow = register.find_workflow("waits_for_answer").using(workflow_id=key)
    handles = in_threads(site, 8, lambda _: start_workflow(workflow))
    assert len({handle.id for handle in handles}) == 1
    send_signal(handles[0], "answer", "one")
    assert {tuple(handle.result(timeout=30)) for handle in handles} == {("answer", "one")}


@pytest.mark.promise("P3")
@pytest.mark.parametrize("second_is_done", [False, True])
def test_p3_the_first_outcome_wins_and_later_ones_are_fenced_and_logged(site, key, second_is_done):
    """An attempt past its heartbeat limit comes back while, or after, the next one runs."""
    policy = {"initial_interval": 0.01}
    options = {"heartbeat_timeout": 0.3}
    handle = site.start("tries", name="outlives_its_limit", args=[key], policy=policy, options=options)
    wait_until(lambda: any(" 2 begun" in line for line in ledger.effects(key)), "the second attempt")
    [task] = site.tasks(handle)
    if second_is_done:
        ledger.open_gate(f"{key}-2")
        assert handle.result(timeout=30) == {"result": "current"}
    ledger.open_gate(f"{key}-1")
    wait_until(lambda: any(" 1 ended" in line for line in ledger.effects(key)), "the first attempt's end")
    wait_until(lambda: f"{task.id} came too late" in site.up.said, "a word about it in the worker's log")
    ledger.open_gate(f"{key}-2")
    assert handle.result(timeout=30) == {"result": "current"}
    assert site.history(handle).count("activity_completed") == 1


@pytest.mark.promise("P4")
def test_p4_an_activity_runs_at_least_once(site, key):
    assert site.run("tries", name="fails_before", args=[key, 3]) == {"result": 3}
    assert len(ledger.effects(key)) == 3


@pytest.mark.promise("P5")
def test_p5_timers_never_fire_early_and_not_much_late(site):
    handle = site.start("sleeps", seconds=0.3)
    assert handle.result(timeout=30) == "awake"
    started, fired = site.execution(handle).history.filter(type__startswith="timer_").order_by("seq")
    fire_at = datetime.fromisoformat(started.details["fire_at"])
    assert fire_at >= started.created_at + timedelta(seconds=0.3)
    assert fire_at <= fired.created_at < fire_at + timedelta(seconds=2)
    assert fired.created_at <= datetime.now(UTC)


@pytest.mark.promise("P6")
def test_p6_signals_are_kept_in_order_and_consumed_once(site):
    handle = site.start("collects", names=["a", "b", "a"])
    for name, payload in (("b", 1), ("a", 2), ("a", 3)):
        send_signal(handle, name, payload)
    assert handle.result(timeout=30) == [2, 1, 3]


@pytest.mark.promise("P6")
def test_p6_a_signal_is_durable_when_its_senders_transaction_commits(site):
    handle = site.start("collects", names=["a"])
    with transaction.atomic(using=site.alias):
        send_signal(handle, "a", "never sent")
        transaction.set_rollback(True, using=site.alias)
    with transaction.atomic(using=site.alias):
        send_signal(handle, "a", "sent")
    assert handle.result(timeout=30) == ["sent"]


@pytest.mark.promise("P6")
def test_p6_a_signal_that_comes_before_the_run_waits_is_kept(site, key, queue):
    handle = start_workflow(site.on_queue("collects", queue), names=["a"])  # nobody serves this queue
    send_signal(handle, "a", 1)
    assert site.execution(handle).status == "PENDING"
    with site.project.worker("--queue-name", queue, "--until-idle"):
        assert handle.result(timeout=30) == [1]


@pytest.mark.promise("P6")
def test_p6_a_signal_to_a_closed_run_is_an_error_and_reopens_nothing(site):
    handle = site.start("returns", value=1)
    handle.result(timeout=30)
    before = site.history(handle)
    with pytest.raises(WorkflowClosed, match="COMPLETED"):
        send_signal(handle, "late")
    assert site.execution(handle).status == "COMPLETED"
    assert site.history(handle) == before


@pytest.mark.promise("P7")
def test_p7_of_cancel_and_completion_exactly_one_wins_and_the_loser_is_told(site):
    handles = [site.start("collects", names=["a"]) for _ in range(6)]
    for handle in handles:
        site.until_waiting(handle, "signal")

    def race(number):
        handle = handles[number // 2]
        return cancel_workflow(handle) if number % 2 else send_signal(handle, "a", 1)

    answers = in_threads(site, 12, race)
    for place, handle in enumerate(handles):
        signaled, canceled = answers[2 * place : 2 * place + 2]
        try:
            assert handle.result(timeout=30) == [1]
        except WorkflowCanceled:
            assert canceled is True
            assert signaled is None or isinstance(signaled, WorkflowClosed)
        else:
            assert canceled is False
            assert signaled is None
        assert len(TERMINAL.intersection(site.history(handle))) == 1
        assert cancel_workflow(handle) is False


@pytest.mark.promise("P7")
def test_p7_time_out_and_cancel_exclude_each_other(site):
    handle = site.start("sleeps", seconds=60, timeout=0.05)
    site.until(handle, "TIMED_OUT")
    assert cancel_workflow(handle) is False
    assert site.execution(handle).status == "TIMED_OUT"


@pytest.mark.promise("P9")
def test_p9_a_queue_may_duplicate_delay_and_reorder(site, key):
    """Entries that mean nothing any more, or come too often, change nothing."""
    handles = [site.start("onboarding", key=f"{key}-{number}") for number in range(3)]
    noise = [Entry(EntryKind.RUN, handle.id, "default", 0, None) for handle in reversed(handles) for _ in range(5)]
    noise += [Entry(kind, new_id(), "default", 0, None) for kind in EntryKind]
    for number, handle in enumerate(handles):
        wait_until(partial(ledger.effects, f"{key}-{number}-welcome"), "the first activity")
        noise += [Entry(EntryKind.ACTIVITY, task.id, "default", 0, None) for task in site.tasks(handle)]
        engine().queue.enqueue(noise)
        send_signal(handle, "clicked", number)
        ledger.open_gate(f"{key}-{number}-gated")
    engine().queue.enqueue(noise)
    for number, handle in enumerate(handles):
        assert handle.result(timeout=30) == ["hello", number]
        assert len(ledger.effects(f"{key}-{number}-welcome")) == 1
        assert len(ledger.effects(f"{key}-{number}-gated")) == 1
    engine().queue.enqueue(noise)
    wait_until(lambda: not QueueEntry.objects.using(site.alias).filter(queue="default").exists(), "an empty queue")


@pytest.mark.promise("P9")
def test_p9_a_queue_that_loses_half_of_its_entries_costs_only_time(quiet_site, queue, key):
    site = quiet_site
    lossy = {"REDELIVERY": 0.4, "QUEUE": {"BACKEND": "tests.scenarios.lossy.LossyQueue"}}
    with site.project.worker("--queue-name", queue, durable=lossy):
        handles = [start_workflow(site.on_queue("sequence", queue), n=3) for _ in range(4)]
        children = [
            start_workflow(site.on_queue("parent", queue), child="echoes", given={"value": n}) for n in range(4)
        ]
        assert [handle.result(timeout=60) for handle in handles] == [3] * 4
        assert [handle.result(timeout=60) for handle in children] == [{"result": n} for n in range(4)]


def test_waiting_gives_up_and_the_run_goes_on(site):
    handle = site.start("collects", names=["a"])
    with pytest.raises(WaitTimeout):
        handle.result(timeout=0)
    send_signal(handle, "a", 1)
    assert handle.result(timeout=30) == [1]
