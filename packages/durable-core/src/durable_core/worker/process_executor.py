"""Runs attempts in child processes, which are killed where a thread would be interrupted.

A thread for each talks to it, and does what only the worker can do: takes heartbeats, stores what is published, issues
tokens. So for the worker all is as with threads, but that what must stop does stop, and what crashes is not the worker.
"""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from durable_core.codec import Payload
from durable_core.errors import ConfigurationError, DurableError, StoreUnavailable
from durable_core.failures import describe, invented
from durable_core.ports import Detached
from durable_core.worker import wire
from durable_core.worker.attempt import Attempt, Ending
from durable_core.worker.child import LEAVE_GRACE, Child
from durable_core.worker.executor import LONGEST_WAIT, ActivityExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durable_core.ports import TaskRecord

CANCEL_GRACE = 10.0  # seconds that a canceled activity gets to stop
START_LIMIT = 60.0  # seconds in which a process must be set up
DEATH_LIMIT = 1.0  # seconds that somebody waits for a killed process to be gone


class ProcessExecutor(ActivityExecutor):
    """A process per slot in use, started when it is needed and kept for the next attempt."""

    def __init__(
        self, *, command: Callable[[], Sequence[str]] | None, tasks_per_process: int = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        self._command = command
        self._tasks_per_process = tasks_per_process
        self._children: dict[int, Child] = {}  # by the threads that have started them, and talk to them
        self._excuses: dict[int, dict[str, Any] | None] = {}  # why a thread has no process, if it should have one
        self._canceled: dict[Attempt, float] = {}  # monotonic seconds when that was seen

    # The loop's side

    @property
    def has_stalled(self) -> bool:
        """Also if a process is not up when the time of its attempt would be over: who begins it again finds it up."""
        now = self._clock.monotonic()
        return super().has_stalled or any(
            attempt.is_starting and attempt.begun is None and now - attempt.held_since > _patience(attempt)
            for attempt in self._timed
        )

    def replace_stuck_threads(self) -> None:
        self._kill_the_deaf()
        super().replace_stuck_threads()

    def withdraw(self, *, begun: bool = False) -> list[Attempt]:
        """Nothing of what is given back goes on here."""
        withdrawn = super().withdraw(begun=begun)
        children = [child for attempt in withdrawn if (child := self._at_work_on(attempt)) is not None]
        for child in children:
            child.kill()
        for child in children:
            child.wait(DEATH_LIMIT)
        return withdrawn

    def close(self) -> None:
        children = list(self._children.values())
        for child in children:
            child.leave()
        until = self._clock.monotonic() + LEAVE_GRACE
        for child in children:
            child.wait(max(until - self._clock.monotonic(), 0.0))
            child.kill()
        super().close()

    def _interrupt(self, attempt: Attempt) -> None:
        if (child := self._at_work_on(attempt)) is not None:
            child.kill()

    def _at_work_on(self, attempt: Attempt) -> Child | None:
        if attempt.begun is None or attempt.done:
            return None
        return self._children.get(attempt.thread_id)

    def _kill_the_deaf(self) -> None:
        """Processes of activities that were told to stop, and have not for long."""
        if not self._held:
            self._canceled.clear()
            return
        now = self._clock.monotonic()
        canceled = [attempt for attempt in self._held if attempt.begun is not None and attempt.current.canceled]
        self._canceled = {attempt: self._canceled.get(attempt, now) for attempt in canceled}
        for attempt, since in self._canceled.items():
            if now - since > CANCEL_GRACE:
                with attempt.lock:
                    self._interrupt(attempt)

    # The threads' side

    def _work(self) -> None:
        try:
            super()._work()
        finally:
            if (child := self._children.pop(self._threads.current(), None)) is not None:
                child.bury()

    def _perform(self, attempt: Attempt) -> None:
        with attempt.lock:
            if attempt.interrupted is not None:
                return
            attempt.is_starting = True  # its time does not run yet
        self._man(self._threads.current())
        super()._perform(attempt)

    def _man(self, thread_id: int) -> None:
        """See that this thread has a process that is set up."""
        if (child := self._children.get(thread_id)) is not None:
            if not (child.is_killed or child.is_leaving):
                return
            self._part_with(child, thread_id)
        self._excuses[thread_id] = self._start(thread_id)

    def _start(self, thread_id: int) -> dict[str, Any] | None:
        """What went wrong, if something did."""
        if self._command is None:
            return describe(ConfigurationError("this worker has no child_command: it cannot start processes"))
        try:
            child = self._children[thread_id] = Child(self._command())
        except OSError as error:
            return describe(error)
        match child.hear(START_LIMIT):
            case wire.Ready():
                return None
            case wire.Broken(failure):
                self._part_with(child, thread_id)
                return failure | {"message": f"the process of the activity could not be set up: {failure['message']}"}
            case _:
                is_late = not child.wait(DEATH_LIMIT)
                how = _in_words(self._part_with(child, thread_id))
                how = f"was not set up within {START_LIMIT:.0f} s" if is_late else f"{how} before it was set up"
                return invented("ProcessDied", f"the process of the activity {how}")

    def _part_with(self, child: Child, thread_id: int) -> int:
        del self._children[thread_id]
        return child.bury()

    def call(self, attempt: Attempt) -> Ending:
        if (excuse := self._excuses.pop(attempt.thread_id, None)) is not None:
            excuse["attempt"] = attempt.task.attempt
            return Ending(attempt, None, excuse, (excuse["type"], *excuse["bases"]))
        task, child = attempt.task, self._children[attempt.thread_id]
        child.tell(_order(task))
        attempt.on_cancel = partial(child.cancel, str(task.id), task.token)
        if attempt.current.canceled:  # before it could be told
            attempt.on_cancel()
        while (said := child.hear()) is not None:
            match said:
                case wire.Alive(details):
                    attempt.current.note_beat(None if details is None else Payload(details))
                case wire.Published(stream, item, number):
                    attempt.current.unpublished.put(stream, Payload(item), number)
                case wire.TokenWanted(seconds):
                    child.tell(_answer(partial(self._token_for, attempt, timedelta(seconds=seconds))))
                case wire.Left(expires_at):
                    child.tell(_answer(partial(self._leave, attempt, datetime.fromisoformat(expires_at))))
                case wire.Ended():
                    self._relieve(child, said)
                    return _ending(attempt, said)
                case wire.Ready() | wire.Broken():
                    raise AssertionError(said)
                case _:
                    assert_never(said)
        return self._bereaved(attempt, child)

    def _relieve(self, child: Child, said: wire.Ended) -> None:
        child.served += 1
        # One that is short of memory may have set itself a limit, or hold what the activity has left behind.
        if child.served == self._tasks_per_process or "MemoryError" in said.type_names:
            child.leave()

    def _bereaved(self, attempt: Attempt, child: Child) -> Ending:
        """It has died."""
        code = self._part_with(child, attempt.thread_id)
        if attempt.interrupted is not None:
            return Ending(attempt, None, invented("ActivityInterrupted", "the process of the activity was killed"))
        if child.is_killed:
            told = describe(attempt.current.cancellation(), attempt=attempt.task.attempt)
            told["message"] += f"; it did not stop within {CANCEL_GRACE:.0f} s, and its process was killed"
            return Ending(attempt, None, told, canceled=True)
        text = f"the process of the activity {_in_words(code)}"
        died = invented("ProcessDied", text, attempt=attempt.task.attempt)
        return Ending(attempt, None, died, ("ProcessDied",), crashed=True)

    # What only the worker can do

    def _token_for(self, attempt: Attempt, expires: timedelta) -> list[str]:
        assert self._completions is not None  # the process has asked whether there are any
        token, expires_at = self._completions.issue(attempt.task, expires)
        return [token, expires_at.isoformat()]

    def _leave(self, attempt: Attempt, expires_at: datetime) -> str:
        assert self._completions is not None
        if self._publisher is not None:
            self._publisher.send_all(attempt.current.unpublished)
        left = self._completions.leave(attempt.task, expires_at)
        attempt.is_left = left is not Detached.UNWANTED
        return left.value


def _patience(attempt: Attempt) -> float:
    """Seconds; a little later the store would take the start of the process for a failed attempt."""
    limit = attempt.task.start_to_close
    return LONGEST_WAIT if limit is None else max(limit.total_seconds(), LONGEST_WAIT)


def _order(task: TaskRecord) -> wire.Begin:
    return wire.Begin(
        task_id=str(task.id),
        run_id=str(task.run_id),
        call_id=task.call_id,
        activity_name=task.activity_name,
        queue=task.queue,
        priority=task.priority,
        input=task.input,
        attempt=task.attempt,
        token=task.token,
        heartbeat_details=task.heartbeat_details,
    )


def _answer(ask: Callable[[], Any]) -> wire.Answer:
    try:
        return wire.Answer(ask())
    except StoreUnavailable as error:
        return wire.Answer(None, str(error), is_outage=True)
    except DurableError as error:
        return wire.Answer(None, str(error))


def _ending(attempt: Attempt, said: wire.Ended) -> Ending:
    return Ending(
        attempt,
        None if said.result is None else Payload(said.result),
        said.failure,
        tuple(said.type_names),
        said.retryable,
        None if said.next_delay is None else timedelta(seconds=said.next_delay),
        said.canceled,
        is_recorded=said.is_recorded,
    )


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    match -code:
        case signal.SIGKILL:
            return "was killed by SIGKILL: by the system, if it took too much memory"
        case number:
            return f"was killed by {signal.Signals(number).name}"
