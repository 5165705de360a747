"""Two things that happen to one run at the same moment: exactly one of them wins, and the other is told.

Every race is run with each side made the first, then with the other already on its way, and then freely, a number of
times. Who wins those is left to the machine; what must hold holds for all.
"""

from __future__ import annotations

import random
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections, transaction

from django_durable import WorkflowCanceled, WorkflowClosed, cancel_workflow, send_signal, start_workflow
from django_durable.engine import engine
from django_durable.models import WorkflowExecution
from tests.crashes.proof import assert_sound, until_begun
from tests.harness import MANAGE, ROOT
from tests.scenarios import ledger
from tests.sites import FEW_PAIRS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tests.sites import Site

FREELY = 12  # times
HEAD_STARTS = (0, 0, 5, 10, 20, 40, 80)  # looks at the database that an opponent takes first: each is ahead sometimes
ON_POSTGRES = ["postgres"]  # where two can write at a time; what holds for the queue holds for every one


class Opponents:
    """Threads, each with a connection of its own. What they do is begun, and answered; an exception is an answer."""

    def __init__(self, site: Site, pool: ThreadPoolExecutor) -> None:
        self._site = site
        self._pool = pool
        self._dice = random.Random(7)

    def begin(self, act: Callable[[], Any], barrier: Barrier | None = None, looks: int = 0) -> Future[Any]:
        def do() -> Any:
            if barrier is not None:
                barrier.wait()
            for _ in range(looks):
                WorkflowExecution.objects.using(self._site.alias).exists()
            try:
                return act()
            except Exception as error:  # noqa: BLE001 - it is for the test to judge
                return error

        return self._pool.submit(do)

    def at_once(self, *acts: Callable[[], Any]) -> list[Any]:
        """What they answered who began at the same time, give or take a few looks."""
        barrier = Barrier(len(acts))
        begun = [self.begin(act, barrier, self._dice.choice(HEAD_STARTS)) for act in acts]
        return [answer.result(30) for answer in begun]


@contextmanager
def opponents(site: Site, number: int = 3) -> Iterator[Opponents]:
    with ThreadPoolExecutor(number) as pool:
        try:
            yield Opponents(site, pool)
        finally:
            all_there = Barrier(number)

            def disconnect() -> None:
                connections[site.alias].close()
                all_there.wait()

            for _ in range(number):
                pool.submit(disconnect)


# Who is first


def one_behind_the_other(site: Site, others: Opponents, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """The answers of both, where the *second* comes when the *first* has acted, and not committed."""
    with transaction.atomic(site.alias):
        answer = first()
        late = others.begin(second)
        until_waiting(site, 1)
    return answer, late.result(30)


@contextmanager
def nothing_decided(site: Site) -> Iterator[None]:
    """While the block lasts a decision of the worker can lock its runs, but not write into their histories."""
    with transaction.atomic(site.alias), connections[site.alias].cursor() as cursor:
        cursor.execute("LOCK TABLE django_durable_historyevent IN SHARE MODE")
        yield


def until_waiting(site: Site, sessions: int) -> None:
    """Until so many sessions wait for a lock. SQLite tells of none, but nobody gets past its one lock either."""
    if site.on_sqlite:
        return

    def waiting() -> bool:
        with connections[site.alias].cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees the same again and again
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(cursor.fetchone()[0] >= sessions)

    wait_until(waiting, f"{sessions} to wait for a lock")


def closed(site: Site, handle: Any) -> str:
    """The status of a run, once it has one that lasts."""
    return str(site.until_closed(handle).status)


# Cancel against completion


def assert_one_won(site: Site, handle: Any, canceled: Any, sent: Any) -> str:
    """A canceler and the sender of the word that the run waited for were told what happened."""
    status = closed(site, handle)
    assert canceled is (status == "CANCELED"), canceled
    assert status in ("CANCELED", "COMPLETED")
    if status == "COMPLETED":
        assert sent is None
    else:
        assert sent is None or isinstance(sent, WorkflowClosed)
    received = site.history(handle).count("signal_received")
    assert received == (sent is None)  # who was not told otherwise finds the signal in the history
    assert_sound(site, handle)
    return status


@pytest.mark.promise("P7")
def test_cancel_against_completion(busy_site):
    site = busy_site
    with opponents(site) as others:
        handle = site.start("one_word")
        cancel, send = race_for_one_word(handle)
        canceled, sent = one_behind_the_other(site, others, cancel, send)
        assert isinstance(sent, WorkflowClosed)
        assert assert_one_won(site, handle, canceled, sent) == "CANCELED"

        handle = site.start("one_word")
        cancel, send = race_for_one_word(handle)
        with transaction.atomic(site.alias):
            sent, canceled = send(), cancel()
        assert assert_one_won(site, handle, canceled, sent) == "CANCELED"

        handle = site.start("one_word")
        cancel, send = race_for_one_word(handle)
        sent = send()
        closed(site, handle)
        assert assert_one_won(site, handle, cancel(), sent) == "COMPLETED"

        for _ in range(FREELY):
            handle = site.start("one_word")
            canceled, sent = others.at_once(*race_for_one_word(handle))
            assert_one_won(site, handle, canceled, sent)


def race_for_one_word(handle: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return partial(cancel_workflow, handle, reason="race"), partial(send_signal, handle, "word", 1)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("busy_site_on", ON_POSTGRES, indirect=True)
def test_cancel_that_comes_while_the_completion_is_written_is_too_late(busy_site):
    site = busy_site
    with opponents(site) as others:
        handle = site.start("one_word")
        site.until_waiting(handle, "signal")
        cancel, send = race_for_one_word(handle)
        with nothing_decided(site):
            sent = others.begin(send).result(30)
            until_waiting(site, 1)  # the worker, with the end of the run
            late = others.begin(cancel)
            until_waiting(site, 2)
        assert assert_one_won(site, handle, late.result(30), sent) == "COMPLETED"


# Signals against completion


def assert_all_were_told(site: Site, handle: Any, sent: list[Any]) -> list[int]:
    """Which of the words 0, 1, 2, ... were accepted: those are in the history, and the first is the result."""
    assert closed(site, handle) == "COMPLETED"
    assert all(answer is None or isinstance(answer, WorkflowClosed) for answer in sent), sent
    accepted = [number for number, answer in enumerate(sent) if answer is None]
    events = site.execution(handle).history.filter(type="signal_received").order_by("seq")
    recorded = [event.details["payload"] for event in events]
    assert sorted(recorded) == accepted
    assert handle.result(0) == recorded[0]
    assert_sound(site, handle)
    return accepted


def told(act: Callable[[], Any]) -> Any:
    """What it answered or raised."""
    try:
        return act()
    except WorkflowClosed as error:
        return error


@pytest.mark.promise("P6", "P7")
def test_signal_against_completion(busy_site):
    site = busy_site
    with opponents(site) as others:
        handle = site.start("one_word")
        with transaction.atomic(site.alias):
            sent = [told(partial(send_signal, handle, "word", number)) for number in range(3)]
        assert assert_all_were_told(site, handle, sent) == [0, 1, 2]

        handle = site.start("one_word")
        sent = [told(partial(send_signal, handle, "word", 0))]
        closed(site, handle)
        sent.append(told(partial(send_signal, handle, "word", 1)))
        assert assert_all_were_told(site, handle, sent) == [0]

        for _ in range(FREELY):
            handle = site.start("one_word")
            sent = others.at_once(*(partial(send_signal, handle, "word", number) for number in range(3)))
            assert_all_were_told(site, handle, sent)


@pytest.mark.promise("P6")
@pytest.mark.parametrize("busy_site_on", ON_POSTGRES, indirect=True)
def test_signal_that_comes_while_the_completion_is_written_is_refused(busy_site):
    site = busy_site
    with opponents(site) as others:
        handle = site.start("one_word")
        site.until_waiting(handle, "signal")
        with nothing_decided(site):
            sent = [others.begin(partial(send_signal, handle, "word", 0)).result(30)]
            until_waiting(site, 1)
            late = others.begin(partial(send_signal, handle, "word", 1))
            until_waiting(site, 2)
        assert assert_all_were_told(site, handle, [*sent, late.result(30)]) == [0]


# Cancel against the outcome of an activity


@pytest.mark.promise("P7")
def test_cancel_against_an_activitys_outcome(busy_site, key):
    site = busy_site
    with opponents(site) as others:
        handle = at_gate(site, f"{key}-canceled")
        with transaction.atomic(site.alias):  # its outcome finds the run held
            canceled = cancel_workflow(handle)
            ledger.open_gate(f"{key}-canceled")
            until_begun(f"{key}-canceled-passed")
        assert (canceled, end_of(site, handle)) == (True, "CANCELED")

        handle = at_gate(site, f"{key}-completed")
        ledger.open_gate(f"{key}-completed")
        closed(site, handle)
        assert (cancel_workflow(handle), end_of(site, handle)) == (False, "COMPLETED")

        for number in range(FREELY):
            gate = f"{key}-{number}"
            handle = at_gate(site, gate)
            canceled, _ = others.at_once(partial(cancel_workflow, handle), partial(ledger.open_gate, gate))
            assert end_of(site, handle) == ("CANCELED" if canceled else "COMPLETED")


def at_gate(site: Site, gate: str, **options: Any) -> Any:
    """A run whose activity has begun, and waits there."""
    handle = start_workflow("waits_at_gate", key=gate, **options)
    wait_until(lambda: [task.status for task in site.tasks(handle)] == ["RUNNING"], "the activity to begin")
    return handle


def end_of(site: Site, handle: Any) -> str:
    """How it ended. No task is left open then, and no outcome stands behind the end."""
    status = closed(site, handle)
    assert_sound(site, handle)
    return status


@pytest.mark.promise("P7")
@pytest.mark.parametrize("busy_site_on", ON_POSTGRES, indirect=True)
def test_cancel_that_comes_while_the_outcome_is_written_is_too_late(busy_site, key):
    site = busy_site
    with opponents(site) as others:
        handle = at_gate(site, key)
        with nothing_decided(site):
            ledger.open_gate(key)
            until_waiting(site, 1)
            late = others.begin(partial(cancel_workflow, handle))
            until_waiting(site, 2)
        assert (late.result(30), end_of(site, handle)) == (False, "COMPLETED")


# The run's time against its result


@pytest.mark.promise("P7")
def test_timeout_against_result(busy_site, key):
    site, dice = busy_site, random.Random(7)
    handle = at_gate(site, f"{key}-completed", timeout=600)
    ledger.open_gate(f"{key}-completed")
    assert end_of(site, handle) == "COMPLETED"

    handle = start_workflow("waits_at_gate", key=f"{key}-timed-out", timeout=0.05)
    assert closed(site, handle) == "TIMED_OUT"
    ledger.open_gate(f"{key}-timed-out")
    assert end_of(site, handle) == "TIMED_OUT"

    for number in range(FREELY):
        handle = start_workflow("waits_at_gate", key=f"{key}-{number}", timeout=0.05)
        wait_until(partial(is_about, site.execution(handle).deadline + timedelta(seconds=dice.uniform(-0.02, 0.005))))
        ledger.open_gate(f"{key}-{number}")
        assert end_of(site, handle) in ("COMPLETED", "TIMED_OUT")


def is_about(moment: datetime) -> bool:
    return engine().store.now() >= moment


# A child's end against its parent's wait


def assert_child_and_parent_agree(site: Site, handle: Any, child: Any) -> str:
    """What the parent answered: its child's result, or that its patience had come to an end."""
    result: str = handle.result(timeout=30)
    assert closed(site, handle) == "COMPLETED"
    ended = closed(site, child.id)
    # A child whose parent has closed before it was told to is canceled with it, and never lost.
    assert (result, ended) in (("done", "COMPLETED"), ("patience", "COMPLETED"), ("patience", "CANCELED"))
    assert_sound(site, handle)
    return result


def test_child_closing_against_the_parents_wait(busy_site):
    site, dice = busy_site, random.Random(7)
    with opponents(site) as others:
        handle, child = parent_and_child(site, patience=600)
        send_signal(child.id, "word", "done")
        closed(site, child.id)
        send_signal(handle, "go")
        assert assert_child_and_parent_agree(site, handle, child) == "done"

        handle, child = parent_and_child(site, patience=600)
        send_signal(handle, "go")
        site.until_waiting(handle, "child")
        send_signal(child.id, "word", "done")
        assert assert_child_and_parent_agree(site, handle, child) == "done"

        handle, child = parent_and_child(site, patience=0.001)
        send_signal(handle, "go")
        assert assert_child_and_parent_agree(site, handle, child) == "patience"
        assert isinstance(told(partial(send_signal, child.id, "word", "done")), WorkflowClosed)

        for _ in range(FREELY):
            handle, child = parent_and_child(site, patience=dice.uniform(0.001, 0.03))
            others.at_once(partial(send_signal, child.id, "word", "done"), partial(send_signal, handle, "go"))
            assert_child_and_parent_agree(site, handle, child)


def parent_and_child(site: Site, patience: float) -> tuple[Any, Any]:
    handle = site.start("waits_for_child", patience=patience)
    children = WorkflowExecution.objects.using(site.alias).filter(parent_id=handle.id)
    return handle, wait_until(children.first, "the child to be started")


# A child's end against its parent's


def assert_both_ended(site: Site, handle: Any, child: Any, sent: Any, canceled: Any) -> tuple[str, str]:
    """How the parent and the child ended, after a word to the child and a cancel of the parent."""
    ends = closed(site, handle), closed(site, child.id)
    assert ends in (("COMPLETED", "COMPLETED"), ("CANCELED", "COMPLETED"), ("CANCELED", "CANCELED"))
    assert canceled is (ends[0] == "CANCELED"), canceled
    assert sent is None or (isinstance(sent, WorkflowClosed) and ends[1] == "CANCELED"), sent
    if canceled:
        with pytest.raises(WorkflowCanceled):
            handle.result(0)
    else:
        assert handle.result(0) == "done"
    assert_sound(site, handle)
    return ends


def waiting_parent(site: Site) -> tuple[Any, Any, Callable[[], Any], Callable[[], Any]]:
    """A parent that waits for its child, the child, what ends the child, and what cancels the parent."""
    handle, child = parent_and_child(site, patience=600)
    send_signal(handle, "go")
    return handle, child, partial(send_signal, child.id, "word", "done"), partial(cancel_workflow, handle)


def test_child_closing_against_the_parents_end(busy_site):
    site = busy_site
    with opponents(site) as others:
        handle, child, send, cancel = waiting_parent(site)
        canceled, sent = one_behind_the_other(site, others, cancel, send)
        assert isinstance(sent, WorkflowClosed)
        assert assert_both_ended(site, handle, child, sent, canceled) == ("CANCELED", "CANCELED")

        handle, child, send, cancel = waiting_parent(site)
        sent = send()
        closed(site, handle)
        assert assert_both_ended(site, handle, child, sent, cancel()) == ("COMPLETED", "COMPLETED")

        for _ in range(FREELY):
            handle, child, send, cancel = waiting_parent(site)
            assert_both_ended(site, handle, child, *others.at_once(send, cancel))


@pytest.mark.parametrize("busy_site_on", ON_POSTGRES, indirect=True)
def test_parent_can_be_canceled_while_its_childs_end_is_written(busy_site):
    """Its canceler has closed it, and waits for the child, when the child writes to it: that must not wait in turn."""
    site = busy_site
    with opponents(site) as others:
        handle, child, send, cancel = waiting_parent(site)
        site.until_waiting(handle, "child")
        with nothing_decided(site):
            sent = others.begin(send).result(30)
            until_waiting(site, 1)
            late = others.begin(cancel)
            until_waiting(site, 2)
        assert assert_both_ended(site, handle, child, sent, late.result(30)) == ("CANCELED", "COMPLETED")


@pytest.mark.promise("P2")
@pytest.mark.parametrize("busy_site_on", FEW_PAIRS, indirect=True)
def test_one_id_started_by_many(busy_site, key):
    site = busy_site
    workflow = site.on_queue("holds_one", "default", workflow_id=key)
    command = [*MANAGE, "durable_start", "holds_one", "--input", f'{{"key": "{key}"}}', "--workflow-id", key]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, env=site.project.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    with opponents(site, 20) as others:
        handles = others.at_once(*[lambda: start_workflow(workflow, key=key)] * 20)
    said = [process.communicate(timeout=30) for process in processes]
    assert {process.returncode for process in processes} == {0}, said
    assert {str(handle) for handle in handles} | {out.strip() for out, _ in said} == {str(handles[0])}
    assert WorkflowExecution.objects.using(site.alias).filter(workflow_id=key).count() == 1
    ledger.open_gate(key)
    assert handles[0].result(timeout=30) == 1
    assert_sound(site, handles[0])
    assert len(ledger.effects(key)) == 1


@pytest.mark.parametrize("quiet_site_on", ["postgres", "postgres-with-postgres"], indirect=True)
def test_activity_that_a_cancel_holds_begins_when_that_is_rolled_back(quiet_site, queue, key):
    """Its only entry comes to a worker while somebody's transaction has the task."""
    site, theirs = quiet_site, f"{queue}-theirs"
    handle = site.start(site.on_queue("tries", queue), name="effect", args=[key], options={"queue": theirs})
    with site.project.worker("--queue-name", queue):
        wait_until(lambda: [task.status for task in site.tasks(handle)] == ["QUEUED"], "the activity to be queued")
        with transaction.atomic(site.alias):
            cancel_workflow(handle)
            with site.project.worker("--queue-name", theirs) as worker, ThreadPoolExecutor(1) as pool:
                pool.submit(until_delivered, site, theirs).result()
                transaction.set_rollback(True, using=site.alias)
                assert worker.process.poll() is None
        with site.project.worker("--queue-name", theirs):
            handle.result(timeout=30)
    assert len(ledger.effects(key)) == 1


def until_delivered(site: Site, queue: str) -> None:
    """A worker has had the entry of this queue, and put it off or dropped it."""
    try:
        wait_until(lambda: not any(s.ready for s in engine().queue.stats() if s.queue == queue), "the entry to be had")
    finally:
        connections[site.alias].close()
