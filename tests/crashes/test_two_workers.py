"""Several workers at the same work: each thing is done once, and what came too late is dropped."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from uuid import UUID

import pytest
from django.db import transaction

from django_durable.engine import engine
from durable_core.ports import Entry, EntryKind
from tests.crashes.proof import assert_sound, until_begun, until_up
from tests.scenarios import ledger
from tests.sites import database_of, entered, site_of
from tests.waiting import wait_until

QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}


@pytest.mark.promise("P3")
def test_one_of_two_workers_on_a_run_commits(quiet_site, queue, key):
    site = quiet_site
    with ExitStack() as stack:
        # Each on a queue of its own: a queue may drop a wake-up whose twin is in the same one.
        other = f"{queue}-other"
        workers = [stack.enter_context(site.project.worker("--queue-name", name)) for name in (queue, other)]
        for worker in workers:
            until_up(site, worker)
        handle = site.start(site.on_queue("decided_by_two", queue), key=key)
        # The queue has lied: once more. Whoever comes first waits in the workflow's code for the other.
        engine().queue.enqueue([Entry(EntryKind.RUN, handle.id, other)])
        assert handle.result(timeout=30) == [1, 2]
        deciders = {int(line) for line in ledger.effects(f"{key}-decided")}
        assert deciders == {worker.pid for worker in workers}
        assert_sound(site, handle)
    assert len(ledger.effects(f"{key}-one")) == 1
    assert len(ledger.effects(f"{key}-two")) == 1


@pytest.mark.promise("P9")
def test_duplicate_entries_of_many_runs_change_nothing(quiet_site, queue, key):
    site = quiet_site
    with transaction.atomic(site.alias):
        handles = [site.start(site.on_queue("chain", queue), key=f"{key}-{n}", n=2) for n in range(20)]
        for _ in range(4):
            engine().queue.enqueue([Entry(EntryKind.RUN, handle.id, queue) for handle in handles])
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(site.project.worker("--queue-name", queue, "--batch", "3"))
        for number, handle in enumerate(handles):
            assert handle.result(timeout=30) == 1
            assert_sound(site, handle)
            assert len(ledger.effects(f"{key}-{number}")) == 2
            assert len(ledger.effects(f"{key}-{number}-child")) == 1


def test_four_processes_write_to_sqlite_without_a_lock_error(tmp_path_factory, queue, key):
    """In the transaction mode that Django has by itself, which lets a transaction begin that can never write."""
    with (
        database_of("sqlite", tmp_path_factory) as (alias, url),
        entered(site_of("sqlite", alias, url, tmp_path_factory, QUICK)) as site,
        ExitStack() as stack,
    ):
        show = "from django.conf import settings; print(settings.DATABASES)"
        shown = site.project.manage("shell", "-c", show, DURABLE_TEST_SQLITE_OPTIONS="{}")
        assert "'OPTIONS': {}" in shown.stdout
        workers = [
            stack.enter_context(site.project.worker("--skip-checks", "--batch", "5", DURABLE_TEST_SQLITE_OPTIONS="{}"))
            for _ in range(4)
        ]
        for worker in workers:
            until_up(site, worker)
        with transaction.atomic(alias):  # so that there is something for all of them
            handles = [site.start("chain", key=f"{key}-{n}", n=4) for n in range(60)]
        for number, handle in enumerate(handles):
            assert handle.result(timeout=60) == 1
            assert len(ledger.effects(f"{key}-{number}")) == 4
            assert len(ledger.effects(f"{key}-{number}-child")) == 1
        for handle in handles:
            assert_sound(site, handle)
        for worker in workers:
            assert worker.stop() == 0
            assert "database is locked" not in worker.said  # the system check that warns of it was left out
            assert "ERROR" not in worker.said
        done_by = {line.split()[0] for n in range(60) for line in ledger.effects(f"{key}-{n}")}
        assert len(done_by) >= 2  # they did share the work


@pytest.mark.promise("P3")
def test_paused_worker_that_comes_back_is_refused(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue) as paused:
        handle = site.start(site.on_queue("holds", queue), key=key)
        row = until_up(site, paused)
        until_begun(key)
        paused.send(signal.SIGSTOP)
        with site.project.worker("--queue-name", queue) as other:
            until_begun(key, 2)  # the other one took it for dead, and began the second attempt
            ledger.open_gate(key)
            assert handle.result(timeout=30) == 2
            assert "buried" in other.said
        before = site.history(handle)
        paused.send(signal.SIGCONT)
        wait_until(lambda: "declared dead by other workers" in paused.said, "the paused worker to notice")
        again = site.start(site.on_queue("holds", queue), key=f"{key}-again")
        ledger.open_gate(f"{key}-again")
        assert again.result(timeout=30) == 1  # it works again
        assert UUID(str(until_up(site, paused).id)) == row.id
        assert site.history(handle) == before
        assert_sound(site, handle)
        assert_sound(site, again)
    assert [line.partition(" ")[2] for line in ledger.effects(key)] == ["attempt 1", "attempt 2"]
    assert len(ledger.effects(f"{key}-after")) == 1


@pytest.mark.promise("P3")
def test_outcome_of_a_paused_worker_comes_too_late(quiet_site, queue, key):
    """It finds its attempt over before it hears that it was declared dead: its heart beats once in a minute."""
    site = quiet_site
    slow_heart = {"HEARTBEAT_INTERVAL": 20, "WORKER_TIMEOUT": 60, "WORKFLOW_CACHE_SIZE": 0}
    with site.project.worker("--queue-name", queue, durable=slow_heart) as paused:
        handle = site.start(site.on_queue("holds", queue), key=key)
        until_begun(key)
        paused.send(signal.SIGSTOP)
        with site.project.worker("--queue-name", queue):
            until_begun(key, 2)
            ledger.open_gate(key)
            assert handle.result(timeout=30) == 2
        paused.send(signal.SIGCONT)
        wait_until(lambda: "came too late and was refused" in paused.said, "its outcome to be refused")
        assert site.tasks(handle)[0].attempt == 2
        assert_sound(site, handle)
    assert len(ledger.effects(f"{key}-after")) == 1
