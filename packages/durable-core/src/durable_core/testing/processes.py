"""A queue in another process, for the cases that are about several.

The process runs `main`: it makes the queue and does what it is told through a socket, a line of JSON for each call and
each answer. Claims stay there, with their handles; here they are numbers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pkgutil import resolve_name
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol
from uuid import UUID

from durable_core.ports import Claim, Entry, EntryKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from durable_core.ports import TaskQueue

PATIENCE = 60.0  # seconds after which a process counts as stuck
FAREWELL = 5.0  # seconds in which a process may end by itself


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How another process makes the queue under test: by calling *factory*, which it can import, as we can."""

    factory: str  # "package.module:function"
    arguments: Mapping[str, Any] = field(default_factory=dict)  # its keywords; values that JSON has


class Gone(Exception):
    """The other process was killed, or died."""


class Failed(Exception):
    """What the other process was asked to do raised; the message is its traceback."""


class Peer(Protocol):
    """Somebody else who uses the same queue."""

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None: ...

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]: ...

    def complete(self, claims: Collection[Claim]) -> None: ...

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None: ...

    def fork(self) -> Peer:
        """A child of it, with the queue that it inherits."""

    def kill(self) -> None:
        """SIGKILL. What it is asked from then on raises `Gone`."""


class Companion:
    """Stands in for another process where the backend lives in one: the same queue, until it is killed."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._is_killed = False

    @property
    def queue(self) -> TaskQueue:
        if self._is_killed:
            raise Gone
        return self._queue

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        self.queue.enqueue(entries, delay=delay)

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        return self.queue.claim(worker_id, limits, queues=queues, exclude=exclude)

    def complete(self, claims: Collection[Claim]) -> None:
        self.queue.complete(claims)

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        self.queue.release(claims, delay=delay)

    def fork(self) -> Peer:
        return Companion(self.queue)

    def kill(self) -> None:
        self._is_killed = True


class QueueProcess:
    """A process that was started by `started`, or forked by one that was."""

    def __init__(self, channel: socket.socket, heir: socket.socket | None) -> None:
        channel.settimeout(PATIENCE)
        self._channel = channel
        self._lines = channel.makefile("rw", encoding="ascii", newline="\n")
        self._heir = heir  # our end of the socket that its child will use
        self._child: QueueProcess | None = None
        self.pid = 0  # once it is ready

    @classmethod
    @contextmanager
    def started(cls, elsewhere: Elsewhere) -> Iterator[QueueProcess]:
        """Begun, and not waited for: see `until_ready`. Neither it nor its child is left at the end."""
        (ours, theirs), (heir, childs) = socket.socketpair(), socket.socketpair()
        with ours, heir:
            with theirs, childs:
                ends = (theirs.fileno(), childs.fileno())
                command = [sys.executable, "-c", f"from {__name__} import main; main{ends}"]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=ends)
            other = cls(ours, heir)
            try:
                other._send([sys.path, elsewhere.factory, dict(elsewhere.arguments)])
                yield other
            finally:
                if (child := other._child) is not None:
                    child.hang_up()
                    if child.pid and process.poll() is None:
                        child.kill()  # its pid is nobody else's as long as its parent lives
                other.hang_up()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(FAREWELL)
                process.kill()
                process.wait()

    def until_ready(self) -> None:
        """Until its queue is made."""
        self.pid = self._receive()

    def hang_up(self) -> None:
        """Upon which the process ends."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        self._ask("enqueue", [_packed(entry) for entry in entries], _seconds(delay))

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        room = {kind.value: limit for kind, limit in limits.items()}
        found = self._ask("claim", worker_id.hex, room, list(queues), list(exclude))
        return [Claim(_unpacked(entry), number, deliveries) for entry, number, deliveries in found]

    def complete(self, claims: Collection[Claim]) -> None:
        self._ask("complete", [claim.handle for claim in claims])

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        self._ask("release", [claim.handle for claim in claims], _seconds(delay))

    def fork(self) -> Peer:
        assert self._heir is not None, "it has a child already, or is one"
        self._ask("fork")
        self._child, self._heir = QueueProcess(self._heir, None), None
        self._child.until_ready()
        return self._child

    def kill(self) -> None:
        assert self.pid, "it is not ready"
        os.kill(self.pid, signal.SIGKILL)

    def _ask(self, *call: Any) -> Any:
        self._send(call)
        return self._receive()

    def _send(self, message: Any) -> None:
        try:
            self._lines.write(json.dumps(message) + "\n")
            self._lines.flush()
        except OSError as exc:
            raise Gone from exc

    def _receive(self) -> Any:
        try:
            line = self._lines.readline()
        except ConnectionError as exc:
            raise Gone from exc
        if not line:
            raise Gone(f"process {self.pid or 'that was just started'} has ended; it may have said why on stderr")
        failure, answer = json.loads(line)
        if failure is not None:
            raise Failed(failure)
        return answer


# What goes through the socket


def _packed(entry: Entry) -> list[Any]:
    kind, ref, queue, priority, preferred = entry
    return [kind.value, ref.hex, queue, priority, None if preferred is None else preferred.hex]


def _unpacked(parts: list[Any]) -> Entry:
    kind, ref, queue, priority, preferred = parts
    return Entry(EntryKind(kind), UUID(ref), queue, priority, None if preferred is None else UUID(preferred))


def _seconds(delay: timedelta | None) -> float | None:
    return None if delay is None else delay.total_seconds()


def _delay(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


# The other process


class Servant:
    """Does with a queue what it is told."""

    def __init__(self, queue: TaskQueue, own: int, childs: int) -> None:
        self._queue = queue
        self._own, self._childs = own, childs  # descriptors: of its socket, and of that for a child
        self._claims: list[Claim] = []

    def serve(self, lines: IO[str]) -> None:
        """Until the other side hangs up."""
        _say(lines, answer=os.getpid())
        for line in lines:
            try:
                answer = self._do(json.loads(line))
            except Exception:  # noqa: BLE001 - whatever it is, the case must hear of it
                _say(lines, failure=traceback.format_exc())
            else:
                _say(lines, answer=answer)

    def _do(self, call: list[Any]) -> Any:
        match call:
            case ["enqueue", entries, delay]:
                self._queue.enqueue([_unpacked(entry) for entry in entries], delay=_delay(delay))
            case ["claim", worker_id, limits, queues, exclude]:
                room = {EntryKind(kind): limit for kind, limit in limits.items()}
                claims = self._queue.claim(UUID(worker_id), room, queues=queues, exclude=exclude)
                first = len(self._claims)
                self._claims += claims
                return [[_packed(c.entry), number, c.deliveries] for number, c in enumerate(claims, first)]
            case ["complete", numbers]:
                self._queue.complete([self._claims[number] for number in numbers])
            case ["release", numbers, delay]:
                self._queue.release([self._claims[number] for number in numbers], delay=_delay(delay))
            case ["fork"]:
                if os.fork() == 0:
                    self._live_as_child()
                os.close(self._childs)  # or nobody would notice the child's death
        return None

    def _live_as_child(self) -> NoReturn:
        try:
            os.close(self._own)  # or nobody would notice the parent's death
            with _channel(self._childs) as own, suppress(BrokenPipeError):
                self.serve(own)
        finally:
            os._exit(0)  # what was inherited is not for the child to close


@contextmanager
def _channel(descriptor: int) -> Iterator[IO[str]]:
    with socket.socket(fileno=descriptor) as channel, channel.makefile("rw", encoding="ascii", newline="\n") as lines:
        yield lines


def _say(lines: IO[str], *, failure: str | None = None, answer: Any = None) -> None:
    lines.write(json.dumps([failure, answer]) + "\n")
    lines.flush()


def main(own: int, childs: int) -> None:
    with _channel(own) as lines, suppress(BrokenPipeError):
        sys.path[:], factory, arguments = json.loads(lines.readline())
        try:
            queue = resolve_name(factory)(**arguments)
        except Exception:  # noqa: BLE001 - whatever it is, the case must hear of it
            _say(lines, failure=traceback.format_exc())
        else:
            Servant(queue, own, childs).serve(lines)
