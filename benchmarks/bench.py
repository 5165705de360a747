"""How fast it is. Everything here is one client process, one `durable_worker` process, and a fresh database.

    python benchmarks/bench.py --tasks 20 --concurrency 10 --payload-size 0 --backend sqlite

prints the start-to-finish latency of workflows with one activity, and how many of them came through per second:

    backend  conc payload  p50(ms)  p95(ms)  throughput

from the call of `start_workflow` in this process to the moment at which it sees the run closed; benchmarks/README.md
says how to read it. Other suites, each a table of all backends:

    latency       the table above (the default)
    idle-latency  one run at a time on an idle worker
    throughput    --runs started beforehand, drained by one worker
    sequential    one run with --steps activities, and one with twice as many
    sleepers      memory and CPU of a worker while --sleepers runs sleep
    idle          CPU and statements of a worker with nothing to do, watched for --seconds
    limits        the bare statements of --runs, as the ceiling of `throughput`
    all           every one of them
"""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.rig import BACKENDS, Options, Row, database, in_fresh_process  # noqa: E402 - needs the path

if TYPE_CHECKING:
    from collections.abc import Callable

# Columns are only ever added on the right: people have scripts that read these.
HEADER = "backend  conc payload  p50(ms)  p95(ms)  throughput"


def latency_line(backend: str, o: Options, row: Row) -> str:
    return (
        f"{backend:<8} {o.concurrency:>4} {o.payload_size:>7}  {row['p50']:>7.2f}  {row['p95']:>7.2f}  "
        f"{row['throughput']:>10.1f}"
    )


def idle_latency_line(backend: str, o: Options, row: Row) -> str:
    return f"{backend:<8} {row['p50']:>8.2f} {row['p95']:>8.2f} {row['picked']:>11.2f} {row['stored']:>11.2f}"


def throughput_line(backend: str, o: Options, row: Row) -> str:
    return (
        f"{backend:<8} {row['runs']:>6.0f} {row['per_second']:>8.0f} {row['per_second min']:>8.0f} "
        f"{row['per_second max']:>8.0f} {row['cpu'] * 1e3:>12.0f} {row['busy']:>7.2f}"
    )


def sequential_line(backend: str, o: Options, row: Row) -> str:
    return (
        f"{backend:<8} {row['steps']:>6.0f} {row['seconds']:>8.3f} {row['twice']:>8.3f} {row['ratio']:>6.2f} "
        f"{row['seconds'] / row['steps'] * 1e6:>8.0f} {row['busy']:>7.2f}"
    )


def sleepers_line(backend: str, o: Options, row: Row) -> str:
    return (
        f"{backend:<8} {row['runs']:>6.0f} {row['parked']:>9.1f} {row['rss']:>9.1f} {row['rss_after']:>9.1f} "
        f"{row['cpu']:>12.2f} {row['cpu_after']:>12.2f} {row['statements_after']:>7.1f}"
    )


def idle_line(backend: str, o: Options, row: Row) -> str:
    return (
        f"{backend:<8} {row['cpu']:>12.2f} {row['statements'] * _tick(o):>16.2f} "
        f"{row['others'] * 60:>15.1f} {row['rss']:>8.1f}"
    )


def limits_line(backend: str, o: Options, row: Row) -> str:
    phases = " ".join(f"{row[phase]:>9.1f}" for phase in ("claim", "load", "first", "last"))
    return f"{backend:<8} {row['runs']:>6.0f} {row['per_second']:>8.0f} {phases}"


SUITES: dict[str, tuple[str, Callable[[str, Options, Row], str]]] = {
    "latency": (HEADER, latency_line),
    "idle-latency": ("backend   p50(ms)  p95(ms)  decided(ms)  closing(ms)", idle_latency_line),
    "throughput": ("backend    runs     wf/s      min      max  CPU(us)/wf    busy", throughput_line),
    "sequential": ("backend   steps  seconds    twice  ratio  us/step    busy", sequential_line),
    "sleepers": (
        "backend    runs parked(s)   RSS(MB)  with(MB)  CPU(s)/min    with them  SQL/s",
        sleepers_line,
    ),
    "idle": ("backend    CPU(s)/min    SQL/tick(loop)  SQL/min(others)  RSS(MB)", idle_line),
    "limits": ("backend    runs     wf/s     claim      load     first      last  (us/wf)", limits_line),
}
PROFILED = ("throughput", "sequential")


def _tick(o: Options) -> float:
    """Seconds; what durable_worker does unless told otherwise."""
    return float(o.worker[o.worker.index("--tick") + 1]) if "--tick" in o.worker else 0.2


def measure(suite: str, backend: str, fresh: Callable[[], Any], o: Options, repeat: int) -> Row:
    """The median of each figure; ``name min`` and ``name max`` beside it."""
    rows = []
    for _ in range(repeat):
        with fresh() as entry:
            rows.append(in_fresh_process(suite.replace("-", "_"), entry, o))
    merged: Row = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        merged |= {name: median(values), f"{name} min": min(values), f"{name} max": max(values)}
    return merged


def profile(suite: str, backend: str, fresh: Callable[[], Any], o: Options, folder: Path) -> None:
    """Where the time of the loop's thread goes: on the clock, and by cProfile; the second into a file."""
    with fresh() as entry:
        facts = in_fresh_process(suite, entry, replace(o, watch="clocks"))
    text = clocks(facts, "step" if suite == "sequential" else "workflow")
    print(f"\n{suite}, {backend}: the loop's thread\n{text}")
    with fresh() as entry:
        listing = in_fresh_process(suite, entry, replace(o, watch="profile"))["text"]
    file = folder / f"{suite}-{backend}.txt"
    file.write_text(f"{suite} of {facts['units']}, {backend}\n\n{text}\n\ncProfile\n{listing}")
    print(f"top 25 of cProfile: {file}")


def clocks(facts: Row, unit: str) -> str:
    """The loop's thread: the time it computed, waited for the database, waited for the GIL, rested."""
    wall, cpu, calls, units = facts["wall"], facts["loop_cpu"], facts["calls"], facts["units"]
    inside = ("statements", "commits", "rest")
    engine = {"wall": wall["loop"], "cpu": cpu["loop"]}
    for name in inside:
        engine["wall"] -= wall.get(name, 0.0)
        engine["cpu"] -= cpu.get(name, 0.0)
    lines = [f"{'us per ' + unit:<22} {'wall':>8} {'CPU':>8} {'waiting':>8} {'calls per 100':>14}"]
    for name, on_wall, of_cpu, count in [
        ("engine", engine["wall"], engine["cpu"], calls.get("(round)", 0)),
        *((name, wall.get(name, 0.0), cpu.get(name, 0.0), calls.get(name, 0)) for name in inside),
        ("all", wall["loop"], cpu["loop"], 0),
    ]:
        waiting = on_wall - of_cpu
        per = 1e6 / units
        lines.append(
            f"{name:<22} {on_wall * per:>8.1f} {of_cpu * per:>8.1f} {waiting * per:>8.1f} {count / units * 100:>14.1f}"
        )
    lines.append(
        f"engine waiting: for the GIL or a core. CPU of the whole process from its start: {facts['cpu']:.2f} s"
    )
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Options()
    known = "; ".join(f"{name}: {what}" for name, what in BACKENDS.items())
    parser.add_argument(
        "--backend", action="append", choices=[*BACKENDS, "all"], help=f"repeatable; all: sqlite, postgres. {known}"
    )
    parser.add_argument("--suite", action="append", choices=[*SUITES, "all"], help="repeatable; default: latency")
    parser.add_argument("--repeat", type=int, default=1, help="every figure is the median of so many runs (1)")
    parser.add_argument("--tasks", type=int, default=defaults.tasks, help="workflows of latency, idle-latency (20)")
    parser.add_argument(
        "--pause", type=float, default=defaults.pause, help="seconds between those of idle-latency (0.05)"
    )
    parser.add_argument("--concurrency", type=int, default=defaults.concurrency, help="of them in flight (10)")
    parser.add_argument("--payload-size", type=int, default=defaults.payload_size, help="characters (0)")
    parser.add_argument("--runs", type=int, default=defaults.runs, help="workflows of throughput and limits (5000)")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="activities of sequential (1000)")
    parser.add_argument("--sleepers", type=int, default=defaults.sleepers, help="runs that sleep (20000)")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="that an idle worker is watched (30)")
    parser.add_argument("--worker", default="", help="further arguments of durable_worker: --worker='--threads 4'")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="benchmarks/profiles",
        metavar="FOLDER",
        help="instead of measuring, profile the loop's thread in throughput and sequential; listings go to FOLDER",
    )
    given = parser.parse_args(arguments)
    if min(given.tasks, given.concurrency, given.runs, given.steps, given.repeat) < 1 or given.payload_size < 0:
        parser.error("counts begin at 1, sizes at 0")
    return given


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    o = Options(
        tasks=given.tasks,
        concurrency=given.concurrency,
        payload_size=given.payload_size,
        pause=given.pause,
        runs=given.runs,
        steps=given.steps,
        sleepers=given.sleepers,
        seconds=given.seconds,
        worker=tuple(shlex.split(given.worker)),
    )
    asked = given.backend or ["sqlite"]
    backends = dict.fromkeys(name for one in asked for name in (("sqlite", "postgres") if one == "all" else (one,)))
    suites = given.suite or (list(PROFILED) if given.profile else ["latency"])
    if "all" in suites:
        suites = list(SUITES)
    with ExitStack() as stack:
        makers = {backend: stack.enter_context(database(backend)) for backend in backends}
        if given.profile:
            folder = Path(given.profile)
            folder.mkdir(parents=True, exist_ok=True)
            for suite in suites:
                if suite in PROFILED:
                    for backend, fresh in makers.items():
                        profile(suite, backend, fresh, o, folder)
            return
        for number, suite in enumerate(suites):
            header, line = SUITES[suite]
            print(f"\n{header}" if number else header, flush=True)
            for backend, fresh in makers.items():
                print(line(backend, o, measure(suite, backend, fresh, o, given.repeat)), flush=True)


if __name__ == "__main__":
    main()
