"""An hour under load: does it stay as fast, and as small, as it was at the beginning?

    python benchmarks/soak.py                  1,000,000 runs in 60 minutes on Postgres, by two workers
    python benchmarks/soak.py --minutes 2      a trial at the same pace

One process starts workflows at a steady pace, whether or not anybody keeps up. Most have one activity; some have
several, sleep, wait for a signal, have a child, or an activity that fails once. Every 30 seconds it is looked at: the
memory of the workers, how long runs waited for their first decision and for their end, how long a search of the queue
takes, how many runs are open, the rows and sizes of the tables. When all runs have ended, nothing may be left over, and
`durable_audit` must find nothing in a tenth of them. benchmarks/verdict.py judges; the exit code is 1 if something was
not flat.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.backends import BACKENDS, Place, Servers  # noqa: E402 - needs the path
from benchmarks.load import RUNS_PER_START, Plan, offer  # noqa: E402
from benchmarks.rig import Options, WorkerProcess, wait_until  # noqa: E402
from benchmarks.verdict import Finding, judge  # noqa: E402

if TYPE_CHECKING:
    from benchmarks.sampling import Sample

RUNS = 1_000_000
MINUTES = 60.0
WORKERS = 2
EVERY = 30.0  # seconds between two looks
SAMPLE = 0.1  # of the runs are replayed again and again, in a second process too
LOOKS = 20  # at least, however short a trial is
HEADER = (
    f"{'min':>6} {'offered':>8} {'closed':>8} {'open':>6} {'runs/s':>7} {'claim p50':>9} {'p99':>7} {'done p50':>8} "
    f"{'p99':>7} {'search':>7} {'CPU':>5} {'RSS':>12} {'tables':>9} {'dead':>7}"
)


def main() -> None:
    given = parse()
    per_second = given.runs / RUNS_PER_START / (given.minutes * 60)
    plan = Plan(starts=round(given.runs / RUNS_PER_START), per_second=per_second)
    report: dict[str, Any] = {
        "backend": given.backend,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": given.minutes,
        "runs": given.runs,
        "workers": given.workers,
        "samples": [],
    }
    file = Path(given.json or f"benchmarks/soaks/{given.backend}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    with Servers() as servers, servers.fresh(given.backend) as place:
        set_up(place)
        findings: list[Finding] = []
        for finding in chain(soak(given, plan, report, file), inspect(given.sample)):
            if not findings:
                print(f"\n{'':<4} {'what':<30} {'found':<36} limit")
            print(
                f"{'ok' if finding.ok else 'NOT':<4} {finding.what:<30} {finding.found:<36} {finding.limit}", flush=True
            )
            findings.append(finding)
            report["findings"] = [finding._asdict() for finding in findings]
            file.write_text(json.dumps(report, indent=1))
    print(f"\nall figures: {file}")
    sys.exit(not all(finding.ok for finding in findings))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=BACKENDS, default="postgres", help="(postgres)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="that the load lasts (60)")
    parser.add_argument("--runs", type=int, help="in all; without it as many as keep the pace of 1,000,000 an hour")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes (2)")
    parser.add_argument("--every", type=float, help="seconds between two looks (30; of a trial less)")
    parser.add_argument("--sample", type=float, default=SAMPLE, help="the share of all runs that is audited (0.1)")
    parser.add_argument("--json", metavar="FILE", help="for all figures (benchmarks/soaks/BACKEND-TIME.json)")
    given = parser.parse_args()
    if given.runs is None:
        given.runs = round(RUNS / MINUTES * given.minutes)
    if given.every is None:
        given.every = min(EVERY, given.minutes * 60 / LOOKS)
    if min(given.minutes, given.runs, given.workers, given.every, given.sample) <= 0:
        parser.error("all numbers must be more than 0")
    return given


def set_up(place: Place) -> None:
    """Django, in this process and those to come, on a migrated database."""
    os.environ["DURABLE_BENCH_SETTINGS"] = json.dumps({"QUEUE": place.queue})
    os.environ["DURABLE_BENCH_DATABASE"] = json.dumps(place.database)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def soak(given: argparse.Namespace, plan: Plan, report: dict[str, Any], file: Path) -> list[Finding]:
    """The load from its beginning to the end of its last run."""
    from benchmarks.sampling import Sampler
    from django_durable.models import Worker

    samples: list[Sample] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(WorkerProcess(Options())) for _ in range(given.workers)]
        wait_until(lambda: Worker.objects.count() == given.workers, workers[0])
        starter, offered = stack.enter_context(offering(plan))
        sampler = Sampler([worker.process for worker in workers])
        begun = time.monotonic()
        print(HEADER, flush=True)
        while starter.is_alive():
            starter.join(max(begun + given.every * (len(samples) + 1) - time.monotonic(), 0))
            for worker in workers:
                worker.check()
            sample = sampler.look(offered.value)
            print(line_of(sample, samples[-1] if samples else None), flush=True)
            samples.append(sample)
            report["samples"].append(asdict(sample))
            file.write_text(json.dumps(report))  # whatever becomes of the rest
        if starter.exitcode:
            raise RuntimeError(f"the process that starts runs ended with exit status {starter.exitcode}")
        ended = finish(workers)
        for worker in workers:
            worker.stop()
    under_load = [sample for sample in samples if sample.offered < plan.starts]
    findings = judge(under_load, per_second=plan.per_second)
    return [*findings, Finding("starts", str(offered.value), str(plan.starts), ok=offered.value == plan.starts), ended]


@contextmanager
def offering(plan: Plan) -> Iterator[tuple[Any, Any]]:
    """The process that starts runs, and the number that it counts up."""
    context = get_context("spawn")
    stop, offered = context.Event(), context.Value("q", 0)
    process = context.Process(target=offer, args=(plan, offered, stop))
    process.start()
    try:
        yield process, offered
    finally:
        stop.set()
        process.join()


def finish(workers: list[WorkerProcess]) -> Finding:
    """When all is quiet again."""
    from django_durable.models import WorkflowExecution

    begun = time.monotonic()
    still = WorkflowExecution.objects.filter(finished_at=None)
    wait_until(lambda: not still.exists(), workers[0], pause=0.5)
    return Finding("all closed after (s)", f"{time.monotonic() - begun:.1f}", "300", ok=True)


def inspect(sample: float) -> Iterator[Finding]:
    """What is left of a million runs."""
    from django.db import connections
    from django.db.models import Count

    from django_durable.engine import engine
    from django_durable.models import ActivityTask, Mail, Worker, WorkflowExecution

    ends = dict(WorkflowExecution.objects.values_list("status").annotate(Count("id")))
    left = {
        "entries": sum(stats.ready + stats.claimed + stats.delayed for stats in engine().queue.stats()),
        "mail": Mail.objects.count(),
        "activities": ActivityTask.objects.exclude(status="COMPLETED").count(),
        "workers": Worker.objects.count(),
    }
    connections.close_all()
    told = ", ".join(f"{count} {status}" for status, count in ends.items())
    found = ", ".join(f"{count} {name}" for name, count in left.items() if count) or "nothing"
    yield Finding("ends", told, "COMPLETED", ok=set(ends) == {"COMPLETED"})
    yield Finding("left over", found, "nothing", ok=not any(left.values()))
    yield audit(sample)


def audit(sample: float) -> Finding:
    begun = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.project.manage", "durable_audit"]
    done = subprocess.run(
        [*command, "--sample", str(sample)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    found = "clean" if done.returncode == 0 else f"exit status {done.returncode}"
    return Finding("audit", f"{found}, {time.monotonic() - begun:.0f} s", "clean", ok=done.returncode == 0)


def line_of(sample: Sample, before: Sample | None) -> str:
    span = sample.at - before.at if before else sample.at
    closed = sample.closed - before.closed if before else sample.closed
    cpu = sum(sample.cpu) - sum(before.cpu if before else (0.0,))
    sizes = sum(table["bytes"] for table in sample.tables.values()) / 2**20
    dead = sum(table.get("dead", 0) for table in sample.tables.values())
    rss = "+".join(f"{megabytes:.0f}" for megabytes in sample.rss)
    return (
        f"{sample.at / 60:>6.1f} {sample.offered:>8} {sample.closed:>8} {sample.open:>6} {closed / span:>7.1f} "
        f"{_ms(sample.claim_p50):>9} {_ms(sample.claim_p99):>7} {_ms(sample.done_p50):>8} {_ms(sample.done_p99):>7} "
        f"{_ms(sample.search):>7} {cpu / span:>5.2f} {rss:>12} {sizes:>6.0f} MB {dead:>7}"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: processes and servers go with it
    main()
