"""Tells each lie in a copy of the tree, and sees whether the tests that are named for it find it."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.teeth.mutation import ROOT
from tests.teeth.workshop import Outcome, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.teeth.mutation import Mutation
    from tests.teeth.workshop import Trial

PROCESSES = 2
PATIENCE = 600.0  # seconds for the tests of one mutation; most take some, 2,000 worlds a minute


class Unsound(Exception):
    """The tests prove nothing: they do not pass without a lie, or other code than the copy's was imported."""


@dataclass(frozen=True, slots=True)
class Finding:
    mutation: Mutation
    trial: Trial

    @property
    def found_by(self) -> list[str]:
        return [test for test, outcome in self.trial.outcomes.items() if outcome is Outcome.FAILED]

    @property
    def missed_by(self) -> list[str]:
        return [test for test in self.mutation.caught_by if test not in self.found_by]

    @property
    def survived(self) -> bool:
        return bool(self.missed_by)


class Runner:
    """Use as a context: the copies are gone afterwards."""

    def __init__(self, root: Path = ROOT, *, processes: int = PROCESSES, patience: float = PATIENCE) -> None:
        self._root = root
        self._processes = processes
        self._patience = patience
        self._free: SimpleQueue[Workshop] = SimpleQueue()

    def __enter__(self) -> Runner:
        self._place = tempfile.TemporaryDirectory(prefix="durable-teeth-", ignore_cleanup_errors=True)
        for number in range(self._processes):
            workshop = Workshop(self._root, Path(self._place.name).resolve() / str(number))
            if strangers := workshop.strangers():
                raise Unsound(f"not the copy's code: {', '.join(strangers)}")
            self._free.put(workshop)
        return self

    def __exit__(self, *exc: object) -> None:
        self._place.cleanup()

    def check(self, mutations: Sequence[Mutation]) -> None:
        """Raises `Unsound` for tests that do not pass as long as nobody lies."""
        tests = sorted({test for mutation in mutations for test in mutation.caught_by})
        shares = [share for n in range(self._processes) if (share := tests[n :: self._processes])]
        with ThreadPoolExecutor(self._processes) as pool:
            trials = list(pool.map(self._honest, shares))
        bad = [f"{test} {how}" for trial in trials for test, how in trial.outcomes.items() if how != Outcome.PASSED]
        if bad:
            said = "\n".join(trial.said[-3000:] for trial in trials)
            raise Unsound("without any lie:\n  " + "\n  ".join(bad) + f"\n{said}")

    def findings(self, mutations: Sequence[Mutation]) -> Iterator[Finding]:
        """One for each mutation, in their order."""
        with ThreadPoolExecutor(self._processes) as pool:
            yield from pool.map(self._try, mutations)

    def _honest(self, tests: Sequence[str]) -> Trial:
        with self._workshop() as workshop:
            return workshop.run(tests, self._patience * len(tests))

    def _try(self, mutation: Mutation) -> Finding:
        with self._workshop() as workshop, workshop.telling(mutation):
            return Finding(mutation, workshop.run(mutation.caught_by, self._patience))

    @contextmanager
    def _workshop(self) -> Iterator[Workshop]:
        workshop = self._free.get()
        try:
            yield workshop
        finally:
            self._free.put(workshop)
