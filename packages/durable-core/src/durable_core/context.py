"""`WorkflowContext`: the only door from workflow code to the outside.

A call either finds its fact in the history, or becomes a command and suspends the code's greenlet until the fact is
there. Nothing here does I/O.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from durable_core import asks, canceling, composition, external, outputs
from durable_core import commands as c
from durable_core import events as e
from durable_core.calls import continue_as_new
from durable_core.canceling import CancelScope
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
from durable_core.handles import (
    A_HANDLE,
    HANDLES,
    ActivityHandle,
    BranchHandle,
    ChildHandle,
    SignalToCome,
    TaskHandle,
    TimerHandle,
)
from durable_core.logs import ReplaySafeLogger
from durable_core.options import DEFAULT_STREAM, seconds_of, span_of
from durable_core.sagas import Saga
from durable_core.started import StartingCalls
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from random import Random

    from durable_core.engine import Engine
    from durable_core.handles import Handle
    from durable_core.options import Duration

T = TypeVar("T")


class WorkflowContext(StartingCalls):
    """What workflow code may do. Every value that comes out of it is a fresh copy, the same on every replay."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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
        """The run's own generator, seeded by its id, and anew where it was forked. Not for secrets."""
        self._engine.check_caller()
        return self._engine.seeds.random

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

    # Time

    def sleep(self, duration: Duration) -> None:
        """Go on after *duration* (seconds or timedelta), by the database's clock, however often workers restart."""
        engine = self._engine
        fire_at = engine.moment_in(span_of(duration, "ctx.sleep()"))
        call_id = engine.next_call_id()
        fact = engine.issue(c.StartTimer(call_id=call_id, fire_at=fire_at))
        assert isinstance(fact, e.TimerStarted)
        with engine.armed(call_id, fact.fire_at) as timer:
            engine.wait(timer, Waiting("timer", "sleep"), until=fact.fire_at)

    def timer(self, duration: Duration) -> TimerHandle:
        """Start a timer and go on; for `select` and `gather`. It fires after *duration*, as a sleep ends."""
        return composition.start_timer(self._engine, duration)

    def wait_until(self, predicate: Callable[[], bool], *, timeout: Duration | None = None) -> None:
        """Go on when *predicate* holds: it looks at variables that branches of this code set, and has no ctx.

        It is asked again whenever anything has happened in the run. After *timeout* (seconds or timedelta):
        `WaitTimeout`.
        """
        composition.wait_until(self._engine, predicate, timeout)

    # Signals

    @overload
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: type[T]) -> T: ...
    @overload
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: Any = None) -> Any: ...
    def wait_signal(self, name: str, *, timeout: Duration | None = None, type: Any = None) -> Any:
        """The payload of the oldest signal *name* that was not consumed yet.

        Signals are kept from the moment they are sent, also before the code waits. *type* is what an annotation would
        be: the payload comes as that, and raises `PayloadError` if it does not fit; the signal is consumed all the
        same. After *timeout* (seconds or timedelta): `WaitTimeout`.
        """
        engine = self._engine
        if not _is_name(name):
            raise TypeError(f"wait_signal() got {name!r}; expected the signal's name.")
        fire_at = None if timeout is None else engine.moment_in(span_of(timeout, "wait_signal(timeout=)"))
        call_id = engine.next_call_id()
        fact = engine.issue(c.StartSignalWait(call_id=call_id, name=name, fire_at=fire_at))
        assert isinstance(fact, e.SignalWaitStarted)
        signal = engine.signals.listen(call_id, name)
        try:
            with engine.armed(call_id, fact.fire_at) as timer:
                engine.wait([signal, *timer], Waiting("signal", name), until=fact.fire_at)
        finally:
            composition.withdraw(engine, signal)
        if not signal.done_at:
            raise WaitTimeout(f"no signal {name!r} came within {seconds_of(timeout)} s")
        return composition.payload_of(signal, type)

    def signal(self, name: str, *, type: Any = None) -> SignalToCome:
        """For `select`: the oldest signal *name* that was not consumed yet, or the next one; *type* as above."""
        if not _is_name(name):
            raise TypeError(f"signal() got {name!r}; expected the signal's name.")
        return SignalToCome(name, type)

    # Several things at once

    def gather(self, *handles: Handle, return_exceptions: bool = False) -> list[Any]:
        """The results of all *handles*, in their order, once all are done.

        Then the first failure in that order is raised; with *return_exceptions* it stands among the results instead.
        """
        return composition.gather(self._engine, handles, return_exceptions=return_exceptions)

    def select(self, *, timeout: Duration | None = None, **waitables: Handle | SignalToCome) -> tuple[str, Any]:
        """The name and the result of whichever comes first, by the order of the history::

            match ctx.select(paid=ctx.signal("paid"), shipped=handle, timeout=3600):
                case "paid", payment: ...
                case "shipped", parcel: ...
                case "timeout", None: ...

        Raises the failure of what came first. What did not come first goes on; a signal stays unread.
        """
        return composition.select(self._engine, waitables, timeout)

    def spawn(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> BranchHandle:
        """Run a function of this code beside it, in a branch: it may use ctx, and takes its turns when others wait.

        `gather`, `select` and `wait` get its result, as it is, and its error. A branch ends with the run: wait for it.
        """
        return composition.spawn(self._engine, fn, args, kwargs)

    def wait(self, handle: Handle, *, timeout: Duration | None = None) -> Any:
        """The result of anything that was started. After *timeout* seconds: `WaitTimeout`; it goes on."""
        if not isinstance(handle, HANDLES):
            raise TypeError(f"wait() got {handle!r}; expected {A_HANDLE}.")
        return composition.wait(self._engine, handle, timeout)

    # The end

    def continue_as_new(self, **kwargs: Any) -> NoReturn:
        """End this run here, and go on in a new one with an empty history and these keywords as its input.

        For code that goes on for years: the new run has the same workflow, workflow_id, queue, priority and parent, as
        much time as this one had, and all signals that nobody has read. What this run has started and not waited for
        ends as if it had returned. Raises `TypeError` or `PayloadError` at once when the input is wrong.
        """
        continue_as_new(self._engine, kwargs)

    # Questions and requests from outside

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        """Let *handler* answer the query *name*: a function that looks at variables of this code.

        It gets the keywords of the question, and runs on a copy of this run that was brought back to be asked, in any
        process, also when the run has ended. It may read ctx, not use it. The last handler of a name answers.
        """
        self._engine.check_caller()
        self._engine.queries.register(name, handler)

    def on_update(self, name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None) -> None:
        """Let *handler* act on the update *name*, and answer it with what it returns.

        Both get the keywords of the update. *validator* may raise to reject it, looks and changes nothing; of a
        rejected update nothing is in the history. *handler* is code of this workflow: it runs in a branch of its own,
        and may use ctx. What it raises fails the update, not the run. Register before the first wait.
        """
        self._engine.check_caller()
        self._engine.updates.register(name, handler, validator)

    def all_handlers_finished(self) -> bool:
        """Whether no accepted update is under way: ``ctx.wait_until(ctx.all_handlers_finished)`` before the end."""
        return not self._engine.updates.under_way

    # What others may read

    def set_event(self, key: str, value: Any) -> None:
        """Let others read *value* under *key* with `get_event()`, from this step on, until it is set anew.

        Raises `ConfigurationError` for a key that is no name, and `PayloadError` for what JSON cannot hold.
        """
        outputs.set_event(self._engine, key, value)

    def publish(self, item: Any, *, stream: str = DEFAULT_STREAM) -> None:
        """Append *item* to a stream of this run, which others read with `read_stream()`.

        Raises `ConfigurationError` for a stream that is no name, and `PayloadError` for what JSON cannot hold.
        """
        outputs.publish(self._engine, item, stream)

    # People

    def ask(
        self,
        question: str,
        *,
        form: Any = None,
        assignee: str | None = None,
        permission: str | None = None,
        timeout: Duration | None = None,
    ) -> Any:
        """What a person answers, in the admin or by `answer_task()`, once; see `start_ask`."""
        return asks.ask(self._engine, question, form, assignee, permission, timeout)

    def start_ask(
        self,
        question: str,
        *,
        form: Any = None,
        assignee: str | None = None,
        permission: str | None = None,
        timeout: Duration | None = None,
    ) -> TaskHandle:
        """Ask a person and go on; `wait`, `gather` and `select` get the answer, `cancel` withdraws the question.

        *form* says what an answer is: a form class or its dotted path, a list of choices, an Enum, or None for
        anything. *assignee* is whom it is for, *permission* what who answers must have. After *timeout* it cannot be
        answered any more, and whoever waits gets `WaitTimeout`. Questions end with the run.
        """
        return asks.start_ask(self._engine, question, form, assignee, permission, timeout)

    # Other runs

    def signal_workflow(
        self,
        name: str,
        payload: Any = None,
        *,
        to: ChildHandle | uuid.UUID | str | None = None,
        workflow_id: str | None = None,
    ) -> None:
        """Send a signal to another run, once: *to* a child or an execution's id, or the open run with *workflow_id*.

        Goes on when it is in that run's mailbox. Raises `WorkflowClosed` or `UnknownExecutionError` where there is no
        run to take it.
        """
        external.send_signal(self._engine, name, payload, to, workflow_id)

    def cancel_workflow(
        self,
        *,
        to: ChildHandle | uuid.UUID | str | None = None,
        workflow_id: str | None = None,
        reason: str = "",
        graceful: bool = False,
    ) -> None:
        """Cancel another run, which hears of it when a worker looks at it next; see `signal_workflow`."""
        external.send_cancel(self._engine, to, workflow_id, reason, graceful=graceful)

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

    def cancel(self, handle: Handle, reason: str = "") -> bool:
        """Say that something is not wanted any more; False: it was over already.

        A timer, or an activity that no worker has begun, ends at once. An activity under way hears of it at its next
        heartbeat, a child as of a graceful cancel, a branch at its current wait; how they end is up to them. Whoever
        waits gets `ActivityCanceled`, `ChildCanceled`, `BranchCanceled` or `TimerCanceled`, or else the outcome.
        """
        return canceling.cancel(self._engine, handle, reason)

    def saga(self) -> Saga:
        """A block whose steps are undone if an exception leaves it, a cancel included::

            with ctx.saga() as saga:
                payment = saga.run(charge, order_id, undo=refund)
                saga.run(ship, order_id, undo=call_back)

        Undos get the results of their steps and run last in first out, shielded from cancels; the exception then goes
        on. If undos fail, all others run, and `SagaError` is raised instead.
        """
        self._engine.check_caller()
        return Saga(self._engine)

    def cancel_scope(self, timeout: Duration | None = None) -> CancelScope:
        """A block that can be canceled by itself: by ``scope.cancel()`` in any code of the run, or by its time limit.

        That ends the waits inside of it, those of branches that were spawned there included, by `ScopeCanceled`, which
        the block takes at its end; and all that was started there. ``scope.was_canceled`` tells of it afterwards.
        """
        self._engine.check_caller()
        return CancelScope(self._engine, timeout)

    def shield(self) -> AbstractContextManager[None]:
        """A graceful cancel, or one of a scope around it, that arrives inside the block is raised at its end."""
        return canceling.shield(self._engine)


_REFUSED = type_names(PayloadError)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


__all__ = [
    "ActivityHandle",
    "BranchHandle",
    "ChildHandle",
    "TaskHandle",
    "TimerHandle",
    "WorkflowContext",
    "WorkflowInfo",
]
