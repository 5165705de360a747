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
    queue         the queue without the engine, beside plain SQL or bare Redis commands
    all           every one of them
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.backends import BACKENDS, Servers  # noqa: E402 - needs the path
from benchmarks.rig import Options, Row, in_fresh_process  # noqa: E402
from benchmarks.tables import TABLES, width_for  # noqa: E402

# What `all` stands for, and what is measured where none was chosen.
BACKENDS_OF_ALL = ("sqlite", "postgres", "redis")
QUEUES = ("sqlite", "pg-database", "postgres", "pg-dsn", "redis")  # those with a queue of their own, for `queue`
PROFILED = ("throughput", "sequential")


def measure(suite: str, backend: str, servers: Servers, o: Options, repeat: int) -> Row:
    """The median of each figure; ``name min`` and ``name max`` beside it."""
    rows = []
    for _ in range(repeat):
        with servers.fresh(backend) as place:
            rows.append(in_fresh_process(suite.replace("-", "_"), place, o))
    merged: Row = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        merged |= {name: median(values), f"{name} min": min(values), f"{name} max": max(values)}
    return merged


def profile(suite: str, backend: str, servers: Servers, o: Options, folder: Path) -> None:
    """Where the time of the loop's thread goes: on the clock, and by cProfile; the second into a file."""
    with servers.fresh(backend) as place:
        facts = in_fresh_process(suite, place, replace(o, watch="clocks"))
    text = clocks(facts, "step" if suite == "sequential" else "workflow")
    print(f"\n{suite}, {backend}: the loop's thread\n{text}")
    with servers.fresh(backend) as place:
        listing = in_fresh_process(suite, place, replace(o, watch="profile"))["text"]
    file = folder / f"{suite}-{backend}.txt"
    file.write_text(f"{suite} of {facts['units']}, {backend}\n\n{text}\n\ncProfile\n{listing}")
    print(f"top 25 of cProfile: {file}")


def clocks(facts: Row, unit: str) -> str:
    """The loop's thread: the time it computed, waited for the database, waited for the GIL, rested."""
    wall, cpu, calls, units = facts["wall"], facts["loop_cpu"], facts["calls"], facts["units"]
    inside = ("statements", "commits", "queue", "rest")
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
    known = "; ".join(f"{name}: {backend.what}" for name, backend in BACKENDS.items())
    parser.add_argument(
        "--backend",
        action="append",
        choices=[*BACKENDS, "all"],
        help=f"repeatable; default: sqlite, for queue: all. all: {', '.join(BACKENDS_OF_ALL)}; for queue: "
        f"{', '.join(QUEUES)}. {known}",
    )
    parser.add_argument("--suite", action="append", choices=[*TABLES, "all"], help="repeatable; default: latency")
    parser.add_argument("--repeat", type=int, default=1, help="every figure is the median of so many runs (1)")
    parser.add_argument("--tasks", type=int, default=defaults.tasks, help="workflows of latency, idle-latency (20)")
    parser.add_argument(
        "--pause", type=float, default=defaults.pause, help="seconds between those of idle-latency (0.05)"
    )
    parser.add_argument("--concurrency", type=int, default=defaults.concurrency, help="of them in flight (10)")
    parser.add_argument("--payload-size", type=int, default=defaults.payload_size, help="characters (0)")
    parser.add_argument(
        "--runs", type=int, default=defaults.runs, help="workflows of throughput, limits; size of queue (5000)"
    )
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
    suites = given.suite or (list(PROFILED) if given.profile else ["latency"])
    if "all" in suites:
        suites = list(TABLES)
    with Servers() as servers:
        if given.profile:
            folder = Path(given.profile)
            folder.mkdir(parents=True, exist_ok=True)
            for suite in suites:
                if suite in PROFILED:
                    for backend in chosen(given.backend, suite):
                        profile(suite, backend, servers, o, folder)
            return
        for number, suite in enumerate(suites):
            backends, table = chosen(given.backend, suite), TABLES[suite]
            width = width_for(backends)
            print(f"\n{table.headed(width)}" if number else table.headed(width), flush=True)
            for backend in backends:
                row = measure(suite, backend, servers, o, given.repeat)
                print(table.rows(backend, width, o, row), flush=True)


def chosen(asked: list[str] | None, suite: str) -> list[str]:
    """The backends of a suite's table, each once."""
    default = "all" if suite == "queue" else "sqlite"
    of_all = QUEUES if suite == "queue" else BACKENDS_OF_ALL
    return list(dict.fromkeys(name for one in asked or [default] for name in (of_all if one == "all" else (one,))))


if __name__ == "__main__":
    main()
