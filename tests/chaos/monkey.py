"""Carries out a plan of faults."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, assert_never

from tests.chaos.faults import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.crowd import Crowd
    from tests.chaos.place import Place

TERMINATE_LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"


class Monkey:
    def __init__(self, place: Place, crowd: Crowd) -> None:
        self._place = place
        self._crowd = crowd
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self.done: Counter[Kind] = Counter()

    def carry_out(self, faults: list[Fault], *, seconds: float) -> None:
        """Returns when that time has passed, and every fault is over."""
        began, nobody = time.monotonic(), Event()
        for fault in faults:
            self._at(fault.at, lambda fault=fault: self._do(fault))  # type: ignore[misc]
        self._at(seconds, lambda: None)
        while self._agenda:
            at, _, act = heapq.heappop(self._agenda)
            nobody.wait(max(at - (time.monotonic() - began), 0))
            act()

    def _at(self, at: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), act))

    def _do(self, fault: Fault) -> None:
        crowd, over = self._crowd, fault.at + fault.lasts
        self.done[fault.kind] += 1
        match fault.kind:
            case Kind.KILL:
                crowd.kill(fault.worker)
            case Kind.DRAIN:
                crowd.drain(fault.worker)
            case Kind.PAUSE:
                worker = crowd.pause(fault.worker)
                self._at(over, lambda: crowd.go_on(worker))
            case Kind.RESTART_POSTGRES:
                assert self._place.cluster is not None
                self._place.cluster.stop()
                self._at(over, self._place.cluster.start)
            case Kind.DEAFEN:
                self._deafen()
            case Kind.FLUSH_REDIS | Kind.CUT_REDIS:
                self._ask_redis(fault.kind)
            case Kind.RESTART_REDIS:
                assert self._place.redis is not None
                self._place.redis.kill()
                self._at(over, self._place.redis.start)
            case _:
                assert_never(fault.kind)

    def _deafen(self) -> None:
        import psycopg

        assert self._place.cluster is not None
        with suppress(psycopg.OperationalError):  # it is stopped just now
            self._place.cluster.server.execute(TERMINATE_LISTENERS)

    def _ask_redis(self, kind: Kind) -> None:
        import redis

        assert self._place.redis is not None
        with suppress(redis.ConnectionError), self._place.redis.client() as client:
            if kind is Kind.FLUSH_REDIS:
                client.flushall()
            else:
                client.client_kill_filter(_type="normal", skipme=True)
