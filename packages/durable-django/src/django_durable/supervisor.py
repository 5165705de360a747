"""``durable_worker --procs N``: a parent that keeps N worker processes alive.

Each child gets its worker id from the parent, which therefore can bury a dead one at once: what it had claimed goes to
the others, and a new process takes its place, the sooner the longer the old one lived. The parent opens a database
connection to bury somebody and closes it again; it has none when it starts a process.

Children are in process groups of their own, so that Ctrl-C in a terminal reaches them once, through the parent.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connections

from django_durable.engine import engine
from django_durable.stopping import listening
from durable_core.errors import StoreUnavailable
from durable_core.ports import new_id
from durable_core.worker import bury

logger = logging.getLogger("durable.supervisor")

REPLACE_ME = 75  # exit code of a child that drained because it is no good any more (EX_TEMPFAIL)
LOOK = 0.1  # seconds between two looks at the children
FIRST_PAUSE = 0.1  # seconds before a dead child is replaced; doubles with each death in a row
LONGEST_PAUSE = 10.0
HEALTHY = 10.0  # seconds of life after which a death is not one in a row
PATIENCE = 10.0  # seconds beyond the drain timeout that children get before they are killed
FORCED_PATIENCE = 5.0
# A second SIGTERM would merge with a first that the child has not heard yet, and it would hear one.
ASK_AGAIN = signal.SIGINT


@dataclass(slots=True)
class _Place:
    """One of the N, and who has it."""

    number: int
    worker_id: UUID = field(default_factory=new_id)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0  # monotonic seconds
    start_at: float = 0.0  # not before
    deaths: int = 0  # in a row
    is_done: bool = False  # it ended as it was meant to


class Supervisor:
    """Run it in the main thread: `run` returns the exit code."""

    def __init__(self, procs: int, command: Callable[[UUID], Sequence[str]], *, drain_timeout: float) -> None:
        self._places = [_Place(number) for number in range(1, procs + 1)]
        self._command = command  # the command line of a child with this worker id
        self._drain_timeout = drain_timeout
        self._wake = threading.Event()
        self._asked = 0  # how often to stop
        self._told = 0  # how often the children were
        self._kill_at: float | None = None
        self._unclean = False

    def run(self) -> int:
        with listening(self._on_signal):
            try:
                while not self._is_over():
                    self._look()
                    self._wake.wait(LOOK)
            finally:
                self._kill()
        return 1 if self._unclean else 0

    def _on_signal(self, number: signal.Signals) -> None:
        self._asked += 1
        self._wake.set()

    def _is_over(self) -> bool:
        if any(place.process is not None for place in self._places):
            return False
        return bool(self._asked) or all(place.is_done for place in self._places)

    def _look(self) -> None:
        self._wake.clear()
        for place in self._places:
            if place.process is not None and (code := place.process.poll()) is not None:
                self._on_exit(place, code)
        if self._asked > self._told:
            self._pass_on()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill()
        if not self._asked:
            for place in self._places:
                if place.process is None and not place.is_done and time.monotonic() >= place.start_at:
                    self._start(place)

    def _start(self, place: _Place) -> None:
        place.worker_id = new_id()
        place.started = time.monotonic()
        place.process = subprocess.Popen(list(self._command(place.worker_id)), process_group=0)
        logger.info("worker %d is process %d", place.number, place.process.pid, extra=_ids(place))

    def _on_exit(self, place: _Place, code: int) -> None:
        assert place.process is not None
        pid, place.process = place.process.pid, None
        if code == 0:
            place.is_done = True
            return
        if code == REPLACE_ME:
            logger.info("worker %d (process %d) is replaced", place.number, pid, extra=_ids(place))
            return
        if self._told and code == -signal.SIGTERM:
            place.is_done = True  # ours, and it was not up yet or gone already: it held nothing
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        logger.error("worker %d (process %d) %s", place.number, pid, how, extra=_ids(place))
        self._unclean = bool(self._asked)
        self._bury(place.worker_id)
        lived = time.monotonic() - place.started
        place.deaths = 1 if lived >= HEALTHY else place.deaths + 1
        pause = min(FIRST_PAUSE * 2 ** (place.deaths - 1), LONGEST_PAUSE)
        place.start_at = time.monotonic() + pause

    def _bury(self, worker_id: UUID) -> None:
        made = engine()
        try:
            bury([worker_id], made.store, made.queue, max_crashes=made.conf.max_crashes)
        except StoreUnavailable as error:
            logger.warning("a dead worker could not be buried, others will find it in a while: %s", error)
        finally:
            connections.close_all()

    def _pass_on(self) -> None:
        self._told += 1
        patience = FORCED_PATIENCE if self._told > 1 else self._drain_timeout + PATIENCE
        self._kill_at = time.monotonic() + patience
        logger.info("draining" if self._told == 1 else "asked again to stop: giving up what still runs")
        for place in self._places:
            if place.process is not None:
                with suppress(ProcessLookupError):
                    place.process.send_signal(ASK_AGAIN if self._told == 2 else signal.SIGTERM)

    def _kill(self) -> None:
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                logger.error("worker %d (process %d) does not stop: killed", place.number, place.process.pid)
                place.process.kill()
                place.process.wait()


def _ids(place: _Place) -> dict[str, str]:
    return {"worker": str(place.worker_id), "parent_pid": str(os.getpid())}
