"""What a worker needs of threads, behind one object: a simulation brings strands of its own, on one real thread."""

from __future__ import annotations

import ctypes
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.ports import Event


class Channel(Protocol):
    """Hands over things from thread to thread, in the order they came."""

    def put(self, item: Any, /) -> None: ...

    def get(self) -> Any:
        """The next one; waits for it."""


class Thread(Protocol):
    def join(self) -> None:
        """Until it has ended."""


class Threads(Protocol):
    """How a worker makes threads, and what they tell each other with."""

    def start(self, work: Callable[[], None], name: str) -> Thread:
        """A thread that the process does not wait for at its end."""

    def current(self) -> int:
        """Which thread calls, for `interrupt`."""

    def interrupt(self, thread_id: int, error: type[BaseException]) -> None:
        """Raise *error* in a thread: in Python code at its next instruction, in C code when that returns."""

    def event(self) -> Event: ...

    def channel(self) -> Channel: ...


class SystemThreads:
    """The threads of this process."""

    def start(self, work: Callable[[], None], name: str) -> Thread:
        # Daemons: an activity that never returns must not keep a drained worker from exiting.
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    current = staticmethod(threading.get_ident)

    def interrupt(self, thread_id: int, error: type[BaseException]) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(error))

    def event(self) -> Event:
        return threading.Event()

    def channel(self) -> Channel:
        return SimpleQueue()
