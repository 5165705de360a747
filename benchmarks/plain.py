"""The least that a queue can be: pgmq's table in plain SQL, the same in SQLite, a bare stream in Redis.

Entries are read with a time for which others do not see them, and deleted by their ids. There are no kinds, queues,
priorities, preferences or twins, and nothing notices that a claim was lost. One connection, straight on the driver.
"""

from __future__ import annotations

import json
import select
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from django.db import connection

from benchmarks.backends import SQLITE
from django_durable.conf import conf
from durable_core.ports import LEASE, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Plain(Protocol):
    def setup(self) -> None: ...

    def send(self, count: int) -> None:
        """Add so many entries."""

    def take(self, count: int) -> None:
        """Claim so many, then remove them."""

    def analyze(self) -> None:
        """Tell the server's planner what it would find out by itself within a minute: how large its tables are."""


@runtime_checkable
class WithWakeups(Plain, Protocol):
    """Its server can tell others of an entry."""

    def tell(self) -> None:
        """Add an entry, and wake those who listen."""

    def listen(self, wake: Callable[[], None]) -> None:
        """Call *wake* when it listens, and at each entry that is told. Never returns."""


def make_plain() -> Plain:
    """On the server of the queue that the settings choose."""
    chosen = conf()
    if chosen.queue_backend == "redis":
        return BareRedis(**chosen.queue_options)
    if dsn := chosen.queue_options.get("dsn"):
        return PlainPostgres({"conninfo": dsn})
    parameters = connection.get_connection_params()
    return PlainSqlite(parameters["database"]) if connection.vendor == "sqlite" else PlainPostgres(parameters)


@contextmanager
def watching(wake: Callable[[], None]) -> Iterator[None]:
    """As `TaskQueue.watch`, in a process that ends afterwards. Only for a server that can tell."""
    plain = make_plain()
    assert isinstance(plain, WithWakeups), plain
    threading.Thread(target=plain.listen, args=(wake,), daemon=True).start()
    yield


class PlainPostgres:
    """What pgmq does, in statements of the client's own: its functions do no more, and plan anew at each call."""

    TABLE = (
        "CREATE TABLE plain_queue (msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, "
        "read_ct integer DEFAULT 0 NOT NULL, enqueued_at timestamptz DEFAULT now() NOT NULL, "
        "vt timestamptz NOT NULL, message jsonb)"
    )
    INDEX = "CREATE INDEX plain_queue_vt ON plain_queue (vt)"
    SEND = "INSERT INTO plain_queue (vt, message) SELECT clock_timestamp(), unnest(%s::jsonb[])"
    READ = (
        "WITH free AS (SELECT msg_id FROM plain_queue WHERE vt <= clock_timestamp() ORDER BY msg_id LIMIT %s "
        "FOR UPDATE SKIP LOCKED) "
        "UPDATE plain_queue m SET vt = clock_timestamp() + make_interval(secs => %s), read_ct = read_ct + 1 "
        "FROM free WHERE m.msg_id = free.msg_id RETURNING m.msg_id, m.read_ct, m.message"
    )
    DELETE = "DELETE FROM plain_queue WHERE msg_id = ANY(%s)"
    TELL = (
        "WITH sent AS (INSERT INTO plain_queue (vt, message) VALUES (clock_timestamp(), %s) RETURNING msg_id) "
        "SELECT pg_notify('plain_queue', '') FROM sent"
    )

    def __init__(self, parameters: dict[str, Any]) -> None:
        import psycopg

        parameters = {**parameters, "autocommit": True, "prepare_threshold": 5}  # which Django turns off
        self._raw: psycopg.Connection[Any] = psycopg.connect(**parameters)

    def setup(self) -> None:
        self._raw.execute(self.TABLE)
        self._raw.execute(self.INDEX)

    def send(self, count: int) -> None:
        self._raw.execute(self.SEND, [_messages(count)])

    def take(self, count: int) -> None:
        found = self._raw.execute(self.READ, [count, LEASE]).fetchall()
        assert len(found) == count
        self._raw.execute(self.DELETE, [[row[0] for row in found]])

    def analyze(self) -> None:
        self._raw.execute("ANALYZE")

    def tell(self) -> None:
        self._raw.execute(self.TELL, _messages(1))

    def listen(self, wake: Callable[[], None]) -> None:
        self._raw.execute("LISTEN plain_queue")
        wake()
        while True:
            select.select([self._raw.fileno()], [], [])
            self._raw.pgconn.consume_input()
            while self._raw.pgconn.notifies():
                wake()


class PlainSqlite:
    """There is no server, and somebody has to look."""

    TABLE = (
        "CREATE TABLE plain_queue (msg_id integer PRIMARY KEY, read_ct integer DEFAULT 0 NOT NULL, "
        "vt real NOT NULL, message text)"
    )
    INDEX = "CREATE INDEX plain_queue_vt ON plain_queue (vt)"
    SEND = "INSERT INTO plain_queue (vt, message) VALUES (?, ?)"
    READ = (
        "UPDATE plain_queue SET vt = ?, read_ct = read_ct + 1 WHERE msg_id IN "
        "(SELECT msg_id FROM plain_queue WHERE vt <= ? ORDER BY msg_id LIMIT ?) RETURNING msg_id, read_ct, message"
    )
    DELETE = "DELETE FROM plain_queue WHERE msg_id IN (SELECT value FROM json_each(?))"

    def __init__(self, file: str) -> None:
        self._raw = sqlite3.connect(file, uri=True, isolation_level=None)
        self._raw.executescript(SQLITE)

    def setup(self) -> None:
        self._raw.execute(self.TABLE)
        self._raw.execute(self.INDEX)

    def send(self, count: int) -> None:
        now = time.time()
        self._raw.execute("BEGIN IMMEDIATE")
        self._raw.executemany(self.SEND, [(now, message) for message in _messages(count)])
        self._raw.execute("COMMIT")

    def take(self, count: int) -> None:
        now = time.time()
        found = self._raw.execute(self.READ, (now + LEASE, now, count)).fetchall()
        assert len(found) == count
        self._raw.execute(self.DELETE, (json.dumps([row[0] for row in found]),))

    def analyze(self) -> None:
        pass  # a look by rowid needs no statistics


class BareRedis:
    """A stream with one consumer group. Wake-ups are a list that somebody blocks on."""

    def __init__(self, url: str, prefix: str) -> None:
        import redis

        self._redis: Any = redis.Redis.from_url(url, decode_responses=True, socket_timeout=None)
        self._stream, self._bell = f"{{{prefix}}}:plain", f"{{{prefix}}}:plain-bell"

    def setup(self) -> None:
        self._redis.xgroup_create(self._stream, "group", "0", mkstream=True)

    def send(self, count: int) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for message in _messages(count):
            pipeline.xadd(self._stream, {"message": message})
        pipeline.execute()

    def take(self, count: int) -> None:
        [[_, found]] = self._redis.xreadgroup("group", "worker", {self._stream: ">"}, count=count)
        assert len(found) == count
        ids = [one[0] for one in found]
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack(self._stream, "group", *ids)
        pipeline.xdel(self._stream, *ids)
        pipeline.execute()

    def analyze(self) -> None:
        pass

    def tell(self) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(self._stream, {"message": _messages(1)[0]})
        pipeline.rpush(self._bell, "")
        pipeline.execute()

    def listen(self, wake: Callable[[], None]) -> None:
        self._redis.ping()
        wake()
        while True:
            self._redis.blpop(self._bell)
            wake()


def _messages(count: int) -> list[str]:
    return [f'{{"ref":"{new_id().hex}"}}' for _ in range(count)]
