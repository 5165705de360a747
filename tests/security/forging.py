"""What somebody who can write a queue, and nothing else, may put there."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import redis
from django.db import connections

from django_durable.engine import engine
from durable_core.hints import backend_of

if TYPE_CHECKING:
    from uuid import UUID

    from tests.sites import Site

EVIL = "os.system"
ASTRAY = 7  # priority of entries that are left lying
LAST = 2**31 - 1  # of an integer column
HOURS = ("now()", "'-infinity'", "'infinity'")


def forge(site: Site, queue: str, closed: UUID, task: UUID) -> int:
    """Entries of all kinds on this queue, for ids of nobody, of a closed run and of a task that has ended.

    Answers how many of them can never be read.
    """
    refs = [uuid4(), closed, task]
    match site.queue.get("BACKEND"), site.on_sqlite:
        case "redis", _:
            return _in_redis(site, queue, refs)
        case "postgres", _:
            return _in_postgres_queue(site, queue, refs)
        case _, True:
            return _in_sqlite(site, queue, refs)
        case _:
            return _in_postgres(site, queue, refs)


def _in_sqlite(site: Site, queue: str, refs: list[UUID]) -> int:
    """Its columns hold anything."""
    rows: list[tuple[Any, ...]] = [(kind, ref.hex, 0, None, 0) for kind in ("run", "activity") for ref in refs]
    rows += [
        ("run", "rm -rf /", 0, None, 0),
        ("run", b"\x80\x02}q\x00.", 0, None, 0),
        ("activity", EVIL, 0, None, 0),
        ("run", uuid4().hex, "high", None, 0),
        ("run", uuid4().hex, 0, "everybody", 1),
        ("run", uuid4().hex, 0, None, LAST),
        ("run", uuid4().hex, 32767, None, -5),
    ]
    unknown = [(EVIL, uuid4().hex, 0, None, 0)]
    with connections[site.alias].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO django_durable_queueentry (kind, ref, priority, preferred, deliveries, queue, visible_at) "
            f"VALUES (%s, %s, %s, %s, %s, '{queue}', '2020-01-01 00:00:00')",
            rows + unknown,
        )
    return len(unknown)


def _in_postgres(site: Site, queue: str, refs: list[UUID]) -> int:
    unknown = [(EVIL[:8], uuid4(), 0, 0)]
    rows = [(kind, ref, 0, 0) for kind in ("run", "activity") for ref in refs]
    rows += [("run", uuid4(), 32767, LAST), ("run", uuid4(), -32768, -LAST), *unknown]
    with connections[site.alias].cursor() as cursor:
        for when in HOURS:
            cursor.executemany(
                "INSERT INTO django_durable_queueentry (kind, ref, priority, deliveries, queue, visible_at) "
                f"VALUES (%s, %s, %s, %s, '{queue}', {when})",
                rows,
            )
    return len(unknown) * len(HOURS)


def _in_postgres_queue(site: Site, queue: str, refs: list[UUID]) -> int:
    """Its columns refuse what cannot be read. A place that is not the transaction's own may not be looked at for ten
    minutes, or never."""
    rows: list[tuple[Any, ...]] = [(kind, ref, 0, 0, None) for kind in ("run", "activity") for ref in refs]
    rows += [("run", uuid4(), 32767, LAST, None), ("run", uuid4(), -32768, -LAST, None)]
    rows += [(kind, ref, ASTRAY, 0, place) for kind in ("run", "activity") for ref in refs for place in (1, 2**40, -1)]
    with connections[site.alias].cursor() as cursor:
        for when in HOURS:
            cursor.executemany(
                "INSERT INTO durable_queue (kind, ref, priority, deliveries, place, queue, ready_at, rings) "
                f"VALUES (%s, %s, %s, %s, %s, '{queue}', {when}, true)",
                rows,
            )
    return 0


def _in_redis(site: Site, queue: str, refs: list[UUID]) -> int:
    options = site.queue["OPTIONS"]
    chance = random.Random(1)
    unreadable: list[dict[Any, Any]] = [{chance.randbytes(9): chance.randbytes(60)} for _ in range(20)]
    unreadable += [{"ref": EVIL, "preferred": "", "deliveries": "0"}, {"payload": "c" * 100_000}]
    fields = [{"ref": ref.hex, "preferred": "", "deliveries": "0"} for ref in refs]
    with redis.Redis.from_url(options["url"]) as client:
        untyped: Any = client
        for kind in ("run", "activity"):
            name = f"{kind}:0:{queue}"
            untyped.zadd(f"{{{options['prefix']}}}:streams", {name: 0, f"{EVIL}:0:{queue}": 0})
            for entry in unreadable + fields:
                untyped.xadd(f"{{{options['prefix']}}}:s:{name}", entry)
    return 2 * len(unreadable)


def left(site: Site, queue: str) -> int:
    """Entries that are ready or claimed and should be gone."""
    if site.queue.get("BACKEND") == "postgres":
        with connections[site.alias].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM durable_queue WHERE queue = %s AND priority <> %s AND ready_at < 'infinity'",
                [queue, ASTRAY],
            )
            return int(cursor.fetchone()[0])
    found = [stats for stats in backend_of(engine().queue).stats() if stats.queue == queue]
    return sum(stats.ready + stats.claimed for stats in found)
