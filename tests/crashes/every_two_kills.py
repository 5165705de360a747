"""Two deaths, at every two crash points: for the night, as `nox -s kills` runs it."""

from __future__ import annotations

from itertools import product

import pytest

from tests.crashes.killing import MOST_REPEATED, die_at_or_be_done, end_well, repeated, start_everything
from tests.crashes.test_kill_matrix import BESIDE, REPEATED

POINTS = [*REPEATED, *BESIDE]


@pytest.mark.parametrize(("first", "second"), list(product(POINTS, repeat=2)))
def test_run_survives_deaths_at(first, second, quiet_site, queue, key):
    handle = start_everything(quiet_site, queue, key)
    deaths = sum(die_at_or_be_done(point, quiet_site, queue, handle) for point in (first, second))
    end_well(quiet_site, queue, handle)
    assert sum(repeated(key).values()) <= deaths * MOST_REPEATED
