"""Projects on both databases, for tests through real worker processes: the fixtures that test packages share.

`site` is a migrated database with one worker process that stays up for the whole run, with the sticky cache and
without. Tests that kill, pause or drain workers start their own, on a `quiet_site` and a queue of their own.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from durable_core.execution import OPEN_STATUSES
from tests.harness import Project
from tests.redis_servers import redis_server
from tests.scenarios import ledger
from tests.servers import postgres, run_directory
from tests.store.databases import registered, sqlite_settings
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django_durable import WorkflowHandle
    from tests.harness import WorkerProcess

BACKENDS = ("sqlite", "postgres")  # databases, each with the queue in it
PAIRS = (  # of a store and a queue
    *BACKENDS,
    "postgres-with-postgres",
    "postgres-with-other-postgres",
    "postgres-with-redis",
    "sqlite-with-redis",
)
# For what no queue has a part in: each database, and a queue that is not in it. `nox -s kills` takes all pairs.
FEW_PAIRS = PAIRS if os.environ.get("DURABLE_TEST_PAIRS") == "all" else (*BACKENDS, "postgres-with-redis")
CACHES = {"cached": 1000, "replayed": 0}


@dataclass
class Site:
    """A project in production: a database, settings, and a worker that is up."""

    backend: str
    alias: str
    project: Project
    queue: dict[str, Any] = field(default_factory=dict)  # DURABLE["QUEUE"]
    up: WorkerProcess | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """DURABLE of the process that tests."""
        chosen = {"QUEUE": self.queue, "REDELIVERY": 1} if self.queue else {}
        return {"DATABASE": self.alias, **chosen}

    @property
    def on_sqlite(self) -> bool:
        return self.backend == "sqlite"

    def start(self, workflow: str, /, **kwargs: Any) -> WorkflowHandle:
        from django_durable import start_workflow

        return start_workflow(workflow, **kwargs)

    def run(self, workflow: str, /, **kwargs: Any) -> Any:
        """The result of a run that the worker drives."""
        return self.start(workflow, **kwargs).result(timeout=30)

    def run_on(self, queue: str, workflow: str, /, **kwargs: Any) -> Any:
        """The result of a run on a queue of the test's own."""
        return self.start(self.on_queue(workflow, queue), **kwargs).result(timeout=30)

    def on_queue(self, workflow: str, queue: str, **options: Any) -> Any:
        """The workflow, for workers of a queue of the test's own."""
        from django_durable import register

        return register.find_workflow(workflow).using(queue=queue, **options)

    def execution(self, handle: Any) -> Any:
        from django_durable.models import WorkflowExecution

        return WorkflowExecution.objects.using(self.alias).get(pk=getattr(handle, "id", handle))

    def history(self, handle: Any) -> list[str]:
        """The types of its events, in order."""
        return list(self.execution(handle).history.order_by("seq").values_list("type", flat=True))

    def tasks(self, handle: Any) -> list[Any]:
        return list(self.execution(handle).activities.order_by("scheduled_at", "call_id"))

    def until(self, handle: Any, status: str) -> Any:
        """The execution, once it has this status."""

        def reached() -> Any:
            execution = self.execution(handle)
            return execution if execution.status == status else None

        return wait_until(reached, f"{status} of {handle}; it is {self.execution(handle).status}")

    def until_closed(self, handle: Any) -> Any:
        """The execution, once it has ended, however it did."""

        def reached() -> Any:
            execution = self.execution(handle)
            return execution if execution.status not in OPEN_STATUSES else None

        return wait_until(reached, f"{handle} to close; it is {self.execution(handle).status}")

    def until_waiting(self, handle: Any, kind: str) -> Any:
        """The execution, once its code waits for something of this kind."""

        def reached() -> Any:
            execution = self.execution(handle)
            waiting = execution.waiting_for or {}
            return execution if waiting.get("kind") == kind else None

        return wait_until(reached, f"{handle} to wait for a {kind}")


@contextmanager
def database_of(backend: str, factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(alias, url) of a fresh, migrated database."""
    with ExitStack() as stack:
        if backend == "sqlite":
            path = factory.mktemp("site") / "durable.sqlite3"
            url = f"sqlite:{path}"
            entry = sqlite_settings(path)
        else:
            server = stack.enter_context(postgres(shared=run_directory(factory)))
            fresh = stack.enter_context(server.database())
            url, entry = fresh.url, fresh.django()
        alias = stack.enter_context(registered(entry))
        call_command("migrate", database=alias, verbosity=0)
        yield alias, url


@contextmanager
def queue_of(kind: str, factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """``DURABLE["QUEUE"]`` of a fresh queue: what follows "with" in the name of a pair."""
    with ExitStack() as stack:
        match kind:
            case "":
                yield {}
            case "postgres":
                yield {"BACKEND": "postgres"}
            case "other-postgres":
                server = stack.enter_context(postgres(shared=run_directory(factory)))
                other = stack.enter_context(server.database())
                yield {"BACKEND": "postgres", "OPTIONS": {"dsn": other.url}}
            case "redis":
                redis = stack.enter_context(redis_server(shared=run_directory(factory)))
                options = {"url": redis.url, "prefix": f"t{uuid4().hex}"}
                yield {"BACKEND": "redis", "OPTIONS": options}
            case _:
                raise AssertionError(f"no such queue: {kind}")


@contextmanager
def site_on(pair: str, factory: pytest.TempPathFactory, **durable: Any) -> Iterator[Site]:
    """A site on a pair; *durable* is the setting of its worker processes."""
    backend, _, kind = pair.partition("-with-")
    with queue_of(kind, factory) as chosen, database_of(backend, factory) as (alias, url):
        if chosen:
            durable = {"REDELIVERY": 1, **durable, "QUEUE": chosen}
            with override_settings(DURABLE={"DATABASE": alias, "QUEUE": chosen}):
                call_command("durable_queue_setup", verbosity=0)
        yield site_of(backend, alias, url, factory, durable)


def site_of(backend: str, alias: str, url: str, factory: pytest.TempPathFactory, durable: dict[str, Any]) -> Site:
    """A site on a database that is there."""
    folder: Path = factory.mktemp("ledger")
    return Site(backend, alias, Project(url, folder, durable), durable.get("QUEUE", {}))


@contextmanager
def entered(site: Site) -> Iterator[Site]:
    """This process talks to the site: its API, and its ledger."""
    before = os.environ.get(ledger.VARIABLE)
    os.environ[ledger.VARIABLE] = str(site.project.folder)
    try:
        with override_settings(DURABLE=site.settings):
            yield site
    finally:
        connections[site.alias].close()
        if before is None:
            del os.environ[ledger.VARIABLE]
        else:
            os.environ[ledger.VARIABLE] = before


@pytest.fixture(scope="session", params=[f"{backend}-{cache}" for backend in BACKENDS for cache in CACHES])
def site_with_worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    backend, cache = request.param.split("-")
    with (
        site_on(backend, tmp_path_factory, WORKFLOW_CACHE_SIZE=CACHES[cache]) as site,
        site.project.worker("--queue-name", "default") as worker,
    ):
        site.up = worker
        yield site


@pytest.fixture
def site(site_with_worker: Site) -> Iterator[Site]:
    """A site with a worker on the queue `default`, on each database, with and without the cache."""
    with entered(site_with_worker) as site:
        yield site
        assert site.up is not None
        assert site.up.process.poll() is None, f"the shared worker died; it said:\n{site.up.said}"


@pytest.fixture(scope="session", params=BACKENDS)
def quiet_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    quick = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}
    with site_on(request.param, tmp_path_factory, **quick) as site:
        yield site


@pytest.fixture
def quiet_site(quiet_site_on: Site) -> Iterator[Site]:
    """A site without a worker, for tests that start, kill and pause their own. Dead ones are noticed in 1.5 s."""
    with entered(quiet_site_on) as site:
        yield site


@pytest.fixture
def queue() -> str:
    """The name of a queue that nobody else uses."""
    return f"q-{uuid4().hex[:12]}"


@pytest.fixture
def key() -> str:
    """A name for effects and gates that nobody else uses."""
    return f"k-{uuid4().hex[:12]}"
