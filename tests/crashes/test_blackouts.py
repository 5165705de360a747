"""Postgres lets nobody in for a while: workers keep their hearts, their claims, and what they were about to say."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connections, transaction
from django.utils.timezone import now

from django_durable import cancel_workflow
from django_durable.models import Worker
from tests.crashes.proof import assert_sound, until_begun, until_up
from tests.scenarios import ledger
from tests.servers import Postgres
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sites import Site

pytestmark = pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)


@contextmanager
def nobody_is_let_in(site: Site) -> Iterator[None]:
    """While the block lasts; who was in is thrown out, but for this thread."""
    from psycopg import sql

    here = Postgres.from_url(site.project.url)
    outside, name = replace(here, name="postgres"), sql.Identifier(here.name)
    outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    try:
        with connections[site.alias].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        yield
    finally:
        outside.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def until_one_waits_for_a_lock(site: Site) -> None:
    def waits() -> bool:
        with connections[site.alias].cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(cursor.fetchone()[0])

    wait_until(waits, "the worker to wait for a lock")


def test_outage_in_the_middle_of_a_transaction_is_an_outage_like_any_other(quiet_site, queue, key):
    site = quiet_site
    replayed = {"WORKFLOW_CACHE_SIZE": 0}  # outcomes go by mail
    with site.project.worker("--queue-name", queue, durable=replayed) as worker:
        handle = site.start(site.on_queue("holds_one", queue), key=key)
        until_begun(key)
        with transaction.atomic(site.alias), connections[site.alias].cursor() as cursor:
            cursor.execute("LOCK TABLE django_durable_mail IN SHARE MODE")
            ledger.open_gate(key)
            until_one_waits_for_a_lock(site)  # with the outcome half written
            with nobody_is_let_in(site):
                wait_until(
                    lambda: "the store does not answer" in worker.said or worker.process.poll() is not None,
                    "the worker to notice",
                )
        assert handle.result(timeout=30) == 1
        assert_sound(site, handle)
        assert "Traceback" not in worker.said
        assert worker.process.poll() is None
    assert len(ledger.effects(key)) == 1


def test_heart_goes_on_beating_after_an_outage(quiet_site, queue, key):
    site = quiet_site
    often = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 60}
    told = ["--queue-name", queue, "--verbosity", "3"]
    with site.project.worker(*told, durable=often) as worker:
        until_up(site, worker)
        given = {"name": "heartbeats_until_canceled", "args": [key], "options": {"heartbeat_timeout": 60}}
        handle = site.start(site.on_queue("tries", queue), **given)
        until_begun(key)
        with nobody_is_let_in(site):
            # For longer than the worker trusts what it knows of the database's clock.
            wait_until(lambda: worker.said.count("no heartbeat") >= 20 or "Traceback" in worker.said, "it to try")
        last = Worker.objects.using(site.alias).get(pid=worker.pid).heartbeat_at
        since = Worker.objects.using(site.alias).filter(pid=worker.pid, heartbeat_at__gt=last)
        wait_until(since.exists, lambda: f"a beat; the worker said:\n{worker.said}")
        assert "Traceback" not in worker.said
        cancel_workflow(handle)


def test_nobody_is_taken_for_dead_after_an_outage_that_silenced_all(quiet_site, queue, key):
    """As if it had lasted an hour. One of the workers comes back a little later than the other."""
    site = quiet_site
    quick = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 20}
    one = ["--queue-name", queue, "--threads", "1"]
    with (
        site.project.worker(*one, durable=quick) as early,
        site.project.worker(*one, durable=quick) as late,
    ):
        for worker in (early, late):
            until_up(site, worker)
        handles = [site.start(site.on_queue("holds_one", queue), key=f"{key}-{n}") for n in range(2)]
        for number in range(2):
            until_begun(f"{key}-{number}")
        hearts = Worker.objects.using(site.alias).filter(pid__in=(early.pid, late.pid))
        late.send(signal.SIGSTOP)
        with nobody_is_let_in(site):
            wait_until(lambda: "the store does not answer" in early.said, "the outage to be noticed")
            hearts.update(heartbeat_at=now() - timedelta(hours=1))
        wait_until(lambda: "the store answers again" in early.said, "the end of the outage to be noticed")
        late.send(signal.SIGCONT)
        alive = hearts.filter(heartbeat_at__gt=now() - timedelta(minutes=1))
        wait_until(lambda: alive.count() == 2, lambda: f"both to be alive; one said:\n{early.said}")
        for number, handle in enumerate(handles):
            ledger.open_gate(f"{key}-{number}")
            assert handle.result(timeout=30) == 1
        assert "buried" not in early.said + late.said
        assert "declared dead" not in early.said + late.said
