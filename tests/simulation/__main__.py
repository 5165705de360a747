"""Worlds from the command line.

python -m tests.simulation 4711                       one seed, and what happened if it fails, from the first step
python -m tests.simulation 4711 --save                keep its programs: it has found something
python -m tests.simulation --seeds 3000               so many fresh seeds; the first is told
python -m tests.simulation --seeds 3000 --from 90000  these seeds
python -m tests.simulation --seeds 100000 --jobs 2    in two processes
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.simulation.many import Summary, fresh_seed, simulate_many
from tests.simulation.orders import save
from tests.simulation.simulation import simulate

SHOWN = 3  # reports of seeds that failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate worlds of workers.")
    parser.add_argument("seed", nargs="*", type=int, help="these alone")
    parser.add_argument("--save", action="store_true", help="keep their programs, for seeds.py")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="so many worlds")
    parser.add_argument("--from", type=int, default=None, dest="first", metavar="SEED", help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--until-failure", action="store_true", help="end with the first that fails")
    options = parser.parse_args()
    seeds = options.seed or ([int(os.environ["SIM_SEED"])] if "SIM_SEED" in os.environ and not options.seeds else [])
    if seeds:
        verdicts = [simulate(seed, kept=None) for seed in seeds]
        for verdict in verdicts:
            print(verdict.report or f"seed {verdict.seed}: good, {verdict.digest}")
            if options.save:
                save(verdict.seed, verdict.orders)
        return int(any(not verdict.is_good for verdict in verdicts))
    if not options.seeds:
        parser.error("name seeds, or say how many: --seeds N")
    first = fresh_seed() if options.first is None else options.first
    print(f"worlds {first} to {first + options.seeds - 1}", flush=True)
    began = time.monotonic()
    summary = simulate_many(range(first, first + options.seeds), jobs=options.jobs, until_failure=options.until_failure)
    _tell(summary, time.monotonic() - began)
    return int(bool(summary.failed))


def _tell(summary: Summary, seconds: float) -> None:
    for verdict in summary.failed[:SHOWN]:
        print(verdict.report)
    for verdict in summary.failed:
        print(f"SIM_SEED={verdict.seed} python -m tests.simulation  # {verdict.complaints[0][:200]}")
    rate = summary.worlds / seconds
    print(f"{summary.worlds} worlds, {len(summary.failed)} failed, {seconds:.0f} s, {rate:.0f} a second")


if __name__ == "__main__":
    sys.exit(main())
