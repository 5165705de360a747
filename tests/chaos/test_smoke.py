"""A short run of chaos on two pairs; `nox -s chaos` has a long one on all."""

from __future__ import annotations

import pytest

from tests.chaos.chaos import run_chaos
from tests.chaos.faults import possible_on

SECONDS = 15.0
SEED = 1  # plans and programs are the same each time; when exactly which worker is where is not


@pytest.mark.promise("P1", "P3", "P6", "P7", "P9")
@pytest.mark.parametrize("pair", ["postgres-with-redis", "postgres-with-postgres"])
def test_nothing_is_lost_while_workers_and_servers_die(pair):
    outcome = run_chaos(pair, seed=SEED, seconds=SECONDS)
    assert not outcome.verdict.complaints, str(outcome)
    assert set(outcome.done) == set(possible_on(pair)), str(outcome)
