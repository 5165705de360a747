"""The measurements. Each runs in a process of its own, with Django set up on a fresh database: the client's side.

Whatever can be is read from the stamps that the store puts on its rows, after the fact: `created_at`, `started_at` (the
first decision) and `finished_at` (the last one). A stamp is made in the transaction, just before it commits, by the
database's clock; client, worker and database are on one host here.
"""

from __future__ import annotations

import pstats
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min

from benchmarks import limits as bare
from benchmarks import queues
from benchmarks.project.durable_workflows import one_activity, sequence, sleeper
from benchmarks.rig import WorkerProcess, wait_until
from django_durable import start_workflow
from django_durable.models import Worker, WorkflowExecution

if TYPE_CHECKING:
    from benchmarks.rig import Options, Row

LOOK = 0.0005  # seconds between two looks of a client that waits
CHUNK = 500  # starts per transaction
SETTLED = 3.0  # seconds after which an idle worker has nothing left to set up


def _let_settle() -> None:
    """What a worker does after its last work would be counted as idling: there is no sign of its being through."""
    time.sleep(SETTLED)


def latency(o: Options) -> Row:
    """From the call of `start_workflow` to the moment at which the caller's process sees the run closed.

    One thread starts runs, one at a time, and looks after each start, and every half millisecond, which of those in
    flight have closed: one indexed query for all of them. So what is reported is too high by a look (0.5 to 1 ms) at
    most. `stored` is the lower bound: to the stamp of the closing decision, which lacks its commit.
    """
    payload = "x" * o.payload_size
    with WorkerProcess(o) as worker:
        warm_up(worker)
        called: dict[UUID, float] = {}
        seen: dict[UUID, float] = {}
        wall = time.time() - time.perf_counter()
        begun = time.perf_counter()
        while len(seen) < o.tasks:
            if len(called) < o.tasks and len(called) - len(seen) < o.concurrency:
                moment = time.perf_counter()
                called[_id(start_workflow(one_activity, payload=payload))] = moment
            else:
                time.sleep(LOOK)  # a loop without it would take the CPU that the worker needs
            closed = _closed(called.keys() - seen.keys())
            moment = time.perf_counter()
            seen |= dict.fromkeys(closed, moment)
            worker.check()
            if moment - begun > 60 + o.tasks:
                raise TimeoutError(f"{o.tasks - len(seen)} of {o.tasks} runs did not close")
    taken = [(seen[run] - called[run]) * 1e3 for run in seen]
    stamps = WorkflowExecution.objects.filter(id__in=called).values_list("id", "finished_at")
    stored = [(end.timestamp() - wall - called[run]) * 1e3 for run, end in stamps if end is not None]
    return {
        "p50": median(taken),
        "p95": _p95(taken),
        "stored": median(stored),
        "throughput": o.tasks / (max(seen.values()) - begun),
    }


def idle_latency(o: Options) -> Row:
    """The same for one run at a time on a worker that has nothing else to do, each after a pause."""
    taken, stored, picked = [], [], []
    with WorkerProcess(o) as worker:
        warm_up(worker)
        _let_settle()
        for _ in range(o.tasks):
            time.sleep(o.pause * random.uniform(0.5, 1.5))  # not in step with anybody's polling
            wall, moment = time.time(), time.perf_counter()
            run = _id(start_workflow(one_activity))
            while not _closed({run}):
                time.sleep(LOOK)  # see `latency`
                if time.perf_counter() - moment > 60:
                    raise TimeoutError(f"run {run} did not close")
            taken.append((time.perf_counter() - moment) * 1e3)
            started, finished = WorkflowExecution.objects.values_list("started_at", "finished_at").get(id=run)
            assert started is not None
            assert finished is not None
            picked.append((started.timestamp() - wall) * 1e3)
            stored.append((finished.timestamp() - wall) * 1e3)
    return {"p50": median(taken), "p95": _p95(taken), "picked": median(picked), "stored": median(stored)}


def throughput(o: Options) -> Row:
    """Runs that were started beforehand, drained by one worker.

    Clocked by stamps alone, from the worker's registration (Python has booted, its loop begins) to the closing of the
    last run; nobody looks at the database meanwhile.
    """
    start_many(o.runs, payload="x" * o.payload_size)
    with WorkerProcess(o, ("--until-idle",)) as worker:
        registered = _registered(worker)
        booted = worker.ask()["cpu"]
        worker.process.wait(600)
        cpu = worker.last()["cpu"] - booted
        if o.watch == "clocks":
            return {**worker.last(), "units": o.runs}
        if o.watch == "profile":
            return {"text": _profile_of(worker)}
    runs = WorkflowExecution.objects.filter(status="COMPLETED")
    if runs.count() != o.runs:
        raise RuntimeError(f"{runs.count()} of {o.runs} runs completed")
    seconds = (runs.aggregate(Max("finished_at"))["finished_at__max"] - registered).total_seconds()
    return {"runs": o.runs, "per_second": o.runs / seconds, "cpu": cpu / o.runs * 1e3, "busy": cpu / seconds}


def sequential(o: Options) -> Row:
    """Activities of one run, each waited for before the next; clocked by the run's own stamps."""
    with WorkerProcess(o) as worker:
        if not o.watch:
            warm_up(worker)
        else:
            _registered(worker)
        seconds = _sequence(worker, o.steps)
        if o.watch:
            worker.stop()
            if o.watch == "clocks":
                return {**worker.last(), "units": o.steps}
            return {"text": _profile_of(worker)}
        cpu = worker.ask()["cpu"]
        twice = _sequence(worker, 2 * o.steps)
        cpu = worker.ask()["cpu"] - cpu
    return {"steps": o.steps, "seconds": seconds, "twice": twice, "ratio": twice / seconds, "busy": cpu / twice}


def sleepers(o: Options) -> Row:
    """What runs that sleep for a day cost a worker: memory, and CPU while it has nothing to do."""
    with WorkerProcess(o, watch="statements") as worker:
        warm_up(worker)
        _let_settle()
        rss = worker.rss
        before = _idle(worker, o.seconds)
        begun = time.perf_counter()
        start_many(o.sleepers, sleeper, seconds=86_400)
        asleep = WorkflowExecution.objects.filter(status="RUNNING")
        wait_until(lambda: asleep.count() == o.sleepers, worker, pause=0.25)
        parked = time.perf_counter() - begun
        _let_settle()
        after = _idle(worker, o.seconds)
        return {
            "runs": o.sleepers,
            "parked": parked,
            "rss": rss,
            "rss_after": worker.rss,
            "cpu": before["cpu"],
            "cpu_after": after["cpu"],
            "statements_after": after["statements"],
        }


def idle(o: Options) -> Row:
    """What a worker with nothing to do costs."""
    with WorkerProcess(o) as worker:  # the probe that counts costs CPU too
        warm_up(worker)
        _let_settle()
        cpu = _idle(worker, o.seconds)["cpu"]
        rss = worker.rss
    with WorkerProcess(o, watch="statements") as worker:
        warm_up(worker)
        _let_settle()
        counted = _idle(worker, o.seconds)
    return {"cpu": cpu, "rss": rss, **{name: counted[name] for name in ("statements", "others", "asked")}}


def limits(o: Options) -> Row:
    """The statements of one-activity workflows in batches of 100, recorded, and run again with nothing in between."""
    return bare.measure(o.runs)


def queue(o: Options) -> Row:
    """The queue alone, beside plain SQL or bare commands of the same server."""
    return queues.measure(o)


# Inside


def _id(handle: Any) -> UUID:
    return UUID(str(handle))


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _closed(runs: set[UUID]) -> list[UUID]:
    if not runs:
        return []
    return list(WorkflowExecution.objects.filter(id__in=runs, finished_at__isnull=False).values_list("id", flat=True))


def _registered(worker: WorkerProcess) -> datetime:
    """When the worker's loop began."""
    wait_until(Worker.objects.exists, worker, pause=0.01)
    found = Worker.objects.aggregate(Min("started_at"))["started_at__min"]
    assert isinstance(found, datetime)
    return found


def warm_up(worker: WorkerProcess) -> None:
    """Booted, connected, and one run done; that run is gone afterwards."""
    _registered(worker)
    run = _id(start_workflow(one_activity))
    wait_until(lambda: _closed({run}), worker)
    WorkflowExecution.objects.filter(id=run).delete()


def start_many(count: int, workflow: Any = one_activity, **given: Any) -> None:
    for first in range(0, count, CHUNK):
        with transaction.atomic():
            for _ in range(min(CHUNK, count - first)):
                start_workflow(workflow, **given)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as autovacuum would have done, had the runs come more slowly
            cursor.execute("CHECKPOINT")


def _sequence(worker: WorkerProcess, steps: int) -> float:
    run = _id(start_workflow(sequence, n=steps))
    wait_until(lambda: _closed({run}), worker, pause=0.05)
    done = WorkflowExecution.objects.get(id=run)
    assert done.status == "COMPLETED", done.error
    took: timedelta = done.finished_at - done.created_at
    return took.total_seconds()


def _idle(worker: WorkerProcess, seconds: float) -> Row:
    """CPU seconds per minute; statements per second of the loop's thread and of all others; calls of the queue."""
    before, begun = worker.ask(), time.monotonic()
    time.sleep(seconds)
    after, span = worker.ask(), time.monotonic() - begun
    delta = {name: n - before["statements"].get(name, 0) for name, n in after["statements"].items()}
    loop, asked = delta.pop("MainThread", 0), delta.pop("queue", 0)
    return {
        "cpu": (after["cpu"] - before["cpu"]) / span * 60,
        "statements": loop / span,
        "others": sum(delta.values()) / span,
        "asked": asked / span,
    }


def _profile_of(worker: WorkerProcess) -> str:
    """The top 25, and all of it by module; C functions count for the module that called them."""
    text = StringIO()
    statistics = pstats.Stats(str(worker.profile), stream=text)
    statistics.strip_dirs().sort_stats("tottime").print_stats(25)
    modules: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in pstats.Stats(str(worker.profile)).stats.items():  # type: ignore[attr-defined] # not in typeshed
        if file not in ("~", "<string>"):
            modules[_module(file)] += own
        for (caller, _, _), (_, _, part, _) in callers.items() if file in ("~", "<string>") else ():
            modules[_module(caller)] += part
    for module, seconds in modules.most_common(30):
        text.write(f"{seconds:8.3f} s  {module}\n")
    return text.getvalue()


def _module(file: str) -> str:
    return "/".join(Path(file).parts[-2:])
