"""Chaos by hand, and every night."""

from __future__ import annotations

import argparse
import os
import random
import sys

import django

from tests.sites import PAIRS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults, on each pair (default: 60)")
    parser.add_argument("--pair", choices=PAIRS, action="append", help="of a store and a queue (default: all)")
    parser.add_argument("--seed", type=int, default=None, help="(default: a new one)")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    failed = False
    for pair in options.pair or PAIRS:
        outcome = run_chaos(pair, seed=seed, seconds=options.seconds)
        print(outcome, flush=True)
        failed |= bool(outcome.verdict.complaints)
    return int(failed)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")
    django.setup()
    from tests.chaos.chaos import run_chaos

    sys.exit(main())
