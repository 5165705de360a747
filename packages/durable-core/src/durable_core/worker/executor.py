"""Runs attempts of activities in threads, and reports how they ended.

The loop hands attempts in and takes endings out; a thread never touches the store. What must stop is interrupted by
an exception raised in its thread, which reaches Python code at its next instruction, and C code when it returns.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from durable_core.activity import CurrentActivity
from durable_core.errors import ActivityInterrupted
from durable_core.failures import invented
from durable_core.worker.attempt import Attempt, Ending
from durable_core.worker.calling import Caller
from durable_core.worker.publishing import NOWHERE
from durable_core.worker.threads import SystemThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.activity import Completions
    from durable_core.definitions import ActivityDefinition
    from durable_core.ports import Clock, TaskRecord
    from durable_core.worker.threads import Threads

logger = logging.getLogger("durable.worker")

LONGEST_WAIT = 1.0  # seconds that an attempt may wait for a thread here before others get it
STOP_GRACE = 5.0  # seconds an interrupted thread gets to come back before it is given up


class ActivityExecutor(Caller):
    """A fixed number of threads, and a backlog of attempts that are claimed but have not begun."""

    def __init__(
        self,
        *,
        slots: int,
        clock: Clock,
        wake: Callable[[], None],
        release_thread: Callable[[], None] = lambda: None,
        on_begin: Callable[[TaskRecord], None] = lambda task: None,
        threads: Threads | None = None,
        **calls: Any,
    ) -> None:
        super().__init__(**calls)
        self._clock = clock
        self._on_begin = on_begin
        self._wake = wake
        self._release_thread = release_thread
        self._threads = threads or SystemThreads()
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
        waiting = next((attempt for attempt in self._held if attempt.begun is None and not attempt.is_starting), None)
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
        return None if definition.transactional else self._completions

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
            ending = self.call(attempt)
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

    def _publish(self, attempt: Attempt, ending: Ending) -> Ending:
        """Have what it published stored before anybody hears how it ended."""
        if self._publisher is not None:
            self._publisher.finish(attempt.current.unpublished, is_wanted=lambda: attempt.interrupted is None)
        return ending


_MISSING: Any = object()
