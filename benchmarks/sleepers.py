"""What runs that sleep cost the memory of a worker, with and without its cache.

    python benchmarks/sleepers.py --backend all --sleepers 20000

One worker parks them itself, in steps, each run with a sleep of a day as its first wait. Printed is the worker's RSS
in MB before, and after each step, once it is idle; and that of a second worker which starts beside all of them. The
figure that must not grow is that of `cache` 0; with a cache it grows until that is full. The suite `sleepers` of
bench.py measures the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.rig import Options, WorkerProcess, database, wait_until  # noqa: E402 - needs the path

CACHES = (0, 1_000)
STEPS = (0.1, 0.55, 1.0)  # of all sleepers


def measure(entry: dict[str, Any], sleepers: int) -> list[float]:
    """RSS of a worker with no sleeper, and after each step; then of a second worker. Runs in a fresh process."""
    os.environ["DURABLE_BENCH_DATABASE"] = json.dumps(entry)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from benchmarks import suites

    call_command("migrate", verbosity=0)
    try:
        with WorkerProcess(Options()) as worker:
            suites.warm_up(worker)
            found = [settled(worker)]
            for part in STEPS:
                park(worker, round(sleepers * part))
                found.append(settled(worker))
        with WorkerProcess(Options()) as second:
            suites.warm_up(second)
            found.append(settled(second))
        return found
    finally:
        connections.close_all()


def park(worker: WorkerProcess, total: int) -> None:
    """Start runs until there are *total*, and wait until all of them sleep."""
    from benchmarks import suites
    from benchmarks.project.durable_workflows import sleeper
    from django_durable.models import WorkflowExecution

    asleep = WorkflowExecution.objects.filter(status="RUNNING")
    suites.start_many(total - asleep.count(), sleeper, seconds=86_400)
    wait_until(lambda: asleep.count() == total, worker, pause=0.1)


def settled(worker: WorkerProcess) -> float:
    """The RSS of a worker that has nothing left to do."""
    time.sleep(1.0)  # a page that is freed late would be counted otherwise
    worker.check()
    return worker.rss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["sqlite", "postgres", "all"], default="all")
    parser.add_argument("--sleepers", type=int, default=20_000)
    given = parser.parse_args()
    backends = ("sqlite", "postgres") if given.backend == "all" else (given.backend,)
    steps = "".join(f" {round(given.sleepers * part):>8}" for part in STEPS)
    print(f"{'backend':<8} {'cache':>6} {'none':>8}{steps} {'second':>8}   MB of RSS, by sleepers")
    for backend in backends:
        with database(backend) as fresh:
            for cache in CACHES:
                os.environ["DURABLE_BENCH_SETTINGS"] = json.dumps({"WORKFLOW_CACHE_SIZE": cache})
                with fresh() as entry, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    row = pool.submit(measure, entry, given.sleepers).result()
                print(f"{backend:<8} {cache:>6}" + "".join(f" {rss:>8.1f}" for rss in row), flush=True)


if __name__ == "__main__":
    main()
