"""Processes of the project that have imported Django already: half of a second each, and there are hundreds of them.

A helper process imports what all of them need, and forks one for each that a test wants. What is forked is as fresh as
one that was executed: settings, connections, threads and apps come after the fork, and only modules come before it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from durable_core import crashpoints

ROOT = Path(__file__).resolve().parent.parent
MANAGE = "tests.project.manage"
IMPORTED = (
    "django.contrib.admin",
    "django.core.handlers.wsgi",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.db.models",
    "django.forms",
    "django.template.backends.django",
    "django.urls",
    "django.utils.autoreload",
    "durable_core.audit",
    "durable_core.client",
    "durable_core.testing",
    "durable_core.worker",
    "durable_pg_queue",
    "durable_redis_queue",
    "pydantic.fields",
    "pydantic.main",
)
MOST_DESCRIPTORS = 4096
LARGEST = 1 << 18  # bytes of a request: arguments and environment


class ForkedProcess:
    """As much of `subprocess.Popen` as tests need, for a process that is not our child."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status  # a pipe, on which the exit code comes

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired([MANAGE], timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # or its number may be another's
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            said = os.read(self._status, 16)
            assert said, "the process that forks others died"
            self.returncode = int(said)
            os.close(self._status)
        return self.returncode


@dataclass
class Zygote:
    """The helper process; started when it is needed first, and gone with the process that started it."""

    _line: socket.socket | None = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self, args: list[str], environment: dict[str, str], output: int, errors: int) -> ForkedProcess:
        """Run ``manage.py`` with *args* in a session of its own, so that a signal to the test run does not reach it.

        *output* and *errors* are descriptors for its standard output and error.
        """
        if self._line is None:
            self._line = self._hatch()
        answer, tell = os.pipe()
        request = json.dumps({"args": args, "environment": environment}).encode()
        assert len(request) < LARGEST, len(request)
        socket.send_fds(self._line, [request], [output, errors, tell])
        os.close(tell)
        return ForkedProcess(int(self._line.recv(16)), answer)

    def _hatch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.zygote", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours


ZYGOTE = Zygote()


# The helper's side


class Order(NamedTuple):
    """What a forked process is to do."""

    args: list[str]
    environment: dict[str, str]
    descriptors: list[int]  # standard output and error


def fork_on_request(line: socket.socket) -> Order | None:
    """In each forked process: what it is to do. In the helper: None, when nobody is left to ask for more."""
    selector = selectors.DefaultSelector()
    selector.register(line, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not line:
                selector.unregister(key.fileobj)
                _tell_end(*key.data)
                continue
            request, descriptors, _, _ = socket.recv_fds(line, LARGEST, 3)
            if not request:
                return None
            output, errors, tell = descriptors
            pid = os.fork()
            if pid == 0:
                selector.close()
                line.close()
                os.close(tell)
                return Order(**json.loads(request), descriptors=[output, errors])
            os.close(output)
            os.close(errors)
            died = os.pidfd_open(pid)
            selector.register(died, selectors.EVENT_READ, (pid, died, tell))
            line.send(str(pid).encode())


def _tell_end(pid: int, died: int, tell: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(died)
    with contextlib.suppress(BrokenPipeError):  # whoever asked for it has forgotten it
        os.write(tell, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(tell)


def carry_out(order: Order) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for standard, descriptor in enumerate([null, *order.descriptors]):
        os.dup2(descriptor, standard)
    os.closerange(3, MOST_DESCRIPTORS)  # those of its siblings
    os.environ.clear()
    os.environ.update(order.environment)
    sys.path[:0] = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in sys.path]
    crashpoints.obey(os.environ.get(crashpoints.VARIABLE, ""))
    sys.argv[1:] = order.args
    runpy.run_module(MANAGE, run_name="__main__", alter_sys=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in IMPORTED:
        import_module(name)
    from django.conf import settings

    assert not settings.configured, "the settings of one process would be those of all"
    gc.collect()
    gc.freeze()  # a child that collects would touch all of it, and so copy it
    with socket.socket(fileno=int(sys.argv[1])) as line:
        order = fork_on_request(line)
    if order is not None:
        carry_out(order)


if __name__ == "__main__":
    main()
