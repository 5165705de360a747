"""A process that performs activities, as its worker sees it: started, talked to, killed.

It is in a process group of its own, with all that activities start there. So Ctrl-C in a terminal does not reach it,
and a kill reaches all of it. It cannot outlive the worker, see `serving`.

Why no pool of processes from a library: those of the standard library, pebble and loky hand a call over and a result
back. They have no way back and forth in between, which heartbeats, cancellation, published items and completion tokens
need; and where a process is killed, they say so of all that were in the pool, or of none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from multiprocessing.connection import Pipe
from typing import TYPE_CHECKING

from durable_core.worker import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOOK = 0.5  # seconds between two looks at a process that says nothing: one of its own may hold the pipe open
LEFT_TO_THE_WORKER = (signal.SIGTERM, signal.SIGINT)  # a service manager sends them to all processes of a service
LEAVE_GRACE = 2.0  # seconds that it gets to end by itself


class Child:
    """One thread talks to it; any may `tell`, `cancel` and `kill`."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises `OSError` where no process can be started."""
        self._sending = threading.Lock()
        self._ending = threading.Lock()  # another: what is sent may have to wait for a kill to come to its end
        self._is_buried = False
        self.served = 0  # attempts
        self.is_killed = False  # by us
        self.is_leaving = False
        self._connection, theirs = Pipe()
        end, self._lifeline = os.pipe()
        try:
            with theirs, _shielded():
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(end)],
                    pass_fds=(theirs.fileno(), end),
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(end)

    @property
    def pid(self) -> int:
        return self._process.pid

    # To it

    def tell(self, message: wire.ToProcess) -> None:
        """If it is dead, `hear` says so."""
        with self._sending, suppress(OSError):
            self._connection.send_bytes(wire.encode(message))

    def cancel(self, task_id: str, token: int) -> None:
        self.tell(wire.Cancel(task_id, token))

    def leave(self) -> None:
        """Have it end by itself."""
        self.is_leaving = True
        self.tell(wire.Leave())

    # From it

    def hear(self, limit: float | None = None) -> wire.FromProcess | None:
        """What it says next; None: it is dead, or has said nothing for *limit* seconds."""
        waited = 0.0
        try:
            while not self._connection.poll(LOOK):
                waited += LOOK
                if limit is not None and waited >= limit:
                    return None
                if self._process.poll() is not None and not self._connection.poll(0):
                    return None
            said: wire.FromProcess = wire.decode(self._connection.recv_bytes())
        except (EOFError, OSError, ValueError):  # ValueError: an activity has written into the pipe
            return None
        return said

    # Its end

    def kill(self) -> None:
        """And all that it has started."""
        with self._ending:
            self.is_killed = True
            self._kill()

    def wait(self, seconds: float) -> bool:
        """Until it has ended; whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def bury(self) -> int:
        """Make sure that nothing is left of it. How it ended: an exit code, or less than 0, the signal."""
        if self.is_leaving:
            self.wait(LEAVE_GRACE)
        with self._ending:
            self._kill()  # before its exit code is asked for: from then on its number may be another's
        code = self._process.wait()
        with self._sending, self._ending:
            if not self._is_buried:
                self._is_buried = True
                self._close()
        return code

    def _kill(self) -> None:
        if not self._is_buried:
            # PermissionError: all that is left are zombies, which some systems refuse.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _close(self) -> None:
        self._connection.close()
        os.close(self._lifeline)


@contextmanager
def _shielded() -> Iterator[None]:
    """Around the start of a process: it is deaf to what asks a worker to stop until it can take that lightly."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_WORKER)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
