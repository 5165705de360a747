"""`WorkflowContext`: the only door from workflow code to the outside.

A call either finds its fact in the history, or becomes a command and suspends the code's greenlet until the fact is
there. Nothing here does I/O.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from durable_core import commands as c
from durable_core import events as e
from durable_core.calls import start_activity, start_child
from durable_core.codec import NULL, decode, encode
from durable_core.engine import WorkflowInfo
from durable_core.errors import (
    CodeStuck,
    ConfigurationError,
    PayloadError,
    RunEvicted,
    SideEffectError,
    WaitTimeout,
)
from durable_core.failures import describe, type_names
from durable_core.handles import ActivityHandle, ChildHandle, result_of, waiting_for
from durable_core.logs import ReplaySafeLogger
from durable_core.options import as_timedelta
from durable_core.waits import Future, Timer, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from durable_core.calls import Activity, Workflow
    from durable_core.engine import Engine
    from durable_core.handles import Handle
    from durable_core.options import Duration


class WorkflowContext:
    """What workflow code may do. Every value that comes out of it is a fresh copy, the same on every replay."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._random: Random | None = None
        self._logger: ReplaySafeLogger | None = None

    @property
    def info(self) -> WorkflowInfo:
        """Ids, queue and deadline of this run."""
        return self._engine.info

    @property
    def logger(self) -> ReplaySafeLogger:
        """Logs to ``durable.workflow.<name>``; silent while the code is replayed."""
        if self._logger is None:
            self._logger = ReplaySafeLogger(self._engine)
        return self._logger

    @property
    def is_replaying(self) -> bool:
        """Whether the code is being brought back to where it was. For logging, never for decisions."""
        return self._engine.replaying

    # Values that are the same on every replay

    def now(self) -> datetime:
        """The logged time of the current step: aware, UTC, never going back."""
        return self._engine.time

    def random(self) -> Random:
        """The run's own generator, seeded by its id. Not for secrets."""
        self._engine.check_caller()
        if self._random is None:  # it takes longer to seed than most steps take
            self._random = Random(self._engine.info.execution_id.int)  # must be repeatable, never a secret
        return self._random

    def uuid4(self) -> uuid.UUID:
        """A random UUID from `random()`."""
        return uuid.UUID(int=self.random().getrandbits(128), version=4)

    def side_effect(self, fn: Callable[[], Any]) -> Any:
        """What *fn* returned when the code came here first. It is called once per run and must be quick.

        *fn* has no ctx: on a replay it is not called. Raises `SideEffectError` if it raised, and `PayloadError` for a
        value that JSON cannot hold.
        """
        engine = self._engine
        call_id = engine.next_call_id()

        def perform() -> c.Command:
            try:
                result = encode(fn(), what="the value of a side effect", limit=engine.payload_limit)
            except (RunEvicted, CodeStuck, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - any failure of user code is a result
                return c.RecordSideEffect(call_id=call_id, result=NULL, failure=describe(error))
            return c.RecordSideEffect(call_id=call_id, result=result, failure=None)

        fact = engine.side_effect(call_id, perform)
        assert isinstance(fact, e.SideEffectRecorded)
        if fact.failure is not None:
            if [fact.failure["type"], *fact.failure["bases"]] == _REFUSED:  # not another class of the same name
                raise PayloadError(fact.failure["message"])
            raise SideEffectError(fact.failure["type"], fact.failure["message"])
        return decode(fact.result)

    # Activities

    def run_activity(self, activity: Activity, /, *args: Any, **kwargs: Any) -> Any:
        """The result of an activity: start it and wait for it.

        *activity* is a name, a registered function or ``function.using(timeout=5)``; all other arguments are the
        activity's own. Raises `ActivityError` (`ActivityTimeout`, `ActivityCanceled`) when it failed for good,
        `UnknownActivityError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_activity(self.start_activity(activity, *args, **kwargs))

    def start_activity(self, activity: Activity, /, *args: Any, **kwargs: Any) -> ActivityHandle:
        """Start an activity and go on; see `run_activity`."""
        return start_activity(self._engine, activity, args, kwargs)

    def wait_activity(self, handle: ActivityHandle, *, timeout: Duration | None = None) -> Any:
        """The result of a started activity. After *timeout* seconds: `WaitTimeout`; the activity goes on."""
        if not isinstance(handle, ActivityHandle):
            raise TypeError(f"wait_activity() got {handle!r}; expected what ctx.start_activity() returned.")
        return self._result_of(handle, timeout)

    # Time

    def sleep(self, duration: Duration) -> None:
        """Go on after *duration* (seconds or timedelta), by the database's clock, however often workers restart."""
        engine = self._engine
        span = _span(duration, "ctx.sleep()")
        call_id = engine.next_call_id()
        timer = engine.issue(c.StartTimer(call_id=call_id, fire_at=self._at(span)))
        assert isinstance(timer, e.TimerStarted)
        engine.wait(Future(call_id), Waiting("timer", "sleep"), Timer(call_id, timer.fire_at))

    # Signals

    def wait_signal(self, name: str, *, timeout: Duration | None = None) -> Any:
        """The payload of the oldest signal *name* that was not consumed yet.

        Signals are kept from the moment they are sent, also before the code waits. After *timeout* (seconds or
        timedelta): `WaitTimeout`.
        """
        engine = self._engine
        if not _is_name(name):
            raise TypeError(f"wait_signal() got {name!r}; expected the signal's name.")
        fire_at = None if timeout is None else self._at(_span(timeout, "wait_signal(timeout=)"))
        call_id = engine.next_call_id()
        wait = engine.issue(c.StartSignalWait(call_id=call_id, name=name, fire_at=fire_at))
        assert isinstance(wait, e.SignalWaitStarted)
        future = engine.signal(call_id, name)
        timer = None if wait.fire_at is None else Timer(call_id, wait.fire_at)
        if not engine.wait(future, Waiting("signal", name), timer):
            raise WaitTimeout(f"no signal {name!r} came within {_seconds(timeout)} s")
        assert isinstance(future.fact, e.SignalReceived)
        return decode(future.fact.payload)

    # Children

    def run_workflow(self, workflow: Workflow, /, **kwargs: Any) -> Any:
        """The result of a child workflow: start it and wait for it. Its input are the keywords.

        Raises `WorkflowFailed`, `WorkflowTimeout` or `WorkflowCanceled` as the child ended,
        `UnknownWorkflowError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_workflow(self.start_workflow(workflow, **kwargs))

    def start_workflow(self, workflow: Workflow, /, **kwargs: Any) -> ChildHandle:
        """Start a child workflow and go on; see `run_workflow`. ``timeout=`` is the child's, as in the public call."""
        return start_child(self._engine, workflow, kwargs)

    def wait_workflow(self, handle: ChildHandle, *, timeout: Duration | None = None) -> Any:
        """The result of a started child. After *timeout* seconds: `WaitTimeout`; the child goes on."""
        if not isinstance(handle, ChildHandle):
            raise TypeError(f"wait_workflow() got {handle!r}; expected what ctx.start_workflow() returned.")
        return self._result_of(handle, timeout)

    # Changing code under running workflows

    def patched(self, change_id: str) -> bool:
        """True in runs that come here with this code first; False in runs that have passed this point without it.

        One answer per run, however often it is asked. See `deprecate_patch` for what comes afterwards.
        """
        return self._engine.version(change_id, 1) > 0

    def deprecate_patch(self, change_id: str) -> None:
        """Keep histories with the marker of *change_id* replayable after the old branch was deleted.

        Once no open run has a marker that is not deprecated, this call may be deleted too.
        """
        self._engine.version(change_id, 1, deprecated=True)

    def get_version(self, change_id: str, version: int) -> int:
        """The version of *change_id* that this run goes by: *version* in new runs, the recorded one in others.

        0 means that the run passed this point before the change existed.
        """
        if type(version) is not int or version < 1:
            raise ConfigurationError(f"get_version({change_id!r}) got version {version!r}; expected 1 or more.")
        return self._engine.version(change_id, version)

    # Cancellation

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A graceful cancel that arrives inside the block is raised at its end."""
        self._engine.enter_shield()
        try:
            yield
        finally:
            self._engine.leave_shield()

    # Inside

    def _result_of(self, handle: Handle, timeout: Duration | None) -> Any:
        engine = self._engine
        future, waiting = engine.outcome(handle.call_id), waiting_for(handle)
        if timeout is None:
            engine.wait(future, waiting)
        else:
            span = _span(timeout, f"the timeout of a wait for {waiting.what!r}")
            timer_id = engine.next_call_id()  # taken whether or not the fact is there: ids depend on code alone
            if future.fact is None:
                timer = engine.issue(c.StartTimer(call_id=timer_id, fire_at=self._at(span), waits_for=handle.call_id))
                assert isinstance(timer, e.TimerStarted)
                if not engine.wait(future, waiting, Timer(timer_id, timer.fire_at)):
                    raise WaitTimeout(f"{waiting.kind} {waiting.what!r} was not done within {_seconds(timeout)} s")
        assert future.fact is not None
        return result_of(handle, future.fact)

    def _at(self, span: timedelta) -> datetime:
        try:
            return self._engine.time + span
        except OverflowError:
            raise ConfigurationError(f"a wait of {span} ends after the year 9999; expected a shorter one.") from None


_REFUSED = type_names(PayloadError)


def _span(duration: Duration, what: str) -> timedelta:
    span = as_timedelta(duration, what=what)
    if span is None:
        raise ConfigurationError(f"{what} is None; expected seconds or a timedelta.")
    return span


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _seconds(duration: Duration | None) -> str:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return f"{seconds:.15g}"


__all__ = ["ActivityHandle", "ChildHandle", "WorkflowContext", "WorkflowInfo"]
