"""Seeds that found something, kept for ever, with the programs that they stood for: `saved` has them.

What else a seed means changes with the simulation; the named test stays.
"""

from __future__ import annotations

from typing import NamedTuple


class Saved(NamedTuple):
    seed: int
    found: str  # what was wrong with the product
    named_test: str  # which holds it from then on


BURIED = "tests/core/test_worker.py::test_what_a_worker_begins_after_its_burial_and_dies_over_goes_to_others"
BURIED_ALIVE = "tests/core/test_worker.py::test_a_worker_buried_alive_is_no_reason_to_give_an_activity_up"
OUTCOME = "tests/core/test_stale_runs.py::test_outcome_of_an_activity_that_another_worker_has_scheduled_reaches_the_run"
TIMER = "tests/core/test_stale_runs.py::test_timer_that_another_worker_has_set_wakes_the_run"
LOST_CLAIM = (
    "tests/core/test_worker.py::"
    "test_claim_whose_reply_was_lost_is_given_back_although_an_earlier_attempt_is_not_reported_yet"
)
CANCELED_LATE = (
    "tests/core/test_reopening.py::test_an_activity_that_was_canceled_and_ran_out_of_time_is_canceled_in_its_row_too"
)
SECOND_ATTEMPT = "tests/core/test_liveness.py::test_newer_attempt_goes_on_when_the_older_one_of_its_task_is_lost"
OVERTAKEN = (
    "tests/core/test_pausing.py::test_an_activity_that_ends_just_before_its_paused_run_does_is_not_left_under_way"
)

SAVED = (
    Saved(422, "what a worker began after its burial was nobody's when it died before its next heartbeat", BURIED),
    Saved(430, "the same", BURIED),
    Saved(916, "an outcome was dropped by a worker that had an older state of its run in memory", OUTCOME),
    Saved(140, "the same", OUTCOME),
    Saved(1251, "so was an entry that told of a timer", TIMER),
    Saved(1029, "the same", TIMER),
    Saved(437, "a second attempt whose claim was lost passed for the first, whose outcome was unreported", LOST_CLAIM),
    Saved(393712000499, "each burial of a worker that went on without a row was charged to its attempts", BURIED_ALIVE),
    Saved(5000189, "a reopened run heard of an activity as canceled whose row said that it timed out", CANCELED_LATE),
    Saved(1096146002334, "a worker dropped its new attempt of a task when its old one was lost", SECOND_ATTEMPT),
    Saved(764731000374, "a worker forgot how an activity had ended when it timed its paused run out", OVERTAKEN),
)
