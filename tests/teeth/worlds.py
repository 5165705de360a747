"""Simulated worlds as a test that lies can name. It is not collected by itself: these worlds are known to be sound."""

from __future__ import annotations

from tests.simulation.many import simulate_many

SEEDS = range(1, 2001)


def test_worlds_are_sound() -> None:
    summary = simulate_many(SEEDS, jobs=1, until_failure=True)
    assert [(verdict.seed, verdict.complaints[:1]) for verdict in summary.failed] == []
