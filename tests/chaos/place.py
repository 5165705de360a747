"""Where chaos happens: a project on servers of its own, which may be harmed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.test import override_settings

from tests.harness import Project
from tests.redis_servers import PrivateServer, private_server
from tests.servers import Cluster, private_cluster
from tests.sites import Site, entered
from tests.store.databases import registered, sqlite_settings

WORKER_TIMEOUT = 1.5
DURABLE = {
    "HEARTBEAT_INTERVAL": 0.3,
    "WORKER_TIMEOUT": WORKER_TIMEOUT,
    "REDELIVERY": 1,
    "MAX_CRASHES": 1_000,  # here workers die often, and it is nobody's fault
}


@dataclass
class Place:
    site: Site
    cluster: Cluster | None = None
    redis: PrivateServer | None = None


@contextmanager
def place_of(pair: str) -> Iterator[Place]:
    """A migrated project on a pair of store and queue; this process talks to it."""
    backend, _, kind = pair.partition("-with-")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="durable-chaos-")))
        cluster = stack.enter_context(private_cluster()) if "postgres" in pair else None
        redis = stack.enter_context(private_server()) if kind == "redis" else None
        if backend == "postgres":
            assert cluster is not None
            database = stack.enter_context(cluster.server.database())
            url, entry = database.url, database.django()
        else:
            path = folder / "durable.sqlite3"
            url, entry = f"sqlite:{path}", sqlite_settings(path)
        alias = stack.enter_context(registered(entry))
        call_command("migrate", database=alias, verbosity=0)
        queue = _queue(stack, kind, cluster, redis)
        if queue:
            with override_settings(DURABLE={"DATABASE": alias, "QUEUE": queue}):
                call_command("durable_queue_setup", verbosity=0)
        durable = {**DURABLE, **({"QUEUE": queue} if queue else {})}
        site = Site(backend, alias, Project(url, folder, durable), queue)
        yield Place(stack.enter_context(entered(site)), cluster, redis)


def _queue(stack: ExitStack, kind: str, cluster: Cluster | None, redis: PrivateServer | None) -> dict[str, Any]:
    match kind:
        case "redis":
            assert redis is not None
            return {"BACKEND": "redis", "OPTIONS": {"url": redis.url}}
        case "postgres":
            return {"BACKEND": "postgres"}
        case "other-postgres":
            assert cluster is not None
            other = stack.enter_context(cluster.server.database())
            return {"BACKEND": "postgres", "OPTIONS": {"dsn": other.url}}
        case "":
            return {}
        case _:
            raise AssertionError(f"no such queue: {kind}")
