"""Several things at once: waits for all of them, or for the first; code in branches; conditions and timers.

What starts something takes its ids when it is called, whatever becomes of it; which of two came first is read from the
order of the log. So nothing here depends on when a replay happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_core import canceling
from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import decode
from durable_core.errors import WaitTimeout
from durable_core.handles import (
    A_HANDLE,
    HANDLES,
    BranchHandle,
    SignalToCome,
    TimerHandle,
    result_of,
    waiting_for,
)
from durable_core.inbox import Listener
from durable_core.options import seconds_of, span_of
from durable_core.typed import load_as
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from durable_core.engine import Engine
    from durable_core.handles import ActivityHandle, Handle
    from durable_core.options import Duration
    from durable_core.waits import Future

LISTED = 5  # names in one text


def wait(engine: Engine, handle: Handle, timeout: Duration | None) -> Any:
    """The result of one thing. After *timeout*: `WaitTimeout`, and it goes on."""
    end, waiting = engine.end_of(handle.call_id), waiting_for(handle)
    if timeout is None:
        engine.wait([end], waiting)
        return result_of(engine, handle, end)
    span = span_of(timeout, f"the timeout of a wait for {waiting.what!r}")
    call_id = engine.next_call_id()  # taken whether or not the fact is there: ids depend on code alone
    if not end.done_at:
        fact = engine.issue(c.StartTimer(call_id=call_id, fire_at=engine.moment_in(span), waits_for=handle.call_id))
        assert isinstance(fact, e.TimerStarted)
        with engine.armed(call_id, fact.fire_at) as timer:
            engine.wait([end, *timer], waiting, until=fact.fire_at)
        if not end.done_at:
            raise WaitTimeout(f"{waiting.kind} {waiting.what!r} was not done within {seconds_of(timeout)} s")
    return result_of(engine, handle, end)


def wait_here(engine: Engine, handle: ActivityHandle[Any]) -> Any:
    """The result of a local activity."""
    end = engine.end_of(handle.call_id)
    engine.wait([end], Waiting("local activity", handle.activity_name))
    return result_of(engine, handle, end)


def gather(engine: Engine, handles: Sequence[Handle], *, return_exceptions: bool) -> list[Any]:
    """All results, in the order of *handles*, when all are done; raises the first failure in that order."""
    for handle in handles:
        if not isinstance(handle, HANDLES):
            raise TypeError(f"gather() got {handle!r}; expected {A_HANDLE}.")
    ends = [engine.end_of(handle.call_id) for handle in handles]
    engine.wait(ends, Waiting("several", f"all of {_listed(handles)}"), for_all=True)
    results: list[Any] = []
    failure: Exception | None = None
    for handle, end in zip(handles, ends, strict=True):
        try:
            results.append(result_of(engine, handle, end))
        except Exception as error:  # noqa: BLE001 - whatever the code of a branch raised
            failure = failure or error
            results.append(error)
    if failure is not None and not return_exceptions:
        raise failure
    return results


def select(engine: Engine, waitables: Mapping[str, Handle | SignalToCome], timeout: Duration | None) -> tuple[str, Any]:
    """The name and the result of what is done first; raises its failure. ("timeout", None) after *timeout*."""
    for name, waitable in waitables.items():
        if not isinstance(waitable, (*HANDLES, SignalToCome)):
            raise TypeError(f"select({name}=) got {waitable!r}; expected {A_HANDLE}, or ctx.signal(name).")
    if not waitables and timeout is None:
        raise TypeError("select() got nothing to wait for; expected handles or signals by name, or a timeout.")
    fire_at = None if timeout is None else engine.moment_in(span_of(timeout, "select(timeout=)"))
    call_id = engine.next_call_id()
    for place, waitable in enumerate(waitables.values()):
        if isinstance(waitable, SignalToCome):
            engine.issue(c.StartSignalWait(call_id=f"{call_id}.{place}", name=waitable.name, fire_at=None))
    ready = {name: waitable for name, waitable in waitables.items() if _came_at(engine, waitable)}
    if ready:
        first = min(ready, key=lambda name: _came_at(engine, ready[name]))
        ends = _ends(engine, call_id, {first: ready[first]})
    else:
        if fire_at is not None:
            started = engine.issue(c.StartTimer(call_id=call_id, fire_at=fire_at, waits_for=call_id))
            assert isinstance(started, e.TimerStarted)
            fire_at = started.fire_at
        ends = _ends(engine, call_id, waitables)
        try:
            with engine.armed(call_id, fire_at) as timer:
                told = Waiting("several", f"the first of {_listed(waitables.values())}")
                engine.wait([*ends.values(), *timer], told, until=fire_at)
        finally:
            for end in ends.values():
                withdraw(engine, end)
    done = [name for name, end in ends.items() if end.done_at]
    if not done:
        return "timeout", None
    first = min(done, key=lambda name: ends[name].done_at)
    return first, _value_of(engine, waitables[first], ends[first])


def _came_at(engine: Engine, waitable: Handle | SignalToCome) -> int:
    """Its moment; 0: it is not there yet."""
    if isinstance(waitable, SignalToCome):
        return engine.signals.came_at(waitable.name)
    return engine.end_of(waitable.call_id).done_at


def _ends(engine: Engine, call_id: str, waitables: Mapping[str, Handle | SignalToCome]) -> dict[str, Future]:
    return {
        name: engine.signals.listen(call_id, waitable.name)
        if isinstance(waitable, SignalToCome)
        else engine.end_of(waitable.call_id)
        for name, waitable in waitables.items()
    }


def _value_of(engine: Engine, waitable: Handle | SignalToCome, end: Future) -> Any:
    return payload_of(end, waitable.type) if isinstance(waitable, SignalToCome) else result_of(engine, waitable, end)


def payload_of(end: Future, annotation: Any = None) -> Any:
    """Of a signal that came, as the type that *annotation* says. Raises `PayloadError` for one that does not fit."""
    assert isinstance(end.fact, e.SignalReceived)
    value = decode(end.fact.payload)
    return value if annotation is None else load_as(annotation, value, f"the payload of signal {end.fact.name!r}")


def withdraw(engine: Engine, end: Future) -> None:
    """Whoever waits for it waits no more: if it is a signal that has not come, the next one is for somebody else."""
    if isinstance(end, Listener) and not end.done_at:
        engine.signals.withdraw(end)


# Timers


def start_timer(engine: Engine, duration: Duration) -> TimerHandle:
    fire_at = engine.moment_in(span_of(duration, "ctx.timer()"))
    call_id = engine.next_call_id()
    fact = engine.issue(c.StartTimer(call_id=call_id, fire_at=fire_at))
    assert isinstance(fact, e.TimerStarted)
    engine.ends[call_id] = engine.timers.arm(call_id, fact.fire_at)
    handle = TimerHandle(call_id, fact.fire_at)
    engine.branch.scope.add(handle)
    return handle


# Branches


def spawn(engine: Engine, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> BranchHandle[Any]:
    if not callable(fn):
        raise TypeError(f"spawn() got {fn!r}; expected a function of the workflow's own code.")
    call_id = engine.next_call_id()
    return spawn_as(engine, call_id, fn, args, kwargs)


def spawn_as(
    engine: Engine, call_id: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> BranchHandle[Any]:
    """The branch of a call that was counted."""

    def body() -> Any:
        branch, whole = engine.branch, engine.branch.scope
        try:
            return fn(*args, **kwargs)
        finally:
            canceling.leave(engine, branch, whole)

    engine.spawn(call_id, body)
    return BranchHandle(call_id, getattr(fn, "__name__", type(fn).__name__))


def wait_until(engine: Engine, predicate: Callable[[], bool], timeout: Duration | None) -> None:
    """Go on when *predicate* holds. After *timeout*: `WaitTimeout`."""
    if not callable(predicate):
        raise TypeError(f"wait_until() got {predicate!r}; expected a function without arguments that says yes or no.")
    fire_at = None if timeout is None else engine.moment_in(span_of(timeout, "wait_until(timeout=)"))
    call_id = engine.next_call_id()
    if engine.holds(predicate):
        return
    if fire_at is not None:
        fact = engine.issue(c.StartTimer(call_id=call_id, fire_at=fire_at, waits_for=call_id))
        assert isinstance(fact, e.TimerStarted)
        fire_at = fact.fire_at
    waiting = Waiting("condition", getattr(predicate, "__name__", "condition"))
    with engine.armed(call_id, fire_at) as timer:
        if not engine.wait_until(predicate, waiting, timer, fire_at):
            raise WaitTimeout(f"the condition of ctx.wait_until() did not hold within {seconds_of(timeout)} s")


def _listed(waitables: Iterable[Handle | SignalToCome]) -> str:
    """For `waiting_for`; a long list is for nobody."""
    names = [
        f"signal {waitable.name!r}" if isinstance(waitable, SignalToCome) else " ".join(waiting_for(waitable))
        for waitable in waitables
    ]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
