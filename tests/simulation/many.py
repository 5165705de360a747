"""Many seeds, in several processes."""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.simulation import Verdict, simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AT_ONCE = 25  # seeds that a process is given
DAY = 86_400
ROOM = 1_000_000  # seeds from one commit, or day, to the next


@dataclass
class Summary:
    worlds: int = 0
    failed: list[Verdict] = field(default_factory=list)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self.worlds += 1
            if not verdict.is_good:
                self.failed.append(verdict)


def simulate_many(seeds: Sequence[int], *, jobs: int, until_failure: bool = False) -> Summary:
    summary = Summary()
    batches = [seeds[place : place + AT_ONCE] for place in range(0, len(seeds), AT_ONCE)]
    if jobs == 1:
        results = map(_simulate, batches)
        return _collect(results, summary, until_failure=until_failure)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        return _collect(pool.imap_unordered(_simulate, batches), summary, until_failure=until_failure)


def _collect(results: Iterable[list[Verdict]], summary: Summary, *, until_failure: bool) -> Summary:
    for verdicts in results:
        summary.add(verdicts)
        if until_failure and summary.failed:
            break
    summary.failed.sort(key=lambda verdict: verdict.seed)
    return summary


def _simulate(seeds: Sequence[int]) -> list[Verdict]:
    return [simulate(seed) for seed in seeds]


def fresh_seed() -> int:
    """The first of a range that this commit has to itself; without a repository, that the hour has."""
    root = Path(__file__).parents[2]
    try:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return int(time.time() // 3600) * ROOM
    return int(said.stdout[:10], 16) // ROOM * ROOM + int(time.time() // DAY) * ROOM
