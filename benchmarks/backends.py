"""The backends that are compared: pairs of a store and a queue, each on a fresh database."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tests.redis_servers import redis_server
from tests.servers import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.redis_servers import RedisServer
    from tests.servers import Postgres

# WAL, as the docs ask for. A commit survives the death of any process; a power cut may take the last ones.
SQLITE = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"


class Backend(NamedTuple):
    """A store, and a queue beside it."""

    store: Literal["sqlite", "postgres", "postgres-async"]
    queue: Literal["database", "postgres", "other-postgres", "redis"]
    what: str


BACKENDS = {
    "sqlite": Backend("sqlite", "database", "a file, WAL, synchronous=NORMAL; the queue in it"),
    "postgres": Backend("postgres", "postgres", "with fsync; the Postgres queue in the store's transactions"),
    "redis": Backend("postgres", "redis", "Postgres with fsync; the queue in a Redis without persistence"),
    "pg-database": Backend("postgres", "database", "Postgres with fsync; the database queue"),
    "pg-dsn": Backend("postgres", "other-postgres", "Postgres with fsync; the Postgres queue in a database of its own"),
    "sqlite-redis": Backend("sqlite", "redis", "the file; the queue in Redis"),
    "pg-async": Backend(
        "postgres-async",
        "postgres",
        "as postgres, synchronous_commit=off: a crash of the server may lose the last commits",
    ),
}


class Place(NamedTuple):
    """A fresh database, and a fresh queue."""

    database: dict[str, Any]  # entry of DATABASES
    queue: dict[str, Any]  # DURABLE["QUEUE"]


class Servers:
    """One of each server, started when a backend first needs it; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def fresh(self, name: str) -> Iterator[Place]:
        """A place that nobody else has, gone at the end of the block."""
        backend = BACKENDS[name]
        with ExitStack() as stack:
            if backend.store == "sqlite":
                database = stack.enter_context(_sqlite())
            else:
                options = {"options": "-c synchronous_commit=off"} if backend.store == "postgres-async" else {}
                database = stack.enter_context(self._postgres.database("bench")).django(**options)
            match backend.queue:
                case "other-postgres":
                    other = stack.enter_context(self._postgres.database("bench_queue"))
                    queue: dict[str, Any] = {"BACKEND": "postgres", "OPTIONS": {"dsn": other.url}}
                case "redis":
                    prefix = stack.enter_context(self._redis.namespace("bench"))
                    queue = {"BACKEND": "redis", "OPTIONS": {"url": self._redis.url, "prefix": prefix}}
                case inside:
                    queue = {"BACKEND": inside}
            yield Place(database, queue)

    @cached_property
    def _postgres(self) -> Postgres:
        return self._stack.enter_context(postgres(fsync=True))

    @cached_property
    def _redis(self) -> RedisServer:
        return self._stack.enter_context(redis_server())


@contextmanager
def _sqlite() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="durable-bench-") as folder:
        yield {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(folder) / "bench.sqlite3"),
            "OPTIONS": {"init_command": SQLITE},
        }
