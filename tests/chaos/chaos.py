"""One run of chaos, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from django.db import connections

from tests.chaos.clients import Client
from tests.chaos.crowd import Crowd
from tests.chaos.faults import Fault, Kind, plan
from tests.chaos.ledger import FileLedger
from tests.chaos.monkey import Monkey
from tests.chaos.place import WORKER_TIMEOUT, place_of
from tests.chaos.verdict import Verdict, look_at_all, settle

if TYPE_CHECKING:
    from tests.chaos.clients import Story

WORKERS = 4
CLIENTS = 2


@dataclass
class Outcome:
    pair: str
    seed: int
    seconds: float
    faults: list[Fault]
    done: Counter[Kind]
    stories: list[Story]
    outages: int  # calls of clients whose reply was lost, or that found nobody
    verdict: Verdict

    def __str__(self) -> str:
        """Figures, and all that was wrong with how to see it again."""
        verdict = self.verdict
        kinds = ", ".join(f"{kind.name.lower()} {times}" for kind, times in self.done.most_common())
        statuses = ", ".join(f"{status} {count}" for status, count in verdict.statuses.most_common())
        signals = [signal for story in self.stories for signal in story.signals if signal.acknowledged]
        canceled = sum(story.may_be_canceled for story in self.stories)
        lines = [
            f"{self.pair}, seed {self.seed}, {self.seconds:g} s of faults: {kinds}",
            f"{len(self.stories)} starts, {len(signals)} signals, {canceled} cancels; {self.outages} calls in vain",
            f"{verdict.runs} runs with children: {statuses}; {verdict.effects} effects",
            f"the last run closed {verdict.slowest:.1f} s after the faults had stopped",
            f"{len(verdict.complaints)} complaints",
        ]
        if verdict.complaints:
            again = f"python -m tests.chaos --pair {self.pair} --seed {self.seed} --seconds {self.seconds:g}"
            lines += [f"Again: {again}", "Faults:", *map(str, self.faults), *verdict.complaints]
        return "\n".join(lines)


def run_chaos(pair: str, *, seed: int, seconds: float) -> Outcome:
    faults = plan(Random(seed), pair, seconds, workers=WORKERS, worker_timeout=WORKER_TIMEOUT)
    with place_of(pair) as place:
        site = place.site
        ledger = FileLedger(site.project.folder)
        clients = [Client(f"client{number}", str(seed), site.alias) for number in range(CLIENTS)]
        with Crowd(site.project, WORKERS) as crowd:
            monkey = Monkey(place, crowd)
            for client in clients:
                client.begin()
            try:
                monkey.carry_out(faults, seconds=seconds)
                began = time.monotonic()
            finally:
                for client in clients:
                    client.end()
            connections[site.alias].close()  # it was cut by a restart
            verdict = settle(site, began)
            verdict.complaints += crowd.died_by_themselves()
        stories = [story for client in clients for story in client.stories]
        look_at_all(site, stories, ledger, faults=len(faults), verdict=verdict)
        outages = sum(client.outages for client in clients)
        return Outcome(pair, seed, seconds, faults, monkey.done, stories, outages, verdict)
