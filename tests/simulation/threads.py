"""The threads and the clock of a simulated process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.ports import Event
    from durable_core.worker.threads import Thread
    from tests.simulation.hub import Hub, Process, Strand


class SimulatedEvent:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._is_set = False
        self._waiters: list[Strand] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiters, self._waiters = self._waiters, []
        for strand in waiters:
            self._process.hub.wake(strand)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        hub = self._process.hub
        if not self._is_set:
            assert hub.current is not None
            self._waiters.append(hub.current)
            hub.wait(None if timeout is None else timeout / self._process.rate)
            self._waiters = [strand for strand in self._waiters if strand is not hub.current]
        return self._is_set


class SimulatedChannel:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._things: deque[Any] = deque()
        self._waiters: deque[Strand] = deque()

    def put(self, item: Any, /) -> None:
        self._things.append(item)
        if self._waiters:
            self._hub.wake(self._waiters.popleft())

    def get(self) -> Any:
        while not self._things:
            assert self._hub.current is not None
            self._waiters.append(self._hub.current)
            self._hub.wait()
        return self._things.popleft()


class SimulatedThread:
    def __init__(self, hub: Hub, strand: Strand) -> None:
        self._hub = hub
        self._strand = strand

    def join(self) -> None:
        while self._strand in self._strand.process.strands:
            assert self._hub.current is not None
            self._strand.waiters.append(self._hub.current)
            self._hub.wait()


class SimulatedThreads:
    """`Threads` of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def start(self, work: Callable[[], None], name: str) -> Thread:
        hub = self._process.hub
        return SimulatedThread(hub, hub.spawn(self._process, name, work))

    def current(self) -> int:
        strand = self._process.hub.current
        assert strand is not None
        return strand.number

    def interrupt(self, thread_id: int, error: type[BaseException]) -> None:
        """It is raised when the strand goes on, as in a thread that is in C code now."""
        for strand in self._process.strands:
            if strand.number == thread_id:
                strand.error = error

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self._process)

    def channel(self) -> SimulatedChannel:
        return SimulatedChannel(self._process.hub)


class SimulatedClock:
    """`Clock` of one process; it may go fast or slow."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def monotonic(self) -> float:
        return self._process.monotonic()

    def wait(self, event: Event, timeout: float) -> None:
        event.wait(timeout)
