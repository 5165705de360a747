"""What claims from the Postgres queue cost when nothing was vacuumed: `python benchmarks/pg_queue_bloat.py`.

A worker claims 20 entries at a time while others come in, in one process. Before that so many entries have lived and
died, with autovacuum off. Then the same while somebody holds a snapshot from before all that, so that nothing can be
removed, and while somebody's transaction that has written stays open. `first` is the worker's first claim, `median` and
`99 %` are those after it. `no memory` is a worker that forgets where it has looked: each of its claims is its first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg

from durable_core.ports import Entry, EntryKind, new_id
from durable_pg_queue import PostgresTaskQueue
from tests.servers import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 20
LIMITS = {EntryKind.RUN: BATCH, EntryKind.ACTIVITY: 10}
BACKLOG = 200  # entries that are ready at any time

LIFE_AND_DEATH = """
INSERT INTO durable_queue (kind, ref, queue, priority, ready_at, place, rings)
SELECT 'run', gen_random_uuid(), 'default', 0, statement_timestamp(), pg_current_xact_id()::text::bigint, false
FROM generate_series(1, %s);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dead", type=int, default=1_000_000, help="entries that have lived and died")
    parser.add_argument("--claims", type=int, default=300, help="claims to measure")
    options = parser.parse_args()
    with postgres() as server:
        [(version,)] = server.execute("SHOW server_version")
        print(f"PostgreSQL {version}, {options.dead:,} dead entries, {BATCH} entries to a claim; ms")
        print(f"{'':42}{'first':>9}{'median':>9}{'99 %':>9}{'no memory':>11}")
        for title, dead, holder in (
            ("nothing has died", 0, "nobody"),
            ("dead, and nobody holds them", options.dead, "nobody"),
            ("dead, and a snapshot holds them", options.dead, "reader"),
            ("dead, and an open transaction holds them", options.dead, "writer"),
        ):
            with server.database("bloat") as database, ExitStack() as stack:
                row = measure(stack, database.url, dead, holder, options.claims)
                print(
                    f"{title:42}" + "".join(f"{1000 * seconds:9.2f}" for seconds in row[:3]) + f"{1000 * row[3]:11.2f}"
                )


def measure(stack: ExitStack, url: str, dead: int, holder: str, claims: int) -> tuple[float, float, float, float]:
    queue = PostgresTaskQueue(url)
    stack.callback(queue.close)
    queue.setup()
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("ALTER TABLE durable_queue SET (autovacuum_enabled = off)")
        raw.execute("CREATE TABLE other (n integer)")
        stack.enter_context(held(url, holder))
        if dead:
            raw.execute(LIFE_AND_DEATH, [dead])
            raw.execute("DELETE FROM durable_queue")
    enqueue(queue, BACKLOG)
    first = claim(queue)
    seconds = sorted(claim(queue) for _ in range(claims))
    cold = []
    for _ in range(5):
        newcomer = PostgresTaskQueue(url)
        stack.callback(newcomer.close)
        newcomer.stats()  # connected, and the table checked
        cold.append(claim(newcomer))
    return first, statistics.median(seconds), seconds[len(seconds) * 99 // 100], statistics.median(cold)


@contextmanager
def held(url: str, holder: str) -> Iterator[None]:
    with psycopg.connect(url) as raw:
        if holder == "reader":
            raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            raw.execute("SELECT FROM other")
        elif holder == "writer":
            raw.execute("INSERT INTO other VALUES (1)")
        yield


def enqueue(queue: PostgresTaskQueue, count: int) -> None:
    queue.enqueue([Entry(EntryKind.RUN, new_id(), "default") for _ in range(count)])


def claim(queue: PostgresTaskQueue) -> float:
    """The seconds of one claim. As many entries come in as are done."""
    begun = time.perf_counter()
    claims = queue.claim(new_id(), LIMITS, queues=(), exclude=())
    took = time.perf_counter() - begun
    assert len(claims) == BATCH
    queue.complete(claims)
    enqueue(queue, BATCH)
    return took


if __name__ == "__main__":
    main()
