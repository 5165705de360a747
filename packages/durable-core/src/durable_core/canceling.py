"""To cancel what the code has started: one call for whatever a handle stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from durable_core import commands as c
from durable_core.codec import encode
from durable_core.composition import A_HANDLE, HANDLES
from durable_core.handles import ActivityHandle, BranchHandle, ChildHandle, TimerHandle

if TYPE_CHECKING:
    from durable_core.engine import Engine
    from durable_core.handles import Handle


def cancel(engine: Engine, handle: Handle, reason: str) -> bool:
    """False: it was over already. What was asked to end before is not asked again."""
    engine.check_caller()
    if not isinstance(handle, HANDLES):
        raise TypeError(f"cancel() got {handle!r}; expected {A_HANDLE}.")
    if not isinstance(reason, str):
        raise TypeError(f"cancel(reason=) got {reason!r}; expected a text.")
    encode(reason, what="the reason of a cancel", limit=engine.payload_limit)
    return ask_to_end(engine, handle, reason)


def ask_to_end(engine: Engine, handle: Handle, reason: str) -> bool:
    """The same, for a handle and a reason that are known to be good."""
    end = engine.end_of(handle.call_id)
    if end.done_at:
        return False
    match handle:
        case ActivityHandle():
            if not engine.outcomes.was_asked_to_end(handle.call_id):
                engine.issue(c.CancelActivity(call_id=handle.call_id, reason=reason))
        case ChildHandle():
            if not engine.outcomes.was_asked_to_end(handle.call_id):
                engine.issue(c.CancelChild(call_id=handle.call_id, child_id=handle.id, reason=reason))
        case TimerHandle():
            engine.timers.disarm(handle.call_id)
            end.resolve(engine.issue(c.CancelTimer(call_id=handle.call_id)))
        case BranchHandle():
            raise TypeError("cancel() got a branch; expected a handle of an activity, a child or a timer.")
        case _:
            assert_never(handle)
    return True
