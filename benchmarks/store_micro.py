"""What the store itself costs, without the engine: microseconds per one-activity workflow and per lone commit.

    python benchmarks/store_micro.py sqlite
    python benchmarks/store_micro.py postgres      # the server of tests/servers.py, with fsync

A workflow is created, decided twice (its activity committed as claimed, its outcome with the closing decision) and has
four events, as the worker does it; `batch` workflows share each commit. The queue's part is measured by itself.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from uuid import UUID

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from django.core.management import call_command  # noqa: E402

from django_durable.queue import DatabaseTaskQueue  # noqa: E402
from django_durable.store import DjangoHistoryStore  # noqa: E402
from durable_core.codec import Payload  # noqa: E402
from durable_core.events import EventRecord  # noqa: E402
from durable_core.execution import Status, TaskStatus  # noqa: E402
from durable_core.ports import Commit, Entry, EntryKind, NewRun, NewTask, TaskOutcome, Verdict, WorkerInfo, new_id  # noqa: E402
from tests.servers import postgres  # noqa: E402
from tests.store.databases import empty, registered, sqlite_settings  # noqa: E402 - needs the path, sets Django up

if TYPE_CHECKING:
    from datetime import datetime

INPUT = Payload('{"user_id":7,"plan":"basic"}')
ARGS = Payload('{"args":[7],"kwargs":{}}')
RESULT = Payload('{"sent":true}')
POLICY = {"initial_interval": 1, "backoff_coefficient": 2, "maximum_interval": 60, "maximum_attempts": 3}
WORKER = new_id()


def run() -> NewRun:
    return NewRun(id=new_id(), workflow_name="onboard_user", input=INPUT, queue="default")


def first(run_id: UUID, task_id: UUID, now: datetime) -> Commit:
    events = [
        EventRecord(1, "workflow_started", None, f'{{"workflow_name":"onboard_user","input":{INPUT}}}', now),
        EventRecord(2, "activity_scheduled", "0", f'{{"activity_name":"send","input":{ARGS}}}', now),
    ]
    task = NewTask(
        id=task_id,
        call_id="0",
        activity_name="send",
        input=ARGS,
        queue="default",
        priority=0,
        retry_policy=POLICY,
        expires_at=None,
        schedule_to_start=None,
        start_to_close=None,
        heartbeat_timeout=None,
        claimed=True,
    )
    return Commit(
        run_id=run_id,
        version=0,
        status=Status.RUNNING,
        events=events,
        history_length=2,
        tasks=[task],
        worker_id=WORKER,
        waiting_for='{"kind":"activity","what":"send","since":"2026-01-01T00:00:00+00:00","at":"flows.py:12"}',
    )


def last(run_id: UUID, task_id: UUID, now: datetime) -> Commit:
    events = [
        EventRecord(3, "activity_completed", "0", f'{{"attempt":1,"result":{RESULT}}}', now),
        EventRecord(4, "workflow_completed", None, f'{{"result":{RESULT}}}', now),
    ]
    outcome = TaskOutcome(task_id=task_id, run_id=run_id, token=1, status=TaskStatus.COMPLETED, result=RESULT)
    return Commit(
        run_id=run_id,
        version=1,
        status=Status.COMPLETED,
        events=events,
        history_length=4,
        result=RESULT,
        outcomes=[outcome],
    )


def step(run_id: UUID, task_id: UUID, n: int, now: datetime) -> tuple[Commit, UUID]:
    """One of many activities in a row: an outcome and the next task in one commit."""
    following = new_id()
    commit = first(run_id, following, now)
    commit.version, commit.history_length = n, 2 + 2 * n
    commit.events = [
        EventRecord(2 * n + 1, "activity_completed", str(n), f'{{"attempt":1,"result":{RESULT}}}', now),
        EventRecord(2 * n + 2, "activity_scheduled", str(n + 1), f'{{"activity_name":"send","input":{ARGS}}}', now),
    ]
    commit.outcomes = [TaskOutcome(task_id=task_id, run_id=run_id, token=1, status=TaskStatus.COMPLETED, result=RESULT)]
    return commit, following


class Bench:
    def __init__(self, alias: str, batch: int, workflows: int) -> None:
        self.alias = alias
        self.store = DjangoHistoryStore(alias)
        self.queue = DatabaseTaskQueue(alias)
        self.batch, self.workflows = batch, workflows
        self.store.add_worker(WorkerInfo(id=WORKER, host="bench", pid=1, queues=()))

    def all(self, profile: bool) -> None:
        empty(self.alias)
        self.lone()
        empty(self.alias)
        self.batched(profile)
        empty(self.alias)
        self.queued()
        self.idle()

    def batched(self, profile: bool) -> None:
        store, phases = self.store, {"create": 0.0, "load": 0.0, "first": 0.0, "last": 0.0}
        profiler = cProfile.Profile()
        for _ in range(self.workflows // self.batch):
            runs = [run() for _ in range(self.batch)]
            ids = [one.id for one in runs]
            tasks = [new_id() for _ in runs]
            with timed(phases, "create"):
                store.create(runs)
            with timed(phases, "load"):
                store.load(ids)
            if profile:
                profiler.enable()
            now = store.now()
            commits = [first(*pair, now) for pair in zip(ids, tasks, strict=True)]
            with timed(phases, "first"):
                committed = store.commit(commits)
            commits = [last(*pair, now) for pair in zip(ids, tasks, strict=True)]
            with timed(phases, "last"):
                committed = store.commit(commits)
            profiler.disable()
            assert all(result.verdict is Verdict.COMMITTED for result in committed.results.values())
        for name, total in phases.items():
            print(f"  {name:8} {total / self.workflows * 1e6:8.1f} us per workflow, batches of {self.batch}")
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(18)

    def lone(self) -> None:
        store, times = self.store, []
        run_id, task_id = new_id(), new_id()
        store.create([NewRun(id=run_id, workflow_name="long", input=INPUT, queue="default")])
        store.commit([first(run_id, task_id, store.now())])
        for n in range(1, 501):
            commit, task_id = step(run_id, task_id, n, store.now())
            begun = time.perf_counter()
            committed = store.commit([commit])
            times.append(time.perf_counter() - begun)
            assert committed.results[run_id].verdict is Verdict.COMMITTED
        times.sort()
        middle, late = median(times) * 1e6, times[475] * 1e6
        print(f"  lone     {middle:8.1f} us per commit of one outcome and one task, p95 {late:.0f}")

    def queued(self) -> None:
        phases = {"enqueue": 0.0, "claim": 0.0, "complete": 0.0}
        for _ in range(self.workflows // self.batch):
            entries = [Entry(EntryKind.RUN, new_id(), "default") for _ in range(self.batch)]
            with timed(phases, "enqueue"):
                self.queue.enqueue(entries)
        for _ in range(self.workflows // self.batch):
            with timed(phases, "claim"):
                claims = self.queue.claim(WORKER, {EntryKind.RUN: self.batch}, queues=(), exclude=())
            assert len(claims) == self.batch
            with timed(phases, "complete"):
                self.queue.complete(claims)
        for name, total in phases.items():
            print(f"  {name:8} {total / self.workflows * 1e6:8.1f} us per entry")

    def idle(self) -> None:
        limits = {EntryKind.RUN: 20, EntryKind.ACTIVITY: 10}
        begun = time.perf_counter()
        for _ in range(200):
            self.queue.claim(WORKER, limits, queues=(), exclude=())
        claim = (time.perf_counter() - begun) / 200
        begun = time.perf_counter()
        for _ in range(200):
            self.store.next_due()
        due = (time.perf_counter() - begun) / 200
        begun = time.perf_counter()
        for _ in range(200):
            self.store.beat(WORKER, [])
        beat = (time.perf_counter() - begun) / 200
        print(f"  idle     claim {claim * 1e6:.0f} us, next_due {due * 1e6:.0f} us, beat {beat * 1e6:.0f} us")
        with self.queue.watch(lambda: None):
            time.sleep(3)  # its thread has begun and settled
            begun, cpu = time.perf_counter(), time.process_time()
            time.sleep(3)  # what is measured
            share = (time.process_time() - cpu) / (time.perf_counter() - begun)
        print(f"  watch    {share:.2%} of a CPU while idle")


@contextmanager
def timed(phases: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    phases[name] += time.perf_counter() - begun


@contextmanager
def database(vendor: str) -> Iterator[str]:
    if vendor == "sqlite":
        with (
            tempfile.TemporaryDirectory() as folder,
            registered(sqlite_settings(Path(folder) / "bench.sqlite3")) as alias,
        ):
            yield alias
        return
    with postgres(fsync=True) as server, server.database() as fresh, registered(fresh.django()) as alias:
        yield alias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vendor", choices=["sqlite", "postgres"])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with database(options.vendor) as alias:
        call_command("migrate", database=alias, verbosity=0)
        print(options.vendor)
        Bench(alias, options.batch, options.workflows).all(options.profile)


if __name__ == "__main__":
    main()
