"""Rules 24 to 30 of semantics.md: transactions, connections, databases, and how a worker leaves."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from functools import partial

import pytest
from django.db import OperationalError, connections, transaction

from django_durable import DurableError, WaitTimeout, send_signal, start_workflow
from django_durable.models import Mail, QueueEntry
from tests.scenarios import ledger
from tests.servers import Postgres
from tests.waiting import wait_until

on_postgres = pytest.mark.parametrize("site_with_worker", ["postgres-cached", "postgres-replayed"], indirect=True)


def transactions_of_others(site):
    """How many sessions on this database, but for this one, have a transaction open."""
    with connections[site.alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


def nobody_holds_a_transaction(site):
    if not site.on_sqlite:
        return transactions_of_others(site) == 0
    with connections[site.alias].cursor() as cursor:  # a writer that waits for nobody
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            with transaction.atomic(using=site.alias):
                cursor.execute("DELETE FROM django_durable_mail WHERE id = -1")
        except OperationalError:
            return False
        finally:
            cursor.execute("PRAGMA busy_timeout = 5000")
    return True


# 24: no user code in a transaction of ours


def test_rule_24_no_activity_runs_inside_an_open_transaction(site, key):
    handle = site.start("echo_gated", key=key)
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    wait_until(lambda: nobody_holds_a_transaction(site), "the worker to hold no transaction")
    ledger.open_gate(key)
    assert handle.result(timeout=30) == 1
    assert site.run("tries", name="looks_around")["result"]["in_atomic_block"] is False


def test_rule_24_no_workflow_code_runs_inside_an_open_transaction(site, key):
    handle = site.start("code_at_gate", key=key)
    wait_until(lambda: ledger.effects(key), "the code to run")
    wait_until(lambda: nobody_holds_a_transaction(site), "the worker to hold no transaction")
    send_signal(handle, "go", 1)  # nor is the sender held up
    ledger.open_gate(key)
    assert handle.result(timeout=30) == 1


def test_rule_24_waiting_inside_the_transaction_that_started_the_run_raises_at_once(site):
    with transaction.atomic(using=site.alias):
        handle = site.start("returns", value=1)
        with pytest.raises(DurableError, match="Wait after the atomic block"):
            handle.result(timeout=10)
        with pytest.raises(DurableError, match="Wait after the atomic block"):
            handle.result(timeout=0)
    assert handle.result(timeout=30) == 1


def test_rule_24_waiting_inside_another_transaction_is_possible_where_it_can_end(site):
    handle = site.start("returns", value=1)
    if site.on_sqlite:
        waiting = site.start("waits_for_answer")
        with transaction.atomic(using=site.alias), pytest.raises(DurableError, match="on SQLite"):
            waiting.result(timeout=10)
        with transaction.atomic(using=site.alias), pytest.raises(WaitTimeout):
            waiting.result(timeout=0)
        send_signal(waiting, "answer")
    else:
        with transaction.atomic(using=site.alias):
            assert handle.result(timeout=30) == 1
    assert handle.result(timeout=30) == 1


@pytest.mark.promise("P1", "P6")
def test_rule_24_start_and_signal_in_one_transaction_come_together(site):
    with transaction.atomic(using=site.alias):
        handle = site.start("collects", names=["a", "b"])
        send_signal(handle, "a", 1)
        send_signal(handle, "b", 2)
    assert handle.result(timeout=30) == [1, 2]


# 25: connections


def test_rule_25_connections_are_closed_around_activities(quiet_site, queue):
    """One thread runs all of them: with CONN_MAX_AGE = 0 none finds a connection that another left."""
    site = quiet_site
    names = ["looks_around", "looks_around", "breaks_its_connection", "looks_around"]
    handle = start_workflow(site.on_queue("one_after_another", queue), names=names)
    with site.project.worker("--queue-name", queue, "--threads", "1"):
        clean = {"connected": False, "in_atomic_block": False}
        assert handle.result(timeout=30) == [clean, clean, "broken", clean]
    assert {task.attempt for task in site.tasks(handle)} == {1}


def test_rule_25_children_of_a_worker_have_connections_of_their_own(quiet_site, queue):
    site = quiet_site
    handles = [start_workflow(site.on_queue("sequence", queue), n=3) for _ in range(6)]
    with site.project.worker("--queue-name", queue, "--procs", "2") as worker:
        assert [handle.result(timeout=30) for handle in handles] == [3] * 6
    assert "Error" not in worker.said


# 26: SQLite


@pytest.mark.parametrize("quiet_site_on", ["sqlite"], indirect=True)
def test_rule_26_four_processes_write_to_sqlite_without_a_lock_error(quiet_site, queue):
    """The project did not ask for IMMEDIATE transactions."""
    site = quiet_site
    options = json.dumps({"timeout": 20, "init_command": "PRAGMA journal_mode=WAL"})
    with site.project.worker("--queue-name", queue, "--procs", "4", DURABLE_TEST_SQLITE_OPTIONS=options) as worker:
        handles = [start_workflow(site.on_queue("sequence", queue), n=4) for _ in range(60)]
        assert [handle.result(timeout=60) for handle in handles] == [6] * 60
    assert "OperationalError" not in worker.said
    assert "does not answer" not in worker.said


@pytest.mark.parametrize("site_with_worker", ["sqlite-cached"], indirect=True)
def test_rule_26_what_joins_the_callers_deferred_transaction_waits_for_other_writers(site):
    """Read first, it could not: SQLite refuses the write at once when somebody else has written since."""
    handle = site.start("collects", names=["a"])
    site.until_waiting(handle, "signal")
    holds, release = threading.Event(), threading.Event()

    def hold_the_lock():
        with transaction.atomic(using=site.alias), connections[site.alias].cursor() as cursor:
            cursor.execute("DELETE FROM django_durable_mail WHERE id = -1")
            holds.set()
            release.wait(0.2)
        connections[site.alias].close()

    other = threading.Thread(target=hold_the_lock)
    other.start()
    holds.wait(10)
    with transaction.atomic(using=site.alias):
        send_signal(handle, "a", 1)
    other.join()
    assert handle.result(timeout=30) == [1]


# 27: Postgres


@on_postgres
def test_rule_27_a_sender_with_an_open_transaction_holds_up_nobody(site):
    """The run's row is held FOR NO KEY UPDATE at most: others may send to it, and the worker goes on with the rest."""
    handle = site.start("collects", names=["a", "b"])
    site.until_waiting(handle, "signal")
    sent = threading.Event()

    def send_another():
        send_signal(handle, "b", "other")
        connections[site.alias].close()
        sent.set()

    with transaction.atomic(using=site.alias):
        send_signal(handle, "a", "mine")
        other = threading.Thread(target=send_another)
        other.start()
        assert sent.wait(10), "a second sender waited for the first one's transaction"
        assert start_and_finish(site) == 1
    other.join()
    assert handle.result(timeout=30) == ["mine", "other"]


def start_and_finish(site):
    """A run of another session, while this one has a transaction open."""
    results = []

    def drive():
        results.append(site.run("returns", value=1))
        connections[site.alias].close()

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join(30)
    return results[0] if results else None


# 28: parking


@pytest.mark.promise("P6")
def test_rule_28_a_signal_that_comes_while_the_run_decides_to_wait_wakes_it(site, key):
    """The code has read its mail, and has not yet said that it waits."""
    handles = [site.start("code_at_gate", key=f"{key}-{number}") for number in range(3)]
    for number, handle in enumerate(handles):
        wait_until(partial(ledger.effects, f"{key}-{number}"), "the code to run")
        send_signal(handle, "go", number)
        ledger.open_gate(f"{key}-{number}")
    assert [handle.result(timeout=30) for handle in handles] == [0, 1, 2]


def send_and_lose_the_wake_up(site, handle, name, payload=None):
    """A signal of whose coming the queue says nothing; when the scheduler would look after it."""
    with transaction.atomic(using=site.alias):
        send_signal(handle, name, payload)
        made = QueueEntry.objects.using(site.alias).filter(ref=handle.id, worker_id=None)
        lost, _ = made.delete()
        letter = Mail.objects.using(site.alias).filter(execution=handle.id).latest("id")
    assert lost == 1
    assert letter.due_at is not None
    return letter.due_at


@pytest.mark.promise("P6", "P9")
def test_rule_28_mail_that_comes_while_the_run_decides_to_wait_is_read_without_a_wake_up(site, key):
    """Only the decision's own look into the mailbox can find it before the scheduler does, half a minute later. First
    in the run's first decision, then in one on its mail, then in one that was made in memory (or after a replay)."""
    handle = site.start("code_at_gates", key=key, waits=3)
    looked_after = []
    for number in range(3):
        wait_until(partial(ledger.effects, f"{key}-{number}"), "the code to have read its mail")
        looked_after.append(send_and_lose_the_wake_up(site, handle, "go", number))
        ledger.open_gate(f"{key}-{number}")
    ledger.open_gate(f"{key}-end")
    assert handle.result(timeout=30) == [0, 1, 2]
    assert site.execution(handle).finished_at < min(looked_after)


@pytest.mark.promise("P6")
def test_rule_28_a_run_does_not_close_over_mail_that_comes_while_it_decides(site, key):
    """Its sender was told nothing, so the history must have it."""
    handle = site.start("code_at_gates", key=key, waits=0)
    wait_until(partial(ledger.effects, f"{key}-end"), "the code to have read its mail")
    looked_after = send_and_lose_the_wake_up(site, handle, "go")
    ledger.open_gate(f"{key}-end")
    assert handle.result(timeout=30) == []
    assert site.history(handle) == ["workflow_started", "signal_received", "workflow_completed"]
    assert site.execution(handle).finished_at < looked_after


@pytest.mark.promise("P6")
@on_postgres
@pytest.mark.parametrize("waits", [1, 0])
def test_rule_28_a_run_does_not_decide_over_mail_that_is_not_committed_yet(site, key, waits):
    """READ COMMITTED shows it to nobody, so what tells of it is its sender's hold of the run. On SQLite no decision
    can begin to be written before the sender is done."""
    handle = site.start("code_at_gates", key=key, waits=waits)
    gate = f"{key}-0" if waits else f"{key}-end"
    wait_until(partial(ledger.effects, gate), "the code to have read its mail")
    with transaction.atomic(using=site.alias):
        looked_after = send_and_lose_the_wake_up(site, handle, "go", 7)
        ledger.open_gate(gate)
        assert start_and_finish(site) == 1  # a later round of the same worker: it has tried to write its decision
        assert site.execution(handle).status == "PENDING"
    ledger.open_gate(f"{key}-end")
    assert handle.result(timeout=30) == [7] * waits
    assert "signal_received" in site.history(handle)
    assert site.execution(handle).finished_at < looked_after


# 29: outages


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
def test_rule_29_a_worker_survives_an_outage_and_complains_once(quiet_site, queue, key):
    site = quiet_site
    from psycopg import sql

    here = Postgres.from_url(site.project.url)
    outside = replace(here, name="postgres")
    name = sql.Identifier(here.name)
    handle = start_workflow(site.on_queue("echo_gated", queue), key=key)
    with site.project.worker("--queue-name", queue) as worker:
        wait_until(lambda: ledger.effects(key), "the activity to begin")
        connections[site.alias].close()
        outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            outside.execute(
                sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(here.name)
            )
            ledger.open_gate(key)  # its outcome meets no database
            wait_until(lambda: "the store does not answer, trying again" in worker.said, "a complaint")
        finally:
            outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        assert handle.result(timeout=60) == 1
        wait_until(lambda: "the store answers again" in worker.said, "a word of relief")
        assert worker.said.count("the store does not answer") == 1
        assert worker.process.poll() is None


# 30: SIGTERM


def test_rule_30_sigterm_drains(quiet_site, queue, key):
    site = quiet_site
    running = start_workflow(site.on_queue("echo_gated", queue), key=key)
    waiting = [start_workflow(site.on_queue("echo_gated", queue), key=f"{key}-{number}") for number in range(2)]
    with site.project.worker("--queue-name", queue, "--threads", "1") as worker:
        wait_until(lambda: sum(bool(ledger.effects(k)) for k in (key, f"{key}-0", f"{key}-1")) == 1, "one to begin")
        for handle in (running, *waiting):
            site.until_waiting(handle, "activity")
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining: SIGTERM" in worker.said, "the drain")
        late = start_workflow(site.on_queue("returns", queue))
        begun = [k for k in (key, f"{key}-0", f"{key}-1") if ledger.effects(k)]
        ledger.open_gate(begun[0])
        assert worker.wait() == 0
    assert site.execution(late).status == "PENDING"
    tasks = [task for handle in (running, *waiting) for task in site.tasks(handle)]
    assert sorted((task.status, task.attempt) for task in tasks) == [("COMPLETED", 1), ("QUEUED", 0), ("QUEUED", 0)]


# Without time zones


def test_a_project_without_use_tz_works(quiet_site, queue, key):
    site = quiet_site
    handle = start_workflow(site.on_queue("onboarding", queue), key=key)
    ledger.open_gate(f"{key}-gated")
    with site.project.worker("--queue-name", queue, DURABLE_TEST_USE_TZ="0"):
        done = site.project.manage("durable_signal", str(handle), "clicked", "--input", "7", DURABLE_TEST_USE_TZ="0")
        assert done.returncode == 0, done.stderr
        assert handle.result(timeout=30) == ["hello", 7]
    status = site.project.manage("durable_status", str(handle), DURABLE_TEST_USE_TZ="0")
    assert "COMPLETED" in status.stdout
    times = [event.created_at for event in site.execution(handle).history.order_by("seq")]
    assert times == sorted(times)
    started = site.execution(handle)
    assert started.created_at <= times[0] <= started.finished_at
