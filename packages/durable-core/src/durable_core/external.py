"""Messages from a run to another: sent with the commit that they belong to, and what has become of them.

Whether there is a run to take the message, only the store can tell, when it commits: it puts the letter into that run's
mailbox, or cannot, and its word on that into the sender's, all in one transaction. So a message is sent once, whatever
dies on the way, and the code hears of it in its next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import encode
from durable_core.errors import UnknownExecutionError, WorkflowClosed
from durable_core.handles import ChildHandle
from durable_core.options import check_name
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from durable_core.engine import Engine

Target = ChildHandle | UUID | str


def send_signal(engine: Engine, name: str, payload: Any, to: Target | None, workflow_id: str | None) -> None:
    """Raises `WorkflowClosed` or `UnknownExecutionError` where nobody can take it, `PayloadError` at once."""
    check_name(name, "the signal's name")
    target_id = _target(to, workflow_id, "signal_workflow")
    text = encode(payload, what=f"the payload of signal {name!r}", limit=engine.payload_limit)
    call_id = engine.next_call_id()
    engine.issue(c.SendSignal(call_id=call_id, target_id=target_id, workflow_id=workflow_id, name=name, payload=text))
    _wait(engine, call_id, f"signal {name!r}", target_id, workflow_id)


def send_cancel(engine: Engine, to: Target | None, workflow_id: str | None, reason: str, *, graceful: bool) -> None:
    """Raises `WorkflowClosed` or `UnknownExecutionError` where there is nothing to cancel."""
    target_id = _target(to, workflow_id, "cancel_workflow")
    encode(reason, what="the reason of a cancel", limit=engine.payload_limit)
    call_id = engine.next_call_id()
    engine.issue(
        c.SendCancel(call_id=call_id, target_id=target_id, workflow_id=workflow_id, reason=reason, graceful=graceful)
    )
    _wait(engine, call_id, "cancel request", target_id, workflow_id)


def _target(to: Target | None, workflow_id: str | None, call: str) -> UUID | None:
    if (to is None) is (workflow_id is None):
        raise TypeError(f"{call}() got to={to!r} and workflow_id={workflow_id!r}; expected one of them.")
    match to:
        case None:
            check_name(workflow_id, "the workflow_id")
            return None
        case ChildHandle():
            return to.id
        case UUID():
            return to
        case str():
            try:
                return UUID(to)
            except ValueError:
                raise TypeError(f"{call}(to={to!r}): expected the id of an execution, or workflow_id=.") from None
        case _:
            raise TypeError(f"{call}() got to={to!r}; expected a child's handle, a UUID or its text.")


def _wait(engine: Engine, call_id: str, what: str, target_id: UUID | None, workflow_id: str | None) -> None:
    end = engine.end_of(call_id)
    engine.wait([end], Waiting("run", f"{what} to {target_id or workflow_id}"))
    match end.fact:
        case e.ExternalMessageDelivered():
            return
        case e.ExternalMessageFailed(reason="closed"):
            raise WorkflowClosed(f"run {target_id} is closed; it takes no {what}.", execution_id=target_id)
        case e.ExternalMessageFailed():
            whom = f"run {target_id}" if workflow_id is None else f"open run with workflow_id {workflow_id!r}"
            raise UnknownExecutionError(f"There is no {whom} to take {what}.", execution_id=target_id)
        case _:
            raise AssertionError(f"{end.fact} tells of no message")
