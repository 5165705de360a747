"""Worlds of real worker loops, a queue that lies, and processes that die: same seed, same world; no seed may fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.many import fresh_seed, simulate_many
from tests.simulation.simulation import simulate

ROOT = Path(__file__).parents[2]
SHARES = 6  # of the fresh seeds, so that several processes can take one each
FRESH = 3_000
SEED = 12


@pytest.mark.promise("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P9")
@pytest.mark.parametrize("share", range(SHARES))
def test_fresh_seeds_are_good(share: int) -> None:
    number = FRESH // SHARES
    first = fresh_seed() + share * number
    print(f"worlds {first} to {first + number - 1}")
    summary = simulate_many(range(first, first + number), jobs=1)
    assert summary.worlds == number
    assert not summary.failed, summary.failed[0].report


def test_same_seed_is_the_same_world() -> None:
    assert simulate(SEED).digest == simulate(SEED).digest != simulate(SEED + 1).digest


def test_same_seed_is_the_same_world_in_another_process() -> None:
    seeds = [str(seed) for seed in range(SEED, SEED + 8)]
    answers = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", *seeds],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    ]
    assert answers[0] == answers[1]
    assert answers[0].count("good") == len(seeds)
