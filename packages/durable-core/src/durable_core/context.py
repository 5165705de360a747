"""`WorkflowContext`: the only door from workflow code to the outside.

A call either finds its fact in the history, or becomes a command and suspends the code's greenlet until the fact is
there. Nothing here does I/O; `Engine` is what a run offers to its context.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import NULL, Payload, decode, encode
from durable_core.definitions import (
    ActivityDefinition,
    ActivityOptions,
    WorkflowDefinition,
    WorkflowOptions,
    as_timedelta,
)
from durable_core.errors import (
    ActivityCanceled,
    ActivityError,
    ActivityTimeout,
    ChildCanceled,
    CodeStuck,
    ConfigurationError,
    PayloadError,
    RunEvicted,
    SideEffectError,
    WaitTimeout,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.failures import describe, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable_core.definitions import Duration, Registry


class Future:
    """The fact that a call waits for, once it is there."""

    __slots__ = ("call_id", "fact")

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.fact: e.HistoryEvent | None = None


class Waiting(NamedTuple):
    """What code waits for, as `waiting_for` tells it."""

    kind: str  # activity, child, signal or timer
    what: str


class Engine(Protocol):
    """What a run offers to its context."""

    registry: Registry
    info: WorkflowInfo
    time: datetime  # of the fact that the code is working on
    replaying: bool
    payload_limit: int

    @property
    def is_silent(self) -> bool: ...
    def check_caller(self) -> None: ...
    def is_recorded(self, event_type: str, name: str) -> bool: ...
    def next_call_id(self) -> str: ...
    def issue(self, command: c.Command) -> e.HistoryEvent: ...
    def side_effect(self, call_id: str, perform: Callable[[], c.Command]) -> e.HistoryEvent: ...
    def future(self, call_id: str) -> Future: ...
    def signal(self, call_id: str, name: str) -> Future: ...
    def withdraw(self, call_id: str, name: str) -> None: ...
    def wait(self, future: Future, waiting: Waiting, timer: tuple[str, datetime] | None = None) -> bool: ...
    def version(self, change_id: str, version: int, *, deprecated: bool = False) -> int: ...
    def shield(self, *, enter: bool) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """Who the run is."""

    execution_id: uuid.UUID
    workflow_name: str
    workflow_id: str | None
    parent_id: uuid.UUID | None
    queue: str
    priority: int
    created_at: datetime  # aware, UTC
    deadline: datetime | None  # aware, UTC; when the run times out


@dataclass(frozen=True, slots=True)
class ActivityHandle:
    """An activity that was started; `ctx.wait_activity` gets its result, as often as asked."""

    call_id: str
    activity_name: str


@dataclass(frozen=True, slots=True)
class ChildHandle:
    """A child workflow that was started; `ctx.wait_workflow` gets its result, as often as asked."""

    call_id: str
    workflow_name: str
    id: uuid.UUID

    def __str__(self) -> str:
        return str(self.id)


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
            if fact.failure["type"] == PayloadError.__name__:
                raise PayloadError(fact.failure["message"])
            raise SideEffectError(fact.failure["type"], fact.failure["message"])
        return decode(fact.result)

    # Activities

    def run_activity(
        self, activity: str | Callable[..., Any] | ActivityDefinition, /, *args: Any, **kwargs: Any
    ) -> Any:
        """The result of an activity: start it and wait for it.

        *activity* is a name, a registered function or ``function.using(timeout=5)``; all other arguments are the
        activity's own. Raises `ActivityError` (`ActivityTimeout`, `ActivityCanceled`) when it failed for good,
        `UnknownActivityError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_activity(self.start_activity(activity, *args, **kwargs))

    def start_activity(
        self, activity: str | Callable[..., Any] | ActivityDefinition, /, *args: Any, **kwargs: Any
    ) -> ActivityHandle:
        """Start an activity and go on; see `run_activity`."""
        engine = self._engine
        name, options = self._activity(activity, args, kwargs)
        payload = encode(
            {"args": args, "kwargs": kwargs}, what=f"the arguments of activity {name!r}", limit=engine.payload_limit
        )
        call_id = engine.next_call_id()
        engine.issue(c.ScheduleActivity(call_id=call_id, activity_name=name, input=payload, options=options))
        return ActivityHandle(call_id, name)

    def wait_activity(self, handle: ActivityHandle, *, timeout: Duration | None = None) -> Any:
        """The result of a started activity. After *timeout* seconds: `WaitTimeout`; the activity goes on."""
        if not isinstance(handle, ActivityHandle):
            raise TypeError(f"wait_activity() got {handle!r}; expected what ctx.start_activity() returned.")
        waiting = Waiting("activity", handle.activity_name)
        fact = self._await(handle.call_id, waiting, timeout)
        match fact:
            case e.ActivityCompleted():
                return decode(fact.result)
            case e.ActivityTimedOut():
                raise ActivityTimeout(handle.activity_name, kind=fact.kind, **_parts(fact.failure))
            case e.ActivityFailed():
                raise ActivityError(handle.activity_name, **_parts(fact.failure))
            case e.ActivityCanceled():
                raise ActivityCanceled(handle.activity_name, type_name="ActivityCanceled", message=fact.reason)
            case _:
                raise AssertionError(f"{fact} is no outcome of an activity")

    def _activity(
        self, activity: str | Callable[..., Any] | ActivityDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str, ActivityOptions]:
        # What is in the history was checked when the code first came here. Since then the function may have got another
        # signature, or live in other workers only: a replay just needs the name.
        engine = self._engine
        if isinstance(activity, str) and engine.is_recorded(e.ActivityScheduled.type, activity):
            return activity, ActivityOptions()
        definition = engine.registry.find_activity(activity)
        if not engine.is_recorded(e.ActivityScheduled.type, definition.name):
            definition.check_input(args, kwargs)
        return definition.name, definition.options

    # Time

    def sleep(self, duration: Duration) -> None:
        """Go on after *duration* (seconds or timedelta), by the database's clock, however often workers restart."""
        engine = self._engine
        span = _span(duration, "ctx.sleep()")
        call_id = engine.next_call_id()
        timer = engine.issue(c.StartTimer(call_id=call_id, fire_at=self._at(span)))
        assert isinstance(timer, e.TimerStarted)
        engine.wait(Future(call_id), Waiting("timer", "sleep"), (call_id, timer.fire_at))

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
        timer = None if wait.fire_at is None else (call_id, wait.fire_at)
        if not engine.wait(future, Waiting("signal", name), timer):
            engine.withdraw(call_id, name)
            raise WaitTimeout(f"no signal {name!r} came within {_seconds(timeout)} s")
        assert isinstance(future.fact, e.SignalReceived)
        return decode(future.fact.payload)

    # Children

    def run_workflow(self, workflow: str | Callable[..., Any] | WorkflowDefinition, /, **kwargs: Any) -> Any:
        """The result of a child workflow: start it and wait for it. Its input are the keywords.

        Raises `WorkflowFailed`, `WorkflowTimeout` or `WorkflowCanceled` as the child ended,
        `UnknownWorkflowError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_workflow(self.start_workflow(workflow, **kwargs))

    def start_workflow(self, workflow: str | Callable[..., Any] | WorkflowDefinition, /, **kwargs: Any) -> ChildHandle:
        """Start a child workflow and go on; see `run_workflow`. ``timeout=`` is the child's, as in the public call."""
        engine = self._engine
        changes = {"timeout": kwargs.pop("timeout")} if "timeout" in kwargs else {}
        name, options = self._child(workflow, changes, kwargs)
        payload = encode(kwargs, what=f"the input of workflow {name!r}", limit=engine.payload_limit)
        call_id = engine.next_call_id()
        # Made from the parent's id, so that a replay, or a second worker, can only mean the same child.
        child_id = uuid.uuid5(engine.info.execution_id, call_id)
        engine.issue(
            c.StartChildWorkflow(
                call_id=call_id,
                workflow_name=name,
                child_id=child_id,
                input=payload,
                options=options,
            )
        )
        return ChildHandle(call_id, name, child_id)

    def wait_workflow(self, handle: ChildHandle, *, timeout: Duration | None = None) -> Any:
        """The result of a started child. After *timeout* seconds: `WaitTimeout`; the child goes on."""
        if not isinstance(handle, ChildHandle):
            raise TypeError(f"wait_workflow() got {handle!r}; expected what ctx.start_workflow() returned.")
        fact = self._await(handle.call_id, Waiting("child", handle.workflow_name), timeout)
        label = f"child workflow {handle.workflow_name!r}"
        match fact:
            case e.ChildWorkflowCompleted():
                return decode(fact.result)
            case e.ChildWorkflowFailed():
                raise WorkflowFailed(
                    f"{label} failed: {summary(fact.failure)}",
                    execution_id=handle.id,
                    type_name=fact.failure["type"],
                    failure=fact.failure,
                )
            case e.ChildWorkflowCanceled():
                raise ChildCanceled(f"{label} was canceled", execution_id=handle.id, reason=fact.reason)
            case e.ChildWorkflowTimedOut():
                raise WorkflowTimeout(f"{label} timed out", execution_id=handle.id)
            case _:
                raise AssertionError(f"{fact} is no end of a child")

    def _child(
        self,
        workflow: str | Callable[..., Any] | WorkflowDefinition,
        changes: dict[str, Any],
        kwargs: dict[str, Any],
    ) -> tuple[str, WorkflowOptions]:
        engine = self._engine
        if isinstance(workflow, str) and engine.is_recorded(e.ChildWorkflowScheduled.type, workflow):
            return workflow, WorkflowOptions()
        definition = engine.registry.find_workflow(workflow)
        if changes:
            definition = definition.using(**changes)
        if definition.options.workflow_id is not None:
            raise ConfigurationError(
                f"child workflow {definition.name!r} was given a workflow_id; the id of a child is its parent's "
                "to make. Start it by start_workflow() in an activity if it needs one of its own."
            )
        if not engine.is_recorded(e.ChildWorkflowScheduled.type, definition.name):
            definition.check_input(kwargs)
        return definition.name, definition.options

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
        self._engine.shield(enter=True)
        try:
            yield
        finally:
            self._engine.shield(enter=False)

    # Inside

    def _await(self, call_id: str, waiting: Waiting, timeout: Duration | None) -> e.HistoryEvent:
        engine = self._engine
        future = engine.future(call_id)
        if timeout is None:
            engine.wait(future, waiting)
        else:
            span = _span(timeout, f"the timeout of a wait for {waiting.what!r}")
            timer_id = engine.next_call_id()  # taken whether or not the fact is there: ids depend on code alone
            if future.fact is None:
                timer = engine.issue(c.StartTimer(call_id=timer_id, fire_at=self._at(span), waits_for=call_id))
                assert isinstance(timer, e.TimerStarted)
                if not engine.wait(future, waiting, (timer_id, timer.fire_at)):
                    raise WaitTimeout(f"{waiting.kind} {waiting.what!r} was not done within {_seconds(timeout)} s")
        assert future.fact is not None
        return future.fact

    def _at(self, span: timedelta) -> datetime:
        try:
            return self._engine.time + span
        except OverflowError:
            raise ConfigurationError(f"a wait of {span} ends after the year 9999; expected a shorter one.") from None


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to ``durable.workflow.<name>`` with the run's id in `extra`; silent while code is replayed or unwound."""

    def __init__(self, engine: Engine) -> None:
        info = engine.info
        extra = {"execution_id": str(info.execution_id), "workflow_name": info.workflow_name}
        super().__init__(logging.getLogger(f"durable.workflow.{info.workflow_name}"), extra)
        self._engine = engine

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        return not self._engine.is_silent and super().isEnabledFor(level)


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


def _parts(failure: dict[str, Any]) -> dict[str, Any]:
    return {
        "type_name": failure.get("type", ""),
        "message": failure.get("message", ""),
        "attempt": failure.get("attempt", 0),
        "base_type_names": failure.get("bases", ()),
        "traceback": failure.get("traceback", ""),
        "cause": failure.get("cause"),
    }


__all__ = ["ActivityHandle", "ChildHandle", "Payload", "WorkflowContext", "WorkflowInfo"]
