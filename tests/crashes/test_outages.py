"""The database goes away, cuts connections or is held by somebody: workers go on, and no run is lost."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from django_durable import cancel_workflow, send_signal
from django_durable.models import HistoryEvent
from tests.crashes.proof import assert_sound, until_begun, until_up
from tests.scenarios import ledger
from tests.servers import private_cluster
from tests.sites import entered, site_of
from tests.store.databases import registered
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sites import Site

QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}


@pytest.mark.promise("P1")
def test_restart_of_postgres_in_mid_flight_loses_nothing(tmp_path_factory, queue, key):
    with (
        private_cluster() as cluster,
        cluster.server.database() as database,
        registered(database.django()) as alias,
    ):
        call_command("migrate", database=alias, verbosity=0)
        with (
            entered(site_of("postgres", alias, database.url, tmp_path_factory, QUICK)) as site,
            site.project.worker("--queue-name", queue) as worker,
        ):
            held = [site.start(site.on_queue("holds", queue), key=f"{key}-held-{n}") for n in range(3)]
            waits = [site.start(site.on_queue("word_then_mark", queue), key=f"{key}-waits-{n}") for n in range(3)]
            for number in range(3):
                until_begun(f"{key}-held-{number}")
                site.until_waiting(waits[number], "signal")
            busy = [site.start(site.on_queue("chain", queue), key=f"{key}-busy-{n}", n=20) for n in range(10)]
            until_begun(f"{key}-busy-0")
            connections[alias].close()
            cluster.stop()
            wait_until(lambda: "the store does not answer" in worker.said, "the worker to notice")
            ledger.open_gate(f"{key}-held-0")  # this one ends while there is nobody to tell
            for_a_second()  # in which the worker tries in vain
            cluster.start()
            for number in range(3):
                send_signal(waits[number], "word", number)
                ledger.open_gate(f"{key}-held-{number}")
            assert [handle.result(timeout=60) for handle in waits] == [0, 1, 2]
            assert [handle.result(timeout=60) for handle in busy] == [1] * 10
            # What ran at the time is not run again: its worker lived.
            assert [handle.result(timeout=60) for handle in held] == [1, 1, 1]
            for number in range(3):
                assert len(ledger.effects(f"{key}-held-{number}")) == 1
            for handle in [*held, *waits, *busy]:
                assert_sound(site, handle)
            assert worker.said.count("the store does not answer") == 1  # once in 10 s
            assert worker.said.count("the store answers again") == 1
            assert "Traceback" not in worker.said


@pytest.mark.parametrize("quiet_site_on", ["postgres", "postgres-with-postgres"], indirect=True)
def test_terminated_connections_are_opened_again(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue, "--tick", "8") as worker:
        until_up(site, worker)
        held = site.start(site.on_queue("holds", queue), key=key)
        until_begun(key)
        busy = [site.start(site.on_queue("chain", queue), key=f"{key}-busy-{n}", n=20) for n in range(10)]
        for _ in range(3):
            # All of the worker's, the one that listens included.
            with connections[site.alias].cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                assert cursor.fetchall()  # each is gone by now
            wait_until(lambda: listening(site) == 1, "the worker to listen again")
        ledger.open_gate(key)
        assert held.result(timeout=30) == 1
        assert [handle.result(timeout=60) for handle in busy] == [1] * 10
        for handle in [held, *busy]:
            assert_sound(site, handle)
        assert len(ledger.effects(key)) == 1
        began = time.monotonic()
        assert site.run_on(queue, "marks", key=f"{key}-new") == 1
        assert time.monotonic() - began < 4  # it was woken: a tick is 8 s
        assert worker.said.count("the store does not answer") <= 1
        assert worker.said.count("no wake-ups from Postgres") <= 1
        assert worker.process.poll() is None


def for_a_second() -> None:
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= 1)


def listening(site: Site) -> int:
    with connections[site.alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return int(cursor.fetchone()[0])


@contextmanager
def long_transaction(site: Site, act: Callable[[], Any]) -> Iterator[None]:
    """Somebody has acted, and does not commit before the block is over."""
    acted, may_commit = Event(), Event()

    def hold() -> None:
        try:
            with transaction.atomic(site.alias):
                act()
                acted.set()
                may_commit.wait(60)
        finally:
            connections[site.alias].close()

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        try:
            wait_until(lambda: acted.is_set() or holder.done(), "the holder to have acted")
            yield
        finally:
            may_commit.set()
        holder.result(30)


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
@pytest.mark.parametrize("cache", [1000, 0])
def test_sender_in_a_long_transaction_stalls_only_its_run(cache, quiet_site, queue, key):
    site = quiet_site
    settings = QUICK | {"WORKFLOW_CACHE_SIZE": cache}
    with site.project.worker("--queue-name", queue, durable=settings) as worker:
        stalled = site.start(site.on_queue("holds", queue), key=key)
        until_begun(key)
        with long_transaction(site, lambda: send_signal(stalled, "word")):
            ledger.open_gate(key)
            for number in range(5):
                assert site.run_on(queue, "chain", key=f"{key}-{number}") == 1
            assert site.execution(stalled).status == "RUNNING"
            assert "activity_completed" not in site.history(stalled)
        assert stalled.result(timeout=30) == 1
        assert_sound(site, stalled)
        assert "ERROR" not in worker.said
    assert len(ledger.effects(key)) == 1


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
@pytest.mark.parametrize("cache", [1000, 0])
def test_canceler_in_a_long_transaction_stalls_only_its_run(cache, quiet_site, queue, key):
    """It holds the run, and its tasks as well."""
    site = quiet_site
    settings = QUICK | {"WORKFLOW_CACHE_SIZE": cache}
    with site.project.worker("--queue-name", queue, durable=settings) as worker:
        stalled = site.start(site.on_queue("holds", queue), key=key)
        until_begun(key)
        with long_transaction(site, lambda: cancel_workflow(stalled)):
            ledger.open_gate(key)
            for number in range(5):
                assert site.run_on(queue, "chain", key=f"{key}-{number}") == 1
            assert site.execution(stalled).status == "RUNNING"  # as far as anybody else can see
        assert site.until_closed(stalled).status == "CANCELED"
        assert_sound(site, stalled)
        assert "ERROR" not in worker.said


@pytest.mark.promise("P1")
@pytest.mark.parametrize("quiet_site_on", ["sqlite"], indirect=True)
@pytest.mark.parametrize("patience", [20, 0.1])
def test_held_write_lock_of_sqlite_loses_nothing(patience, quiet_site, queue, key):
    """For 1 s, which workers of the first kind wait for, and those of the second take for an outage."""
    site = quiet_site
    options = {"timeout": patience, "init_command": "PRAGMA journal_mode=WAL"}
    with site.project.worker(
        "--queue-name", queue, DURABLE_TEST_SQLITE_OPTIONS=json.dumps(options), durable=QUICK
    ) as worker:
        held = site.start(site.on_queue("holds", queue), key=key)
        until_begun(key)
        busy = [site.start(site.on_queue("chain", queue), key=f"{key}-busy-{n}", n=20) for n in range(5)]
        until_begun(f"{key}-busy-0")
        other = sqlite3.connect(site.project.url.removeprefix("sqlite:"), timeout=20, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            ledger.open_gate(key)
            for_a_second()
            other.execute("COMMIT")
        finally:
            other.close()
        assert held.result(timeout=30) == 1
        assert [handle.result(timeout=30) for handle in busy] == [1] * 5
        for handle in [held, *busy]:
            assert_sound(site, handle)
        assert len(ledger.effects(key)) == 1
        assert worker.said.count("the store does not answer") <= 1
        assert worker.process.poll() is None


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
def test_dead_worker_is_buried_around_what_somebody_holds(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue) as doomed:
        stalled = site.start(site.on_queue("holds", queue), key=f"{key}-stalled")
        other = site.start(site.on_queue("holds", queue), key=f"{key}-other")
        until_begun(f"{key}-stalled")
        until_begun(f"{key}-other")
        with long_transaction(site, lambda: cancel_workflow(stalled)):
            doomed.kill()
            with site.project.worker("--queue-name", queue):
                until_begun(f"{key}-other", 2)  # while the transaction is open
                ledger.open_gate(f"{key}-other")
                assert other.result(timeout=30) == 2
                assert site.run_on(queue, "chain", key=f"{key}-new") == 1
        ledger.open_gate(f"{key}-stalled")
    with site.project.worker("--queue-name", queue):
        assert site.until_closed(stalled).status == "CANCELED"
        assert_sound(site, stalled)  # the dead worker's other attempt has ended too
        assert_sound(site, other)
    assert len(ledger.effects(f"{key}-stalled")) == 1


def test_decision_that_cannot_be_written_blocks_its_run_alone(quiet_site, queue, key):
    """Somebody has tampered with its history: there is an event already where the next one belongs."""
    site = quiet_site
    with site.project.worker("--queue-name", queue) as worker:
        broken = site.start(site.on_queue("word_then_mark", queue), key=key)
        length = site.until_waiting(broken, "signal").history_length
        fake = HistoryEvent(execution_id=broken.id, seq=length + 1, type="timer_fired")
        fake.save(using=site.alias)
        with transaction.atomic(site.alias):  # all in one batch
            others = [site.start(site.on_queue("chain", queue), key=f"{key}-{n}") for n in range(5)]
            send_signal(broken, "word", 7)
        blocked = site.until(broken, "BLOCKED")
        assert blocked.error.startswith("IntegrityError: ")
        assert blocked.history_length == length
        assert [handle.result(timeout=30) for handle in others] == [1] * 5
        fake.delete(using=site.alias)
        assert broken.result(timeout=30) == 7  # it is tried again by itself
        assert worker.process.poll() is None
        for handle in [broken, *others]:
            assert_sound(site, handle)
