"""What activity code may ask about itself: `current_activity()` and `activity_heartbeat()`."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from durable_core.codec import MAX_PAYLOAD_BYTES, Payload, decode, encode
from durable_core.errors import ActivityCanceled, ConfigurationError, DurableError
from durable_core.options import DEFAULT_STREAM, check_name, span_of
from durable_core.unpublished import Unpublished

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from durable_core.options import Duration
    from durable_core.ports import Detached, TaskRecord
    from durable_core.unpublished import Outlet

R = TypeVar("R")


class Completions(Protocol):
    """What an attempt needs of its worker to be completed by somebody else."""

    def issue(self, task: TaskRecord, expires: timedelta) -> tuple[str, datetime]:
        """A token, and its end."""

    def leave(self, task: TaskRecord, expires_at: datetime) -> Detached:
        """From now on it is up to who has the token."""

    async def aside(self, fn: Callable[[], R]) -> R:
        """What one of the others returns, while the event loop goes on."""


class CurrentActivity:
    """The attempt that runs in this thread, or in this task of an event loop."""

    def __init__(
        self,
        task: TaskRecord,
        payload_limit: int = MAX_PAYLOAD_BYTES,
        outlet: Outlet | None = None,
        completions: Completions | None = None,
        *,
        is_async: bool = False,
    ) -> None:
        self._task = task
        self._completions = completions
        self._is_async = is_async
        self._token_lock = threading.Lock()
        self._expected: tuple[str, datetime] | None = None  # token of this attempt, and its end
        self._payload_limit = payload_limit
        self.unpublished = Unpublished(task, outlet)  # for the worker
        self._lock = threading.Lock()
        self._beat: tuple[Payload | None] | None = None
        self._canceled = False

    @property
    def id(self) -> UUID:
        return self._task.id

    @property
    def execution_id(self) -> UUID:
        return self._task.run_id

    @property
    def name(self) -> str:
        return self._task.activity_name

    @property
    def attempt(self) -> int:
        """From 1."""
        return self._task.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this call, and for no other call: hand it to services that deduplicate."""
        return f"{self._task.run_id}:{self._task.call_id}"

    @property
    def heartbeat_details(self) -> Any:
        """What the last heartbeat of an earlier attempt carried; None if there was none."""
        details = self._task.heartbeat_details
        return None if details is None else decode(details)

    @property
    def canceled(self) -> bool:
        """Whether nobody wants the result any more. Known within about a second."""
        return self._canceled

    def completion_token(self, expires: Duration) -> str:
        """A secret by which somebody else may say how this attempt ended: ``raise CompleteLater`` leaves it to them.

        It holds for *expires* (seconds or a timedelta), and for this attempt only; asked again, it is the same. Raises
        `ConfigurationError` where nobody else could complete it, in a transactional or a local activity, and in an
        ``async def``, which awaits `acompletion_token`.
        """
        if self._is_async:
            raise ConfigurationError(
                f"activity {self.name!r} is async, and completion_token() would block its event loop; expected await "
                "current_activity().acompletion_token(...)."
            )
        return self._expect(self._given_away(), expires)

    async def acompletion_token(self, expires: Duration) -> str:
        """`completion_token` for an ``async def`` activity."""
        completions = self._given_away()
        return await completions.aside(partial(self._expect, completions, expires))

    def _given_away(self) -> Completions:
        if self._completions is None:
            raise ConfigurationError(
                f"activity {self.name!r} asked for a completion token; expected an ordinary activity: one that is "
                "transactional or local ends with its function."
            )
        return self._completions

    def _expect(self, completions: Completions, expires: Duration) -> str:
        with self._token_lock:  # two tasks of an event loop may ask at a time, and a second token would end the first
            if self._expected is None:
                self._expected = completions.issue(self._task, span_of(expires, "completion_token(expires=)"))
            return self._expected[0]

    def heartbeat(self, details: Any = None) -> None:
        what = "the details of a heartbeat"
        payload = None if details is None else encode(details, what=what, limit=self._payload_limit)
        self.note_beat(payload)
        if self._canceled:
            raise self.cancellation()

    def publish(self, item: Any, *, stream: str = DEFAULT_STREAM, number: int | None = None) -> None:
        """Append *item* to a stream of the run, which others read with `read_stream()`, within about 0.1 s.

        Cheap: another thread writes what has come together meanwhile, and all of it before the activity's outcome. The
        n-th item that a later attempt publishes in a stream is the n-th of an earlier one, if there was such a one: it
        is not published again. *number* says which item it is, from 0, where an attempt does not begin at the first.
        """
        if number is not None and (type(number) is not int or not 0 <= number < 2**31):
            raise ConfigurationError(
                f"publish(number=) got {number!r}; expected the item's place in its stream, from 0."
            )
        check_name(stream, "the stream of publish()")
        payload = encode(item, what=f"an item for stream {stream!r}", limit=self._payload_limit)
        self.unpublished.put(stream, payload, number)

    # For the worker

    def note_beat(self, details: Payload | None) -> None:
        """It is alive."""
        with self._lock:
            if details is not None or self._beat is None:  # or details that are not written yet would be lost
                self._beat = (details,)

    def complete_later(self) -> Detached | None:
        """Leave the attempt to who has the token; None: nobody has one."""
        if self._expected is None or self._completions is None:
            return None
        return self._completions.leave(self._task, self._expected[1])

    def cancellation(self) -> ActivityCanceled:
        """What tells code that nobody wants its result."""
        return ActivityCanceled(
            self.name, type_name="ActivityCanceled", message="its workflow wants it no more", attempt=self.attempt
        )

    def take_beat(self) -> tuple[Payload | None] | None:
        """The details of a heartbeat since the last call, in a tuple; None without one."""
        with self._lock:
            beat, self._beat = self._beat, None
        return beat

    def put_back(self, beat: tuple[Payload | None]) -> None:
        """It could not be written; a later one with details of its own replaces it."""
        with self._lock:
            if self._beat is None or self._beat[0] is None:
                self._beat = beat

    def cancel(self) -> None:
        self._canceled = True


_current: ContextVar[CurrentActivity | None] = ContextVar("durable_current_activity", default=None)


def current_activity() -> CurrentActivity:
    """The attempt that is running. Raises `DurableError` outside of an activity run by a worker."""
    current = _current.get()
    if current is None:
        raise DurableError("current_activity() was called outside of an activity that a worker runs.")
    return current


def activity_heartbeat(details: Any = None) -> None:
    """Say that the activity is alive; *details* (JSON) are handed to the next attempt if this one dies.

    Cheap: it is written by another thread, at most about once a second. Raises `ActivityCanceled` once the workflow
    wants the result no more. Outside of a worker, as in a unit test of the function, it does nothing.
    """
    current = _current.get()
    if current is not None:
        current.heartbeat(details)


def find() -> CurrentActivity | None:
    """As `current_activity`; None outside of an activity."""
    return _current.get()


def enter(current: CurrentActivity | None) -> None:
    _current.set(current)
