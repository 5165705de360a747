"""What can go wrong in one world, and how often: drawn anew for each seed, so that no fault always hides another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Fault(Enum):
    """What happens to a process where it is."""

    CRASH = "crash"
    PAUSE = "pause"  # past its lease, often: then it is a zombie when it goes on
    CUT_OFF = "cut off"  # from the store and the queue, for a while
    DRAIN = "drain"  # SIGTERM
    REFUSED = "refused"  # a call is not done, and says so
    UNDONE = "undone"  # a call is not done, and nobody can tell
    NO_REPLY = "no reply"  # a call is done, and nobody can tell
    SLOW = "slow"  # a call takes its time


UNCOUNTED = frozenset({Fault.DRAIN, Fault.SLOW})  # after which somebody may be taken for dead, or not


class Lie(Enum):
    """What a queue does instead of what it was told."""

    LOSE = "lose"
    REPEAT = "repeat"
    DELAY = "delay"
    REORDER = "reorder"
    SILENCE = "silence"  # nobody is woken
    FORGET = "forget"  # that an entry was completed, or is claimed
    FLUSH = "flush"  # everything


HINTS_ONLY = frozenset({Lie.LOSE, Lie.FORGET, Lie.FLUSH})  # no queue in the store's own transactions does these


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """One world's conditions."""

    workers: int
    gap: int  # points between two switches, on average
    calm_after: float  # seconds after which nothing goes wrong any more
    faults: Mapping[Fault, float]  # weights
    fault_gap: float  # points between two faults, on average
    busy: float  # how often a row is held by somebody
    transactional: bool  # the queue is in the store's transactions
    lies: Mapping[Lie, float]  # how often
    skew: float  # clocks of workers run up to so many times too fast, or too slow
    deaths: int  # workers that may die, or be taken for dead
    old_code: float  # how often a worker is hired that does not know some names, as in a rolling deployment
    # Workers
    tick: float
    threads: int
    batch: int
    cache_size: int
    heartbeat: float
    worker_timeout: timedelta
    redelivery: timedelta
    lease: timedelta
    preference: timedelta  # for which the queue keeps an entry for who has the run in memory
    max_crashes: int
    latency: float  # seconds that a call takes, at most

    @property
    def is_rough(self) -> bool:
        """Whether an attempt may have to be made again, or somebody may be taken for dead."""
        return bool(self.faults) or self.skew > 1


def drawn(random: Random) -> Weather:
    faults = {fault: random.choice((1.0, 1.0, 4.0)) for fault in Fault if random.random() < 0.6}
    transactional = random.random() < 0.35
    lies = {
        lie: (0.002 if lie is Lie.FLUSH else 1.0) * random.choice((0.02, 0.1, 0.3))
        for lie in Lie
        if random.random() < 0.5 and not (transactional and lie in HINTS_ONLY)
    }
    worker_timeout = random.choice((3.0, 6.0))
    innocent = random.random() < 0.7  # nobody is blamed for a death in this world, so there may be many
    if not innocent:
        faults = {fault: weight for fault, weight in faults.items() if fault not in UNCOUNTED}
    return Weather(
        workers=random.choice((1, 2, 2, 3, 3, 4)),
        gap=random.choice((1, 1, 2, 4, 8)),
        calm_after=random.uniform(2, 12),
        faults=faults,
        fault_gap=random.choice((10, 30, 100, 300)),
        busy=random.choice((0.0, 0.0, 0.05, 0.3)),
        transactional=transactional,
        lies=lies,
        skew=random.choice((1.0, 1.2, 3.0, 5.0)) if innocent else 1.0,
        deaths=1_000 if innocent else 2,
        old_code=random.choice((0.0, 0.0, 0.3)),
        tick=random.choice((0.2, 1.0, 2.0)),
        threads=random.choice((1, 2, 4)),
        batch=random.choice((1, 5, 100)),
        cache_size=random.choice((0, 1, 1_000)),
        heartbeat=worker_timeout / 3,
        worker_timeout=timedelta(seconds=worker_timeout),
        redelivery=timedelta(seconds=random.choice((3, 8))),
        lease=timedelta(seconds=random.choice((4, 15))),
        preference=timedelta(seconds=random.choice((0, 0, 1))),
        max_crashes=1_000 if innocent else 3,
        latency=random.choice((0.0, 0.002, 0.05)),
    )
