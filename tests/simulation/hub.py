"""Strands that take turns: many simulated processes in one real thread, on one clock that moves only when all wait.

A strand is a greenlet that stands for a thread. It runs until it comes to a *point* where others may go first, or waits
for something. Who goes on is drawn from the hub's random generator, so the same seed gives the same order.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil
from typing import TYPE_CHECKING

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SECOND = 1_000_000  # the hub counts in microseconds, as databases do


class Killed(BaseException):
    """Unwinds the strands of a process that died. Nothing they do on the way reaches anybody."""


class Exhausted(BaseException):
    """A world took more steps than any should: somebody turns in circles."""


class Process:
    """What dies at once, stands still at once, and has one clock."""

    def __init__(self, hub: Hub, name: str, *, rate: float = 1.0, offset: float = 0.0) -> None:
        self.hub = hub
        self.name = name
        self.rate = rate  # seconds of its clock per second
        self.offset = offset
        self.is_alive = True
        self.paused_until = 0  # microseconds
        self.frozen: list[Strand] = []  # ready, but for the pause
        self.strands: list[Strand] = []
        self.on_death: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.offset + self.rate * self.hub.now / SECOND

    def __repr__(self) -> str:
        return self.name


class Strand:
    """A thread of a process."""

    __slots__ = ("error", "greenlet", "is_waiting", "name", "number", "process", "ticket", "waiters")

    def __init__(self, process: Process, name: str, number: int, work: Callable[[], None]) -> None:
        self.process = process
        self.name = name
        self.number = number  # from 1, in order of birth
        self.greenlet = greenlet(work)
        self.ticket = 0  # goes up with every wait, so that an old alarm wakes nobody
        self.is_waiting = False
        self.error: type[BaseException] | None = None  # to be raised when it goes on
        self.waiters: list[Strand] = []  # for its end

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class Hub:
    """Lets strands run, one at a time, and moves the clock when all of them wait."""

    def __init__(self, random: Random, *, gap: int = 1, patience: int = 60_000) -> None:
        self.random = random
        self.now = 0  # microseconds
        self.steps = 0
        self.current: Strand | None = None
        self.failures: list[tuple[Strand, BaseException]] = []  # what left a strand
        self.before_switch: Callable[[], None] = lambda: None
        self._gap = gap  # points that a strand passes, on average, before it is the turn of another
        self._left = 1
        self._patience = patience
        self._ready: list[Strand] = []
        self._alarms: list[tuple[int, int, Strand | Callable[[], None], int]] = []
        self._numbers = 0
        self._dying: list[Process] = []
        self._greenlet = getcurrent()

    # From outside

    def spawn(self, process: Process, name: str, work: Callable[[], None]) -> Strand:
        self._numbers += 1

        def live() -> None:
            try:
                work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - whoever looks at the world judges it
                self.failures.append((strand, error))
            process.strands.remove(strand)
            for waiter in strand.waiters:
                self.wake(waiter)

        strand = Strand(process, name, self._numbers, live)
        process.strands.append(strand)
        self._make_ready(strand)
        return strand

    def run(self, until: Callable[[], bool]) -> bool:
        """Until *until* says so, asked whenever time is to move; False if nothing can ever
        happen again, or something left a strand."""
        self._greenlet = getcurrent()
        while True:
            if self._dying:
                self._bury(self._dying.pop())
            elif self._alarms and self._alarms[0][0] <= self.now:
                if until():  # although nobody may ever rest
                    return True
                self._move_time()  # calls take time too: who never rests must not stop the clocks of all others
            elif self._ready:
                strand = self._next()
                self.current = strand
                strand.greenlet.parent = self._greenlet
                strand.greenlet.switch()
                self.current = None
                if self.failures:
                    return False
            elif until():
                return True
            elif not self._move_time():
                return False

    def kill(self, process: Process) -> None:
        """All strands end where they are. The one that runs, if it is one of them, is to raise `Killed`."""
        if process.is_alive:
            process.is_alive = False
            self._dying.append(process)

    def pause(self, process: Process, seconds: float) -> None:
        """The process stands still, its clock does not."""
        until = self.now + ceil(seconds * SECOND)
        process.paused_until = max(process.paused_until, until)
        self._ready, stopped = (
            [strand for strand in self._ready if strand.process is not process],
            [strand for strand in self._ready if strand.process is process],
        )
        process.frozen += stopped
        self.call_at(until, lambda: self.resume(process))

    def resume(self, process: Process) -> None:
        """Unless it is paused for longer."""
        if process.is_alive and process.frozen and self.now >= process.paused_until:
            frozen, process.frozen = process.frozen, []
            self._ready += frozen

    def call_at(self, time: int, call: Callable[[], None]) -> None:
        self._alarm(time, call, 0)

    def call_in(self, seconds: float, call: Callable[[], None]) -> None:
        self._alarm(self.now + ceil(seconds * SECOND), call, 0)

    def wake(self, strand: Strand) -> None:
        """It waits no more."""
        if strand.is_waiting:
            strand.is_waiting = False
            self._make_ready(strand)

    # From strands

    def point(self) -> None:
        """Others may go first."""
        self.steps += 1
        if self.steps > self._patience:
            raise Exhausted(f"{self.steps} steps, and no end")
        self.check_alive()
        self._left -= 1
        if self._left > 0:
            return
        self._left = 1 if self._gap == 1 else self.random.randrange(1, 2 * self._gap)
        strand = self._strand()
        if self._ready or strand.process.paused_until > self.now or strand.error is not None:
            self._make_ready(strand)
            self._switch(strand)

    def check_alive(self) -> None:
        """What the dead do while they are unwound reaches nobody."""
        if self.current is not None and not self.current.process.is_alive:
            raise Killed

    def step_aside(self) -> None:
        """Others go first, if there are any; a strand of a paused process goes on when that is over."""
        strand = self._strand()
        self._make_ready(strand)
        self._switch(strand)

    def wait(self, seconds: float | None = None) -> None:
        """Until somebody wakes this strand, or *seconds* have passed; at least a microsecond, or none would pass."""
        strand = self._strand()
        strand.ticket += 1
        strand.is_waiting = True
        if seconds is not None:
            self._alarm(self.now + max(ceil(seconds * SECOND), 1), strand, strand.ticket)
        self._switch(strand)

    # Inside

    def _strand(self) -> Strand:
        strand = self.current
        assert strand is not None, "only a strand can wait"
        assert getcurrent() is strand.greenlet, "code of a workflow cannot wait for anybody"
        if not strand.process.is_alive:
            raise Killed
        return strand

    def _switch(self, strand: Strand) -> None:
        self.before_switch()
        self._greenlet.switch()
        if not strand.process.is_alive:
            raise Killed
        if strand.error is not None:
            error, strand.error = strand.error, None
            raise error

    def _make_ready(self, strand: Strand) -> None:
        process = strand.process
        (process.frozen if process.paused_until > self.now else self._ready).append(strand)

    def _next(self) -> Strand:
        ready = self._ready
        if len(ready) == 1:
            return ready.pop()
        index = self.random.randrange(len(ready))
        ready[index], ready[-1] = ready[-1], ready[index]
        return ready.pop()

    def _alarm(self, time: int, target: Strand | Callable[[], None], ticket: int) -> None:
        self._numbers += 1
        heappush(self._alarms, (time, self._numbers, target, ticket))

    def _move_time(self) -> bool:
        """To the next moment at which something happens; False if nothing ever will."""
        while self._alarms:
            time, _, target, ticket = heappop(self._alarms)
            if isinstance(target, Strand):
                if not target.is_waiting or target.ticket != ticket or not target.process.is_alive:
                    continue
                self.now = max(self.now, time)
                self.wake(target)
            else:
                self.now = max(self.now, time)
                target()
            return True
        return False

    def _bury(self, process: Process) -> None:
        strands = list(process.strands)
        self._ready = [strand for strand in self._ready if strand.process is not process]
        process.frozen = []
        for strand in strands:
            if not strand.greenlet:  # it has not begun
                continue
            self.current = strand
            strand.greenlet.parent = self._greenlet
            strand.greenlet.throw(Killed)
            self.current = None
            assert strand.greenlet.dead, f"{strand} goes on after its process has died"
        process.strands.clear()
        process.on_death()
