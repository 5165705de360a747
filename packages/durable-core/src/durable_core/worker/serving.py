"""What runs in a process of activities: one attempt after another, as its worker says.

Such a process never outlives its worker, for others do its work then. On Linux the kernel sees to that, even while
native code holds the interpreter; elsewhere a thread does, which finds the pipe closed.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import fcntl
import io
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from durable_core.activity import CurrentActivity
from durable_core.codec import Payload
from durable_core.errors import DurableError, StoreUnavailable
from durable_core.execution import TaskStatus
from durable_core.failures import describe, invented
from durable_core.ports import Detached, TaskRecord
from durable_core.unpublished import Unpublished
from durable_core.worker import wire
from durable_core.worker.attempt import Attempt, Ending
from durable_core.worker.calling import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.definitions import ActivityDefinition, Registry

R = TypeVar("R")

PR_SET_PDEATHSIG = 1
QUIET = 0.05  # seconds in which heartbeats that say nothing are said once


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the process needs, once it is set up."""

    registry: Registry
    payload_limit: int
    calls: dict[str, Any]  # what else a `Caller` takes
    release: Callable[[], None]  # at the end


def serve(set_up: Callable[[], Workshop]) -> None:
    """Until the worker says that it is enough. The last two arguments of the process are its ends of two pipes."""
    connection, lifeline = Connection(int(sys.argv[-2])), int(sys.argv[-1])
    _die_with_worker(lifeline)
    for descriptor in (connection.fileno(), lifeline):
        os.set_inheritable(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not SIG_IGN: programs that an activity starts would inherit that.
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a kill loses what is not written
    with suppress(Exception):  # stderr may be anything
        faulthandler.enable()  # where native code has crashed
    line = Line(connection)
    try:
        workshop = set_up()
    except BaseException as error:
        line.tell(wire.Broken(describe(error)))
        raise
    line.tell(wire.Ready())
    Server(line, workshop).run()


class Line:
    """To the worker. Any thread may use it."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._answers: SimpleQueue[wire.Answer] = SimpleQueue()

    def tell(self, message: wire.FromProcess) -> None:
        with self._sending:
            self._connection.send_bytes(wire.encode(message))

    def hear(self) -> wire.ToProcess:
        """Raises `EOFError` or `OSError` when the worker is gone."""
        said: wire.ToProcess = wire.decode(self._connection.recv_bytes())
        return said

    def ask(self, message: wire.TokenWanted | wire.Left) -> Any:
        """Raises `DurableError`."""
        with self._asking:
            self.tell(message)
            answer = self._answers.get()
        if answer.error is not None:
            raise StoreUnavailable(answer.error) if answer.is_outage else DurableError(answer.error)
        return answer.value

    def answered(self, answer: wire.Answer) -> None:
        self._answers.put(answer)


class Server:
    """Performs attempts in the main thread, where code may use signals; another one listens meanwhile."""

    def __init__(self, line: Line, workshop: Workshop) -> None:
        self._line = line
        self._workshop = workshop
        self._caller = Caller(payload_limit=workshop.payload_limit, **workshop.calls)
        self._orders: SimpleQueue[wire.Begin | None] = SimpleQueue()
        self._current: tuple[tuple[str, int], CurrentActivity] | None = None
        self._canceled: tuple[str, int] | None = None  # the last one that was

    def run(self) -> None:
        threading.Thread(target=self._listen, name="durable-worker-line", daemon=True).start()
        while (order := self._orders.get()) is not None:
            ending = self._perform(order)
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # an activity may have closed it
                    stream.flush()
            self._line.tell(ending)
        self._workshop.release()

    def _listen(self) -> None:
        try:
            while True:
                match self._line.hear():
                    case wire.Begin() as order:
                        self._orders.put(order)
                    case wire.Cancel(task_id, token):
                        self._canceled = (task_id, token)
                        self._pass_on_cancel()
                    case wire.Answer() as answer:
                        self._line.answered(answer)
                    case wire.Leave():
                        self._orders.put(None)
        finally:
            _die()

    def _pass_on_cancel(self) -> None:
        """Called where either of the two is new."""
        if (current := self._current) is not None and current[0] == self._canceled:
            current[1].cancel()

    def _perform(self, order: wire.Begin) -> wire.Ended:
        definition = self._workshop.registry.activities.get(order.activity_name)
        if definition is None:
            text = (
                f"a new process has no activity {order.activity_name!r}: it loads the code that is there now, and "
                "only what Django imports. Has that been deployed since the worker started?"
            )
            failure = invented("UnknownActivityError", text, attempt=order.attempt)
            return wire.Ended(failure=failure, type_names=["UnknownActivityError"])
        task = _task_of(order)
        current = _Current(self._line, task, self._workshop.payload_limit, definition)
        self._current = (order.task_id, order.token), current
        self._pass_on_cancel()
        try:
            return _told(self._caller.call(Attempt(task, definition, current)))
        finally:
            self._current = None


class _Current(CurrentActivity):
    """What the code asks about itself; the worker has the other half of it."""

    def __init__(self, line: Line, task: TaskRecord, payload_limit: int, definition: ActivityDefinition) -> None:
        super().__init__(task, payload_limit, None, _Completions(line))
        self.unpublished = _Relay(task, line)
        self._line = line
        self._said_at = -QUIET

    def note_beat(self, details: Payload | None) -> None:
        now = time.monotonic()
        if details is not None or now - self._said_at >= QUIET:
            self._said_at = now
            self._line.tell(wire.Alive(details))


class _Relay(Unpublished):
    """What is published is numbered, kept and stored by the worker."""

    def __init__(self, task: TaskRecord, line: Line) -> None:
        super().__init__(task, None)
        self._line = line

    def put(self, stream: str, item: Payload, number: int | None = None) -> None:
        self._line.tell(wire.Published(stream, item, number))


class _Completions:
    """Of the worker's."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def issue(self, task: TaskRecord, expires: timedelta) -> tuple[str, datetime]:
        token, expires_at = self._line.ask(wire.TokenWanted(expires.total_seconds()))
        return token, datetime.fromisoformat(expires_at)

    def leave(self, task: TaskRecord, expires_at: datetime) -> Detached:
        return Detached(self._line.ask(wire.Left(expires_at.isoformat())))

    async def aside(self, fn: Callable[[], R]) -> R:
        return await asyncio.to_thread(fn)


def _task_of(order: wire.Begin) -> TaskRecord:
    """What code may learn of it; the limits are the worker's business."""
    now = datetime.now(UTC)
    return TaskRecord(
        id=UUID(order.task_id),
        run_id=UUID(order.run_id),
        call_id=order.call_id,
        activity_name=order.activity_name,
        status=TaskStatus.RUNNING,
        input=Payload(order.input),
        attempt=order.attempt,
        token=order.token,
        queue=order.queue,
        priority=order.priority,
        retry_policy={},
        scheduled_at=now,
        started_at=now,
        queued_at=now,
        retry_at=None,
        expires_at=None,
        schedule_to_start=None,
        start_to_close=None,
        heartbeat_timeout=None,
        heartbeat_at=None,
        heartbeat_details=None if order.heartbeat_details is None else Payload(order.heartbeat_details),
        crashes=0,
    )


def _told(ending: Ending) -> wire.Ended:
    return wire.Ended(
        result=ending.result,
        failure=ending.failure,
        type_names=list(ending.type_names),
        retryable=ending.retryable,
        next_delay=None if ending.next_delay is None else ending.next_delay.total_seconds(),
        canceled=ending.canceled,
        is_recorded=ending.is_recorded,
    )


def _die_with_worker(lifeline: int) -> None:
    """*lifeline*: the reading end of a pipe into which the worker writes nothing, and that ends with it."""
    if sys.platform == "linux":
        # The kernel kills the whole group when the other end is closed.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        # A process that the worker has forked may hold that end open. This is sent when the thread that has started us
        # ends, which it does when we have, or with the worker. Not SIGKILL: that may come first, be for us alone, and
        # close our end of the pipe, to which the group's signal belongs; programs started here would live on.
        signal.signal(signal.SIGRTMAX, lambda number, frame: _die())
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGRTMAX)
    if select.select([lifeline], [], [], 0)[0]:  # it was too late for a signal
        _die()


def _die() -> None:
    """With all that activities have started here."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
