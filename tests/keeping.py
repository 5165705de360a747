"""One server for all processes of a run: the first starts it, and it goes when the last has left, however it left.

Locks see to that: every user holds a shared lock, and a keeper process waits for the exclusive one. The kernel drops
the locks of a killed process, so ``kill -9`` of a whole test run leaves no server behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class KeeperFailed(RuntimeError):
    """There is no server: the message says why."""


# The side of the users: start it or join it


@contextlib.contextmanager
def share(root: Path, name: str, keeper: Sequence[str]) -> Iterator[str]:
    """Hold a share of the server *name* that belongs to *root*, and hear how it is reached.

    The first user runs ``python -m`` *keeper*, which calls `keep`, and so chooses the server's kind.
    """
    with contextlib.ExitStack() as held:
        with _lock(root / f"{name}-start.lock", fcntl.LOCK_EX):  # one at a time looks whether there is a server
            # Waits while a keeper, who holds this one exclusively, is closing down.
            held.enter_context(_lock(_users(root, name), fcntl.LOCK_SH))
            if not address_of(root, name).exists():
                _start(keeper)
            address = address_of(root, name).read_text()
        yield address


def address_of(root: Path, name: str) -> Path:
    """A file that is there for as long as the server is."""
    return root / f"{name}.address"


def _start(keeper: Sequence[str]) -> None:
    """Returns when the server answers; the keeper lives on by itself."""
    done = subprocess.run(
        [sys.executable, "-m", *keeper], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise KeeperFailed(done.stderr.strip() or f"the keeper of the server ended with {done.returncode}")


# The side of the keeper: a process in a session of its own, which outlives whoever started it


def keep(root: Path, name: str, server: AbstractContextManager[str]) -> int:
    """Fork the keeper, which enters *server* and writes down its answer, how the server is reached.

    Returns when the server is up (0), or with the reason on stderr (1); in the keeper, when the last user has left.
    """
    answer, tell = os.pipe()
    if os.fork() != 0:
        os.close(tell)
        with os.fdopen(answer) as pipe:
            message = pipe.read()  # until the keeper closes its end, or dies
        if message == "up":
            return 0
        print(message or "the process that keeps the server died", file=sys.stderr)
        return 1

    os.close(answer)
    os.setsid()  # Ctrl-C in the terminal is for pytest: the server must outlive the teardown of its fixtures
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    users = contextlib.ExitStack()
    try:
        with server as address:
            _write_down(address_of(root, name), address)
            os.write(tell, b"up")
            os.close(tell)
            tell = -1
            users.enter_context(_lock(_users(root, name), fcntl.LOCK_EX))  # ours when nobody is left
    except Exception as exc:  # noqa: BLE001 - whatever it is, the one who waits for the server must read it
        if tell != -1:
            os.write(tell, f"{type(exc).__name__}: {exc}".encode())
        return 1
    finally:
        # Still under the lock: whoever waits for it finds no address, and starts a server of its own.
        address_of(root, name).unlink(missing_ok=True)
        users.close()
    return 0


def _write_down(path: Path, address: str) -> None:
    """There may be a password in it, and nobody may read half of it."""
    partial = path.with_suffix(".new")
    partial.touch(mode=0o600)
    partial.write_text(address)
    partial.rename(path)


# Both


def _users(root: Path, name: str) -> Path:
    return root / f"{name}-users.lock"


@contextlib.contextmanager
def _lock(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def free_port(below: int = 2**16) -> int:
    """A TCP port of 127.0.0.1 that nobody had a moment ago."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < below:
                return port
