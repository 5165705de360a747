"""All interleavings of two who want something of one run: one wins, the loser is told, and the audit is clean."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import combinations_with_replacement

import pytest

from tests.simulation.races import RIVALS, Result, race

FEWEST = 6  # interleavings of any two: each takes a turn to begin, and at least one more
OPEN, DONE, LATE = "CANCELED", "COMPLETED", "TIMED_OUT"  # what was open is canceled when its run closes

# What the two were told; how the run, its child and its activity ended. Everything that can come out, and nothing else.
TABLE: dict[tuple[str, str], set[tuple[str, ...]]] = {
    ("start", "start"): {("found", "found", DONE, OPEN, OPEN)},
    ("start", "signal"): {("found", "sent", DONE, OPEN, OPEN)},
    ("start", "cancel"): {
        ("found", "canceled", "CANCELED", OPEN, OPEN),
        ("started", "canceled", "CANCELED", OPEN, OPEN),
    },
    ("start", "complete"): {("found", "decided", DONE, OPEN, OPEN), ("started", "decided", DONE, OPEN, OPEN)},
    ("start", "time out"): {("found", "decided", LATE, OPEN, OPEN), ("started", "decided", LATE, OPEN, OPEN)},
    ("start", "outcome"): {("found", "accepted", DONE, OPEN, DONE)},
    ("start", "burial"): {("found", "buried", DONE, OPEN, OPEN)},
    ("start", "child closes"): {("found", "decided", DONE, DONE, OPEN)},
    ("signal", "signal"): {("sent", "sent", DONE, OPEN, OPEN)},
    ("signal", "cancel"): {
        ("sent", "canceled", "CANCELED", OPEN, OPEN),
        ("closed", "canceled", "CANCELED", OPEN, OPEN),
    },
    ("signal", "complete"): {("sent", "decided", DONE, OPEN, OPEN), ("closed", "decided", DONE, OPEN, OPEN)},
    ("signal", "time out"): {("sent", "decided", LATE, OPEN, OPEN), ("closed", "decided", LATE, OPEN, OPEN)},
    ("signal", "outcome"): {("sent", "accepted", DONE, OPEN, DONE)},
    ("signal", "burial"): {("sent", "buried", DONE, OPEN, OPEN)},
    ("signal", "child closes"): {("sent", "decided", DONE, DONE, OPEN)},
    ("cancel", "cancel"): {
        ("canceled", "too late", "CANCELED", OPEN, OPEN),
        ("too late", "canceled", "CANCELED", OPEN, OPEN),
    },
    ("cancel", "complete"): {
        ("canceled", "decided", "CANCELED", OPEN, OPEN),
        ("too late", "decided", DONE, OPEN, OPEN),
    },
    ("cancel", "time out"): {
        ("canceled", "decided", "CANCELED", OPEN, OPEN),
        ("too late", "decided", LATE, OPEN, OPEN),
    },
    ("cancel", "outcome"): {("canceled", "accepted", "CANCELED", OPEN, DONE)},
    ("cancel", "burial"): {
        ("canceled", "buried", "CANCELED", OPEN, OPEN),
        ("canceled", "buried", "CANCELED", OPEN, "FAILED"),  # it was buried, and so in the queue again
    },
    ("cancel", "child closes"): {
        ("canceled", "decided", "CANCELED", OPEN, OPEN),
        ("canceled", "decided", "CANCELED", DONE, OPEN),
    },
    ("complete", "complete"): {("decided", "decided", DONE, OPEN, OPEN)},
    ("complete", "time out"): {("decided", "decided", DONE, OPEN, OPEN)},  # its word had come, and is read first
    ("complete", "outcome"): {("decided", "accepted", DONE, OPEN, DONE)},
    ("complete", "burial"): {("decided", "buried", DONE, OPEN, OPEN)},
    ("complete", "child closes"): {("decided", "decided", DONE, DONE, OPEN)},
    ("time out", "time out"): {("decided", "decided", LATE, OPEN, OPEN)},
    ("time out", "outcome"): {("decided", "accepted", LATE, OPEN, DONE)},
    ("time out", "burial"): {("decided", "buried", LATE, OPEN, OPEN)},
    ("time out", "child closes"): {("decided", "decided", LATE, DONE, OPEN)},
    ("outcome", "outcome"): {
        ("accepted", "refused", DONE, OPEN, DONE),
        ("refused", "accepted", DONE, OPEN, DONE),
    },
    ("outcome", "burial"): {
        ("accepted", "buried", DONE, OPEN, DONE),
        ("refused", "buried", DONE, OPEN, OPEN),
    },
    ("outcome", "child closes"): {("accepted", "decided", DONE, DONE, DONE)},
    ("burial", "burial"): {("buried", "buried", DONE, OPEN, OPEN)},
    ("burial", "child closes"): {("buried", "decided", DONE, DONE, OPEN)},
    ("child closes", "child closes"): {("decided", "decided", DONE, DONE, OPEN)},
    # How the newest run ended: it reads what the first has not, and a cancel finds it.
    ("start", "continue"): {("found", "decided", DONE, OPEN, OPEN)},
    ("signal", "continue"): {("sent", "decided", DONE, OPEN, OPEN)},
    ("cancel", "continue"): {("canceled", "decided", "CANCELED", OPEN, OPEN)},
    ("complete", "continue"): {("decided", "decided", DONE, OPEN, OPEN)},
    ("time out", "continue"): {("decided", "decided", DONE, OPEN, OPEN)},  # the next run has its own time
    ("outcome", "continue"): {("accepted", "decided", DONE, OPEN, DONE)},
    ("burial", "continue"): {("buried", "decided", DONE, OPEN, OPEN)},
    ("child closes", "continue"): {("decided", "decided", DONE, DONE, OPEN)},
    ("continue", "continue"): {("decided", "decided", DONE, OPEN, OPEN)},
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of burials are nothing to read about."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def told(result: Result) -> tuple[str, ...]:
    return (*result.told, str(result.status), str(result.child), str(result.task))


def test_table_has_every_pair() -> None:
    assert set(TABLE) == set(combinations_with_replacement(RIVALS, 2))


@pytest.mark.promise("P2", "P3", "P6", "P7")
@pytest.mark.parametrize("transactional", [True, False], ids=["joining the store", "beside the store"])
@pytest.mark.parametrize(("first", "second"), TABLE, ids=["-".join(pair) for pair in TABLE])
def test_every_interleaving_ends_well(first: str, second: str, transactional: bool) -> None:
    met = race(first, second, transactional=transactional)
    assert not met.complaints
    assert {told(result) for result in met.results} == TABLE[first, second]
    assert met.number == sum(met.results.values()) >= FEWEST
    print(f"{first} / {second}: {met.number} interleavings, {len(met.results)} results")
