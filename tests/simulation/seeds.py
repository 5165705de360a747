"""Seeds that found something, kept for ever. What a seed means changes with the simulation; the named test stays."""

from __future__ import annotations

from typing import NamedTuple


class Saved(NamedTuple):
    seed: int
    found: str  # what was wrong with the product
    named_test: str  # which holds it from then on


SAVED = (
    Saved(
        422,
        "what a worker began after its burial was nobody's when it died before its next heartbeat",
        "tests/core/test_worker.py::test_what_a_worker_begins_after_its_burial_and_dies_over_goes_to_others",
    ),
    Saved(
        916,
        "the outcome of an activity was dropped by a worker that had an older state of its run in memory",
        "tests/core/test_stale_runs.py::test_outcome_of_an_activity_that_another_worker_has_scheduled_reaches_the_run",
    ),
    Saved(
        1251,
        "the same, and with it the entry that told of a timer",
        "tests/core/test_stale_runs.py::test_timer_that_another_worker_has_set_wakes_the_run",
    ),
)
