"""Runs attempts of activities in threads, and reports how they ended.

The loop hands attempts in and takes endings out; a thread never touches the store. What must stop is interrupted by
an exception raised in its thread, which reaches Python code at its next instruction, and C code when it returns.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from durable_core import activity as activity_context
from durable_core.activity import CurrentActivity
from durable_core.codec import NULL, Payload, decode, encode
from durable_core.crashpoints import crashpoint
from durable_core.errors import (
    ActivityCanceled,
    ActivityInterrupted,
    CompleteLater,
    PayloadError,
    StoreUnavailable,
    TransactionRefused,
)
from durable_core.failures import describe, invented, type_names
from durable_core.hooks import SILENT, ActivityCall, Announcer, blame_of
from durable_core.logs import complain
from durable_core.options import as_timedelta
from durable_core.ports import Detached
from durable_core.worker.publishing import NOWHERE
from durable_core.worker.threads import SystemThreads

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from durable_core.activity import Completions
    from durable_core.definitions import ActivityDefinition
    from durable_core.ports import Clock, TaskRecord
    from durable_core.worker.eventloop import EventLoop
    from durable_core.worker.publishing import Publisher
    from durable_core.worker.threads import Threads
    from durable_core.worker.transactions import Transactions

logger = logging.getLogger("durable.worker")

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]  # runs one to its end

LONGEST_WAIT = 1.0  # seconds that an attempt may wait for a thread here before others get it
STOP_GRACE = 5.0  # seconds an interrupted thread gets to come back before it is given up


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt that this process has claimed."""

    task: TaskRecord
    definition: ActivityDefinition
    current: CurrentActivity
    held_since: float = 0.0  # monotonic seconds
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread_id: int = 0
    begun: float | None = None  # monotonic seconds; None: waits for a thread
    done: bool = False
    interrupted: float | None = None  # monotonic seconds
    lost: bool = False  # it did not stop: another has its place
    is_left: bool = False  # somebody else completes it
    is_settling: bool = False  # it commits its outcome by itself, and an interruption would leave that half done
    loop: EventLoop | None = None  # that it runs in, if it is async
    on_cancel: Callable[[], None] | None = None  # what tells code of a cancel that does not ask

    def cancel(self) -> None:
        """Nobody wants its result any more. Said often, told once: what the code does about it is its own matter."""
        if not self.current.canceled:
            self.current.cancel()
            if self.on_cancel is not None:
                self.on_cancel()

    def settle(self) -> bool:
        """From now on it is not interrupted; False: it was."""
        with self.lock:
            self.is_settling = self.interrupted is None
        return self.is_settling

    def unsettle(self) -> None:
        """It must be done again."""
        self.is_settling = False


@dataclass(slots=True)
class Ending:
    """How an attempt ended, in the terms of `attempts`."""

    attempt: Attempt
    result: Payload | None  # None: it failed
    failure: dict[str, Any] | None = None
    type_names: tuple[str, ...] = ()
    retryable: bool = True
    next_delay: timedelta | None = None
    canceled: bool = False
    seconds: float = 0.0
    is_recorded: bool = False  # the store has its outcome


class ActivityExecutor:
    """A fixed number of threads, and a backlog of attempts that are claimed but have not begun."""

    def __init__(
        self,
        *,
        slots: int,
        clock: Clock,
        wake: Callable[[], None],
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
        payload_limit: int,
        release_thread: Callable[[], None] = lambda: None,
        on_begin: Callable[[TaskRecord], None] = lambda task: None,
        hooks: Announcer = SILENT,
        threads: Threads | None = None,
        transactions: Transactions | None = None,
        publisher: Publisher | None = None,
        completions: Completions | None = None,
    ) -> None:
        self._clock = clock
        self._transactions = transactions
        self._completions = completions
        self._on_begin = on_begin
        self._hooks = hooks
        self._wake = wake
        self._around = around
        self._payload_limit = payload_limit
        self._release_thread = release_thread
        self._threads = threads or SystemThreads()
        self._publisher = publisher
        self._inbox = self._threads.channel()  # of attempts; None: a thread is to leave
        self._endings: deque[Ending] = deque()
        self._held: dict[Attempt, None] = {}  # in the order they came; a dict, for its removal in constant time
        self._timed: dict[Attempt, None] = {}  # those with a start_to_close
        self._stopping: list[Attempt] = []  # interrupted, not back yet
        self._forfeited: deque[Attempt] = deque()  # their claims are lost
        self._staffed = 0  # threads that count
        self.slots = slots
        self.lost_threads = 0
        self._usual: dict[str, float] = {}  # seconds per attempt, by activity; see _learn

    # The loop's side

    @property
    def held(self) -> int:
        """Attempts that are claimed here, begun or not."""
        return len(self._held)

    def attempts(self) -> list[Attempt]:
        return list(self._held)

    def has_room(self, activity_name: str, backlog_seconds: float, reserved: int) -> bool:
        """Whether one more attempt may be claimed: a thread is free, or will be within *backlog_seconds*.

        Only activities that are known to be quick may queue up here; others are left for other workers. *reserved*
        places are taken already.
        """
        held = len(self._held) + reserved
        if held < self.slots:
            return True
        usual = self._usual.get(activity_name)
        return usual is not None and (held - self.slots + 1) * usual < backlog_seconds * self.slots

    @property
    def room(self) -> int:
        """How many attempts could begin at once; less than 0 if some wait for that."""
        return self.slots - len(self._held)

    @property
    def has_stalled(self) -> bool:
        """Whether an attempt has waited here for long: what used to be quick is not, and others may be free."""
        waiting = next((attempt for attempt in self._held if attempt.begun is None), None)
        return waiting is not None and self._clock.monotonic() - waiting.held_since > LONGEST_WAIT

    def submit(self, task: TaskRecord, definition: ActivityDefinition) -> None:
        attempt = Attempt(task, definition, self._current_of(task, definition), held_since=self._clock.monotonic())
        self._held[attempt] = None
        if task.start_to_close is not None:
            self._timed[attempt] = None
        self._hand_over(attempt)
        self._on_begin(task)

    def _current_of(self, task: TaskRecord, definition: ActivityDefinition) -> CurrentActivity:
        # What a transactional activity publishes is committed with all else that it writes.
        outlet = None if definition.transactional else self._publisher or NOWHERE
        return CurrentActivity(task, self._payload_limit, outlet, self._completions_of(definition))

    def _completions_of(self, definition: ActivityDefinition) -> Completions | None:
        """None: it ends with its function."""
        return None if definition.is_async or definition.transactional else self._completions

    def endings(self) -> list[Ending]:
        """What has ended since the last call, but for attempts that were given up."""
        ended: list[Ending] = []
        while self._endings:
            ending = self._endings.popleft()
            if self._held.pop(ending.attempt, _MISSING) is _MISSING:
                continue
            self._timed.pop(ending.attempt, None)
            self._learn(ending.attempt.task.activity_name, ending.seconds)
            ended.append(ending)
        return ended

    def _learn(self, activity_name: str, seconds: float) -> None:
        """Follow the quicker ones: what makes an attempt of a quick activity slow is mostly the wait for its turn to
        run Python code, and that is no reason to have it done elsewhere."""
        known = self._usual.get(activity_name, seconds)
        self._usual[activity_name] = known + (0.2 if seconds < known else 0.01) * (seconds - known)

    def overdue(self) -> list[Attempt]:
        """Begun attempts past their start_to_close; they are interrupted, and their own endings ignored."""
        now = self._clock.monotonic()
        late = [
            attempt
            for attempt in self._timed
            if attempt.begun is not None
            and not attempt.done  # it made it after all: its ending is on the way
            and attempt.task.start_to_close is not None
            and now - attempt.begun >= attempt.task.start_to_close.total_seconds()
        ]
        for attempt in late:
            self.abandon(attempt)
        return late

    def next_overdue(self) -> float | None:
        """Monotonic seconds at which `overdue` will next find something."""
        return min(
            (
                attempt.begun + attempt.task.start_to_close.total_seconds()
                for attempt in self._timed
                if attempt.begun is not None and attempt.task.start_to_close is not None
            ),
            default=None,
        )

    def abandon(self, attempt: Attempt) -> None:
        """Interrupt an attempt and ignore how it ends."""
        self._held.pop(attempt, None)
        self._timed.pop(attempt, None)
        with attempt.lock:
            if attempt.done:
                return
            attempt.current.cancel()
            attempt.interrupted = self._clock.monotonic()
            if attempt.begun is not None and not attempt.is_settling:
                self._interrupt(attempt)
        if attempt.begun is not None:
            self._stopping.append(attempt)

    def forfeit(self, attempt: Attempt) -> None:
        """Its claim is lost, for instance to a time limit: nobody wants its ending. From any thread."""
        self._forfeited.append(attempt)
        self._wake()

    def stop_forfeited(self) -> None:
        """Interrupt them, so that their slots are free."""
        while self._forfeited:
            if (attempt := self._forfeited.popleft()) in self._held:
                self.abandon(attempt)

    def replace_stuck_threads(self) -> None:
        """Give up threads that do not come back from an interruption, so that their slot is not lost."""
        if not self._stopping:
            return
        now = self._clock.monotonic()
        for attempt in list(self._stopping):
            with attempt.lock:
                late = attempt.interrupted is not None and now - attempt.interrupted > STOP_GRACE
                attempt.lost = late and not attempt.done
            if attempt.done or attempt.lost:
                self._stopping.remove(attempt)
            if attempt.lost:
                self._give_up(attempt)
        self._staff()

    def withdraw(self, *, begun: bool = False) -> list[Attempt]:
        """Take back attempts that have not begun (with *begun*: all), so that others can run them."""
        withdrawn = []
        for attempt in list(self._held):
            with attempt.lock:
                if attempt.begun is not None and not begun:
                    continue
                attempt.interrupted = self._clock.monotonic()
            self._held.pop(attempt, None)
            self._timed.pop(attempt, None)
            withdrawn.append(attempt)
        return withdrawn

    def close(self) -> None:
        for _ in range(self._staffed):
            self._inbox.put(None)

    # What is peculiar to threads

    def _hand_over(self, attempt: Attempt) -> None:
        self._staff()
        self._inbox.put(attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        """Make it stop, if it will. Its lock is held."""
        self._threads.interrupt(attempt.thread_id, ActivityInterrupted)

    def _give_up(self, attempt: Attempt) -> None:
        """It has not stopped."""
        self._staffed -= 1
        self.lost_threads += 1
        logger.warning(
            "activity %s did not stop when interrupted; its thread is given up",
            attempt.task.activity_name,
            extra={"execution_id": str(attempt.task.run_id), "activity": attempt.task.activity_name},
        )

    # The threads' side

    def _staff(self) -> None:
        """Start threads for what is held. One that is being interrupted may never come back, and does not count."""
        while self._staffed < self.slots and self._staffed - len(self._stopping) < len(self._held):
            self._threads.start(self._work, f"durable-activity-{self._staffed + 1}")
            self._staffed += 1

    def _work(self) -> None:
        while (attempt := self._inbox.get()) is not None:
            try:
                self._perform(attempt)
            except ActivityInterrupted:
                logger.debug("activity %s was interrupted when it had just ended", attempt.task.activity_name)
            if attempt.lost:
                break
        self._release_thread()

    def _perform(self, attempt: Attempt) -> None:
        with attempt.lock:
            if attempt.interrupted is not None:
                return
            attempt.thread_id = self._threads.current()
            attempt.begun = began = self._clock.monotonic()
        ending: Ending | None = None
        try:
            ending = self._call(attempt)
            if not (attempt.current.unpublished.is_empty or attempt.definition.transactional):
                ending = self._publish(attempt, ending)
        finally:
            with attempt.lock:
                attempt.done = True
            if ending is None:
                ending = Ending(attempt, None, invented("ActivityInterrupted", "the activity was interrupted"))
            ending.seconds = self._clock.monotonic() - began
            self._endings.append(ending)
            self._wake()

    def _call(self, attempt: Attempt) -> Ending:
        activity_context.enter(attempt.current)
        try:
            with self._around():
                if attempt.definition.transactional and self._transactions is not None:
                    self._transactions.perform(attempt.task, partial(self._result_of, attempt), attempt.settle)
                    return Ending(attempt, None, is_recorded=True)
                value = self._value_of(attempt)
            return Ending(attempt, self._encoded(attempt, value))
        except CompleteLater:
            return self._left_to_others(attempt)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in an activity is a failed attempt like any other
            return self._failed(attempt, error)
        finally:
            activity_context.enter(None)

    def _left_to_others(self, attempt: Attempt) -> Ending:
        try:
            if self._publisher is not None:
                self._publisher.send_all(attempt.current.unpublished)
            left = attempt.current.complete_later()
        except Exception as error:  # noqa: BLE001 - the store may be away: a failed attempt, which nobody can complete
            return self._failed(attempt, error)
        match left:
            case None:
                text = "CompleteLater was raised, and no completion_token() was given away: nobody could complete it"
                failure = invented("CompleteLater", text, attempt=attempt.task.attempt)
                return Ending(attempt, None, failure, ("CompleteLater",), retryable=False)
            case Detached.DONE | Detached.GONE:  # who has the token may have been quicker
                attempt.is_left = True
                return Ending(attempt, None, is_recorded=True)
            case Detached.UNWANTED:
                return Ending(attempt, None, describe(attempt.current.cancellation()), canceled=True)
            case _:
                assert_never(left)

    def _result_of(self, attempt: Attempt) -> Payload:
        attempt.unsettle()
        attempt.current.unpublished.restart()
        result = self._encoded(attempt, self._value_of(attempt))
        if self._publisher is not None:
            self._publisher.send_all(attempt.current.unpublished)
        return result

    def _encoded(self, attempt: Attempt, value: Any) -> Payload:
        crashpoint("activity-returned")
        value = attempt.definition.typed.dump_result(value)
        if value is None:
            return NULL
        what = f"the result of activity {attempt.definition.name!r}"
        return encode(value, what=what, limit=self._payload_limit)

    def _publish(self, attempt: Attempt, ending: Ending) -> Ending:
        """Have what it published stored before anybody hears how it ended."""
        if self._publisher is not None:
            self._publisher.finish(attempt.current.unpublished, is_wanted=lambda: attempt.interrupted is None)
        return ending

    def _arguments_of(self, attempt: Attempt) -> tuple[list[Any], dict[str, Any]]:
        arguments = decode(attempt.task.input)
        try:
            return attempt.definition.typed.load_arguments(arguments["args"], arguments["kwargs"])
        except PayloadError as misfit:
            raise TypeError(str(misfit)) from misfit  # as a signature that does not fit: other code may know better

    def _value_of(self, attempt: Attempt) -> Any:
        args, kwargs = self._arguments_of(attempt)
        if not self._hooks.wraps_activities:
            return self._invoke(attempt.definition, args, kwargs)
        perform = partial(self._invoke, attempt.definition, args, kwargs)
        return self._hooks.call_activity(ActivityCall(attempt.current, args, kwargs, perform))

    def _invoke(self, definition: ActivityDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return definition.fn(*args, **kwargs)

    def _failed(self, attempt: Attempt, error: BaseException) -> Ending:
        failure = describe(error, attempt=attempt.task.attempt)
        if blame := blame_of(error):
            failure["message"] += f" ({blame})"
        canceled = isinstance(error, ActivityCanceled) and attempt.current.canceled
        # A result that cannot be stored would not be storable next time either, and its effect has happened.
        retryable = not isinstance(error, PayloadError | TransactionRefused)
        next_delay = None
        try:
            retry_if = attempt.definition.retry_policy.retry_if
            if retryable and retry_if is not None:
                retryable = bool(retry_if(error))
            next_delay = as_timedelta(getattr(error, "next_retry_delay", None), what="next_retry_delay")
        except BaseException as broken:  # noqa: BLE001 - user code again
            name = attempt.task.activity_name
            complain(logger, logging.WARNING, "activity %s: its retry policy failed: %s", name, error=broken)
        names = tuple(type_names(type(error)))
        return Ending(attempt, None, failure, names, retryable, next_delay, canceled)


class InlineExecutor(ActivityExecutor):
    """Runs attempts in the loop's own thread, one after another, when the loop asks how they ended."""

    def __init__(self, *, run_async: RunAsync = asyncio.run, **options: Any) -> None:
        super().__init__(**options)
        self._run_async = run_async
        self._backlog: deque[Attempt] = deque()

    def submit(self, task: TaskRecord, definition: ActivityDefinition) -> None:
        attempt = Attempt(task, definition, self._current_of(task, definition))
        self._held[attempt] = None
        self._backlog.append(attempt)

    def _invoke(self, definition: ActivityDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:
        value = super()._invoke(definition, args, kwargs)
        return self._run_async(value) if definition.is_async else value

    def _failed(self, attempt: Attempt, error: BaseException) -> Ending:
        if isinstance(error, KeyboardInterrupt):
            raise error  # Ctrl-C is for the process, which happened to be in this activity
        return super()._failed(attempt, error)

    def _current_of(self, task: TaskRecord, definition: ActivityDefinition) -> CurrentActivity:
        outlet = NOWHERE if self._publisher is None else None
        return CurrentActivity(task, self._payload_limit, outlet, self._completions_of(definition))

    def _publish(self, attempt: Attempt, ending: Ending) -> Ending:
        """In this thread, whose transaction may be the only one that sees the run."""
        try:
            if self._publisher is not None:
                self._publisher.send_all(attempt.current.unpublished)
        except StoreUnavailable as error:
            return self._failed(attempt, error)
        return ending

    def endings(self) -> list[Ending]:
        while self._backlog:
            # An activity may drive a run of its own: what is current here must be so again afterwards.
            copy_context().run(self._perform, self._backlog.popleft())
        return super().endings()


_MISSING: Any = object()
