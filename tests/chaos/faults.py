"""Which faults there are, and when they happen: a plan, made from a seed before anything runs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random

MEAN_PAUSE = 1.2  # seconds between two faults
LONGEST_PAUSE = 3.0


class Kind(StrEnum):
    KILL = "SIGKILL to a worker, which is replaced"
    PAUSE = "SIGSTOP to a worker, past WORKER_TIMEOUT, then SIGCONT"
    DRAIN = "SIGTERM to a worker, which is replaced at once"
    RESTART_POSTGRES = "Postgres is stopped (immediate), then started"
    DEAFEN = "connections that listen are terminated"
    FLUSH_REDIS = "FLUSHALL"
    RESTART_REDIS = "Redis is killed and comes back empty"
    CUT_REDIS = "connections to Redis are closed"


WEIGHTS = {
    Kind.KILL: 5,
    Kind.PAUSE: 2,
    Kind.DRAIN: 2,
    Kind.RESTART_POSTGRES: 1,
    Kind.DEAFEN: 1,
    Kind.FLUSH_REDIS: 2,
    Kind.RESTART_REDIS: 1,
    Kind.CUT_REDIS: 1,
}


class Fault(NamedTuple):
    at: float  # seconds after the beginning
    kind: Kind
    worker: int  # which one, where it is about a worker
    lasts: float  # seconds, where it has an end

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.kind.name.lower()} (worker {self.worker}, {self.lasts:.2f} s)"


def possible_on(pair: str) -> list[Kind]:
    kinds = [Kind.KILL, Kind.PAUSE, Kind.DRAIN]
    if pair.startswith("postgres"):
        kinds.append(Kind.RESTART_POSTGRES)
    if pair.endswith("with-postgres"):
        kinds.append(Kind.DEAFEN)
    if pair.endswith("redis"):
        kinds += [Kind.FLUSH_REDIS, Kind.RESTART_REDIS, Kind.CUT_REDIS]
    return kinds


def plan(random: Random, pair: str, seconds: float, *, workers: int, worker_timeout: float) -> list[Fault]:
    """One of each kind first, as far as time allows, then at random. The last one is over before the time is."""
    kinds = possible_on(pair)
    first = random.sample(kinds, len(kinds))
    faults: list[Fault] = []
    at = random.uniform(0.5, 1.5)
    while True:
        kind = first.pop() if first else random.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        lasts = _lasting(random, kind, worker_timeout)
        if at >= seconds:
            return faults
        is_whole = all(fault.kind is not kind or kind is Kind.PAUSE or fault.at + fault.lasts < at for fault in faults)
        if is_whole and at + lasts < seconds:  # or a server would be started twice
            faults.append(Fault(at, kind, random.randrange(workers), lasts))
        at += min(random.expovariate(1 / MEAN_PAUSE), LONGEST_PAUSE)


def _lasting(random: Random, kind: Kind, worker_timeout: float) -> float:
    match kind:
        case Kind.PAUSE:
            return worker_timeout * random.uniform(1.2, 2.0)
        case Kind.RESTART_POSTGRES | Kind.RESTART_REDIS:
            return random.uniform(0.0, 1.0)
        case _:
            return 0.0
