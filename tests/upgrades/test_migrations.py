"""Migrations: there and back with all rows kept, and under workers that do not stop for them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations import AddField, CreateModel
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings

from django_durable import send_signal, wait_workflow
from django_durable.models import Worker
from tests.sites import BACKENDS, Site, database_of, entered, site_of, site_on
from tests.store.databases import TABLES
from tests.upgrades import dumps
from tests.upgrades.releases import NEWEST
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

APP = "django_durable"
GRAPH = MigrationLoader(None).graph
MIGRATIONS = sorted(name for app, name in GRAPH.nodes if app == APP)
# The last that made something which today's code cannot do without: what came later are indexes and the like.
NEEDED = [
    name
    for name in MIGRATIONS
    if any(isinstance(step, AddField | CreateModel) for step in GRAPH.nodes[APP, name].operations)
][-1]
TOMORROW = "tests.upgrades.future"
RECORDED = "0004_newest_runs"  # where the newest recorded database stands
IMPATIENT = "2s"  # that a migration may wait for a lock: behind workers, with others who wait behind it


@pytest.fixture(scope="module", params=BACKENDS)
def migrated_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory) as site:
        yield site


@pytest.fixture
def site_on_backend(migrated_site_on: Site) -> Iterator[Site]:
    with entered(migrated_site_on) as site:
        yield site


def migrate(site: Site, target: str = "", migrations: str = "django_durable.migrations") -> None:
    """As an operator does it, without patience for locks."""
    connection = connections[site.alias]
    with connection.cursor() as cursor, override_settings(MIGRATION_MODULES={APP: migrations}):
        if not site.on_sqlite:
            cursor.execute("SET lock_timeout = %s", [IMPATIENT])
        call_command("migrate", APP, *filter(None, [target]), database=site.alias, verbosity=0)
    connection.close()  # whoever comes next is patient again


TAKEN_AWAY = {  # columns, by migrations that go back
    ("activitytask", "at_most_once"),
    ("activitytask", "completion_digest"),
    ("activitytask", "completion_expires_at"),
    ("worker", "exclude"),
    ("workflowexecution", "chain_id"),
    ("workflowexecution", "forked_from_id"),
    ("workflowexecution", "pause_reason"),
    ("workflowexecution", "paused_at"),
    ("workflowexecution", "timeout"),
    ("workflowexecution", "unheard"),
}


def rows_of(site: Site) -> dict[str, Any]:
    """All rows of all tables, without columns that a migration takes away."""
    found: dict[str, Any] = {}
    for table in TABLES:
        with connections[site.alias].cursor() as cursor:
            if f"{APP}_{table}" not in connections[site.alias].introspection.table_names(cursor):
                found[table] = []  # a migration has taken it away, as empty as it was
                continue
            cursor.execute(f"SELECT * FROM {APP}_{table}")
            names = [column[0] for column in cursor.description]
            kept = [place for place, name in enumerate(names) if (table, name) not in TAKEN_AWAY]
            found[table] = sorted(repr([row[place] for place in kept]) for row in cursor.fetchall())
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_survive_every_migration_back_and_forth(backend, tmp_path_factory):
    """Each migration meets data, in both directions."""
    with database_of(backend, tmp_path_factory) as (alias, url):
        call_command("migrate", APP, "zero", database=alias, verbosity=0)
        with connections[alias].cursor() as cursor:
            assert not [t for t in connections[alias].introspection.table_names(cursor) if t.startswith(f"{APP}_")]
        call_command("migrate", APP, RECORDED, database=alias, verbosity=0)
        site = site_of(backend, alias, url, tmp_path_factory, {})
        fill(site)
        call_command("migrate", APP, database=alias, verbosity=0)
        before = rows_of(site)
        assert all(before[table] for table in ("workflowexecution", "historyevent", "activitytask", "mail", "worker"))
        for name in [*reversed(MIGRATIONS[:-1]), *MIGRATIONS]:
            call_command("migrate", APP, name, database=alias, verbosity=0)
            assert rows_of(site) == before, name
        call_command("migrate", APP, "zero", database=alias, verbosity=0)


def fill(site: Site) -> None:
    """With the rows of the recorded database."""
    dump = (NEWEST.folder / f"{site.backend}.sql").read_text(encoding="ascii")
    with connections[site.alias].cursor() as cursor:
        for table in reversed(TABLES):  # runs before what belongs to them
            for statement in dumps.inserts(dump, f"{APP}_{table}"):
                cursor.execute(statement)


def test_migrations_hold_what_the_models_say():
    call_command("makemigrations", APP, check=True, dry_run=True, verbosity=0)


class Clients:
    """Threads of a web process: they start runs and signal them, as long as the block lasts."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.expected: dict[UUID, Any] = {}  # results, by run
        self.errors: list[BaseException] = []
        self._stop = threading.Event()

    def work(self) -> None:
        try:
            while not self._stop.is_set():
                self.expected[self.site.start("sequence", n=3).id] = 3
                handle = self.site.start("collects", names=["a", "b"])
                self.expected[handle.id] = [1, 2]
                send_signal(handle, "b", 2)
                send_signal(handle, "a", 1)
                self._stop.wait(0.02)
        except Exception as error:  # noqa: BLE001 - any is one too many
            self.errors.append(error)
        finally:
            connections[self.site.alias].close()

    @contextmanager
    def busy(self) -> Iterator[None]:
        thread = threading.Thread(target=self.work)
        thread.start()
        try:
            self._come_on("the load to begin")
            yield
            self._come_on("the load to go on")
        finally:
            self._stop.set()
            thread.join()
            assert self.errors == []

    def _come_on(self, what: str) -> None:
        more = len(self.expected) + 10
        wait_until(lambda: len(self.expected) >= more or self.errors, what)


def test_migrations_are_applied_under_workers_that_go_on(site_on_backend):
    """Today's workers and clients meet the last steps of today's schema, and then all that a later release may add."""
    site = site_on_backend
    clients = Clients(site)
    with site.project.worker() as one, site.project.worker() as two:
        wait_until(lambda: Worker.objects.using(site.alias).count() == 2, "both workers")
        with clients.busy():
            migrate(site, NEEDED)
            migrate(site)
            migrate(site, migrations=TOMORROW)
        results = {run: wait_workflow(run, timeout=60) for run in clients.expected}
    assert results == clients.expected
    for worker in (one, two):
        assert "ERROR" not in worker.said
        assert "WARNING" not in worker.said
    with connections[site.alias].cursor() as cursor:
        assert f"{APP}_later" in connections[site.alias].introspection.table_names(cursor)
    audited = site.project.manage("durable_audit", "--replay", "strict")
    assert audited.returncode == 0, audited.stdout


def test_worker_refuses_tables_that_are_older_than_its_code(site_on_backend):
    site = site_on_backend
    migrate(site, MIGRATIONS[-2])
    try:
        ended = site.project.manage("durable_worker", "--procs", "2", "--until-idle")
    finally:
        migrate(site)
    assert ended.returncode == 1
    assert f"lacks migrations of {APP}. Run: python manage.py migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_index_that_broke_off_halfway_is_made_again(tmp_path_factory):
    """Postgres leaves an invalid index of that name behind, when one that is made beside the work does not get done."""
    with database_of("postgres", tmp_path_factory) as (alias, _), connections[alias].cursor() as cursor:
        call_command("migrate", APP, "0003", database=alias, verbosity=0)
        cursor.execute(f"CREATE INDEX durable_run_created ON {APP}_workflowexecution (priority)")
        call_command("migrate", APP, "0004", database=alias, verbosity=0)
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'durable_run_created'")
        assert "(created_at DESC)" in cursor.fetchone()[0]
