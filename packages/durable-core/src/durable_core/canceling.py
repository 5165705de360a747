"""To cancel what the code has started, and parts of the code itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, assert_never

from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import encode
from durable_core.errors import DurableError, ScopeCanceled
from durable_core.handles import A_HANDLE, HANDLES, ActivityHandle, BranchHandle, ChildHandle, TaskHandle, TimerHandle
from durable_core.options import seconds_of, span_of
from durable_core.scopes import Scope
from durable_core.waits import BranchEnd, Future

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from durable_core.branch import Branch
    from durable_core.engine import Engine
    from durable_core.handles import Handle
    from durable_core.options import Duration


# What was started


def cancel(engine: Engine, handle: Handle, reason: str) -> bool:
    """False: it was over already. What was asked to end before is not asked again."""
    engine.check_caller()
    if not isinstance(handle, HANDLES):
        raise TypeError(f"cancel() got {handle!r}; expected {A_HANDLE}.")
    _check_reason(engine, reason)
    return ask_to_end(engine, handle, reason)


def ask_to_end(engine: Engine, handle: Handle, reason: str) -> bool:
    """The same, for a handle and a reason that are known to be good, and whoever asks."""
    end = engine.end_of(handle.call_id)
    if end.done_at:
        return False
    match handle:
        case ActivityHandle():
            if not engine.outcomes.was_asked_to_end(handle.call_id):
                engine.carry_out(c.CancelActivity(call_id=handle.call_id, reason=reason))
        case ChildHandle():
            if not engine.outcomes.was_asked_to_end(handle.call_id):
                engine.carry_out(c.CancelChild(call_id=handle.call_id, child_id=handle.id, reason=reason))
        case TimerHandle():
            engine.timers.disarm(handle.call_id)
            end.resolve(engine.carry_out(c.CancelTimer(call_id=handle.call_id)))
        case TaskHandle():
            if not engine.outcomes.was_asked_to_end(handle.call_id):
                engine.carry_out(c.CancelTask(call_id=handle.call_id, task_id=handle.id, reason=reason))
        case BranchHandle():
            assert isinstance(end, BranchEnd)
            cancel_part(engine, end.scope, reason)
        case _:
            assert_never(handle)
    return True


def _check_reason(engine: Engine, reason: str) -> None:
    if not isinstance(reason, str):
        raise TypeError(f"cancel(reason=) got {reason!r}; expected a text.")
    encode(reason, what="the reason of a cancel", limit=engine.payload_limit)


# Parts of the code


class CancelScope:
    """``with ctx.cancel_scope() as scope``: the part of the code that the block is."""

    def __init__(self, engine: Engine, timeout: Duration | None) -> None:
        self._engine = engine
        self._timeout = timeout
        self._timer: str | None = None  # its call
        self._branch = engine.branch
        self._part = Scope(engine.branch.scope)

    def __enter__(self) -> CancelScope:
        self._engine.check_caller()
        if self._part.is_over or self._branch.scope is not self._part.parent:
            raise DurableError("A cancel scope is one block, where ctx.cancel_scope() was called; call it again.")
        if self._timeout is not None:
            self._timer = _arm(self._engine, self._part, self._timeout)
        self._branch.enter(self._part)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        if self._timer is not None:
            self._engine.timers.disarm(self._timer)
        leave(self._engine, self._branch, self._part)
        return isinstance(error, ScopeCanceled) and error.scope is self._part

    @property
    def was_canceled(self) -> bool:
        """Whether it was canceled before its end, by code or by its time limit."""
        return self._part.is_canceled

    @property
    def reason(self) -> str:
        """Why it was canceled."""
        return self._part.reason

    def cancel(self, reason: str = "") -> bool:
        """End the waits inside of it, and what was started there; from any code of the run.

        False: it is over, or was canceled before.
        """
        self._engine.check_caller()
        _check_reason(self._engine, reason)
        return cancel_part(self._engine, self._part, reason)


class Deadline(Future):
    """What a part of the code must not be longer than: when its time has come, that is canceled."""

    __slots__ = ("_cancel",)

    def __init__(self, call_id: str, cancel: Callable[[], object]) -> None:
        super().__init__(call_id)
        self._cancel = cancel

    def resolve(self, fact: e.HistoryEvent | None, moment: int | None = None) -> None:
        super().resolve(fact, moment)
        self._cancel()


@contextmanager
def shielded(engine: Engine) -> Iterator[None]:
    """A part of the code that cancels of what is around it do not reach; they are raised at the next wait behind it."""
    engine.check_caller()
    branch, part = engine.branch, Scope(engine.branch.scope, is_shield=True)
    branch.enter(part)
    try:
        yield
    finally:
        leave(engine, branch, part)


@contextmanager
def shield(engine: Engine) -> Iterator[None]:
    """The same; they are raised at its end."""
    try:
        with shielded(engine):
            yield
    finally:
        engine.check_caller()
        engine.cancellation.check(engine.branch)


def leave(engine: Engine, branch: Branch, part: Scope) -> None:
    """The code comes to the end of a part. Of one that was canceled, nothing goes on."""
    if part.is_canceled and not branch.evicted:
        _end_all(engine, part)
    branch.leave(part)


def cancel_part(engine: Engine, part: Scope, reason: str) -> bool:
    """False: it is over, or was canceled before."""
    if part.is_over or part.is_canceled:
        return False
    engine.cancellation.cancel(part, reason, engine.branches)
    _end_all(engine, part)
    return True


def _end_all(engine: Engine, part: Scope) -> None:
    """Of what was started in there."""
    for handle in list(part.reached()):
        ask_to_end(engine, handle, part.reason)


def _arm(engine: Engine, part: Scope, timeout: Duration) -> str:
    """The call of the timer that cancels it."""
    fire_at = engine.moment_in(span_of(timeout, "cancel_scope(timeout=)"))
    call_id = engine.next_call_id()
    fact = engine.issue(c.StartTimer(call_id=call_id, fire_at=fire_at, waits_for=call_id))
    assert isinstance(fact, e.TimerStarted)
    why = f"its time limit of {seconds_of(timeout)} s was over"
    engine.timers.arm(call_id, fact.fire_at, Deadline(call_id, lambda: cancel_part(engine, part, why)))
    return call_id
