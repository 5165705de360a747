"""Signals that ask a process to stop, heard in a thread of their own.

Not in a handler: that runs in the main thread between any two of its instructions, where a lock it needs may be held
by the very code it interrupts. The interpreter writes the number of a signal to a pipe; a thread reads it there.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("durable.worker")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_PATIENCE = 5.0  # seconds that threads get to end when the process is at its end


@contextmanager
def listening(stop: Callable[[signal.Signals], None], *, restore: bool = True) -> Iterator[None]:
    """Call *stop* for each SIGTERM and SIGINT; what was there before comes back afterwards.

    Not with *restore* False, for a process that ends then: there a late signal is ignored, or it would be killed in its
    last steps (Python's own handlers go before the process does).

    Only the main thread can ask for signals: in another one (a test that runs a worker there) none are heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before_fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, _heard) for number in SIGNALS}
    thread = threading.Thread(target=_listen, args=(ours, stop), name="durable-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if restore else signal.SIG_IGN)
        signal.set_wakeup_fd(before_fd)
        theirs.close()  # the thread reads the end
        thread.join()


def _listen(ours: socket.socket, stop: Callable[[signal.Signals], None]) -> None:
    with ours:
        while received := ours.recv(16):
            for number in received:
                if number in SIGNALS:
                    stop(signal.Signals(number))


def _heard(number: int, frame: Any) -> None:
    """The thread has it."""


@contextmanager
def watching_parent(pid: int, stop: Callable[[], None], *, interval: float = 1.0) -> Iterator[None]:
    """Call *stop* once, when the process *pid* is our parent no more."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(interval):
            if os.getppid() != pid:
                stop()
                return

    thread = threading.Thread(target=watch, name="durable-parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def leave_with(code: int) -> None:
    """When the process ends, have it exit with *code* also if threads do not end that Python waits for there.

    Such as those of ``asyncio.to_thread()``: nothing can interrupt them, and their work was given back.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LAST_PATIENCE):
            if _waits_for_threads():
                names = [thread.name for thread in threading.enumerate() if not thread.name.startswith("durable-")]
                logger.warning("exiting although threads have not ended that nothing can stop: %s", ", ".join(names))
                for stream in (sys.stdout, sys.stderr):
                    with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
                        stream.flush()
                os._exit(code)

    atexit.register(ended.set)  # what is registered there is called when all threads have ended
    threading.Thread(target=watch, name="durable-exit", daemon=True).start()


def _waits_for_threads() -> bool:
    """Whether the main thread has nothing else left to do: who runs a command may have more to do behind it."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "_shutdown" and frame.f_globals.get("__name__") == "threading":
            return True
        frame = frame.f_back
    return False
