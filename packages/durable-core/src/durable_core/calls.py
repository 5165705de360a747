"""From a call that starts something to the command for it: which definition is meant, and whether its input fits.

A call in the history was checked when the code first came here. Since then the function may have got another
signature, or live in other workers only: for such a call, a replay just needs the name. It must be that very call,
though: one that was refused here left nothing in the history, and what stands there may be the next, by the same name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import decode
from durable_core.definitions import ActivityDefinition, WorkflowDefinition
from durable_core.errors import ConfigurationError, PayloadError
from durable_core.handles import ActivityHandle, ChildHandle
from durable_core.options import ActivityOptions, ExecutorKind, WorkflowOptions
from durable_core.ports import child_id_of
from durable_core.typed import encode_by_value

if TYPE_CHECKING:
    from durable_core.codec import Payload
    from durable_core.engine import Engine

# How code may name one: by its name, its function, or `function.using(...)`.
Activity = str | Callable[..., Any] | ActivityDefinition
Workflow = str | Callable[..., Any] | WorkflowDefinition

NEXT = "next"  # in the place of a call_id, in the id of the run that goes on


def start_activity(
    engine: Engine, activity: Activity, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ActivityHandle[Any]:
    """Raises `UnknownActivityError`, `TypeError` or `PayloadError`; nothing has happened then."""
    definition = _find_activity(engine, activity)
    given = {"args": args, "kwargs": kwargs}
    if definition is None:
        payload = encode_by_value(given, limit=engine.payload_limit)
        return schedule(engine, engine.next_call_id(), str(activity), payload, None)
    try:
        definition.check_input(args, kwargs)
        payload = definition.encode_input(args, kwargs, limit=engine.payload_limit)
    except (TypeError, PayloadError):
        payload = _as_recorded(engine, e.ActivityScheduled.type, definition.name, given)
    return schedule(engine, engine.next_call_id(), definition.name, payload, definition)


def schedule(
    engine: Engine,
    call_id: str,
    name: str,
    payload: Payload,
    definition: ActivityDefinition | None,
    *,
    batch: str | None = None,
) -> ActivityHandle[Any]:
    """An activity of a call that was counted and checked; *batch* is what the event has."""
    options = ActivityOptions() if definition is None else definition.options
    engine.issue(c.ScheduleActivity(call_id=call_id, activity_name=name, input=payload, options=options, batch=batch))
    typed = None if definition is None else definition.typed.if_result
    handle: ActivityHandle[Any] = ActivityHandle(call_id, name, typed)
    engine.branch.scope.add(handle)
    return handle


def start_local_activity(
    engine: Engine, activity: Activity, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ActivityHandle[Any]:
    """Raises as `start_activity`, and `ConfigurationError` for one that cannot be local."""
    past = engine.past
    ended = None if past is None else past.local_outcome(engine.branch.coming_call_id)
    given = {"args": args, "kwargs": kwargs}
    if isinstance(activity, str) and activity not in engine.registry.activities and ended is not None:
        name, options, typed = activity, ActivityOptions(), None
        payload = encode_by_value(given, limit=engine.payload_limit)
    else:
        definition = engine.registry.find_activity(activity)
        name, options, typed = definition.name, definition.options, definition.typed.if_result
        try:
            _check_local(engine, definition)
            definition.check_input(args, kwargs)
            payload = definition.encode_input(args, kwargs, limit=engine.payload_limit)
        except (TypeError, ConfigurationError, PayloadError):
            accepted = encoded_or_none(given)  # when the code first came here, if the history holds it
            if ended is None or accepted is None or ended.arguments != c.digest_of(accepted):
                raise
            payload = accepted
    call_id = engine.next_call_id()
    engine.run_here(c.RunLocalActivity(call_id=call_id, activity_name=name, input=payload, options=options))
    return ActivityHandle(call_id, name, typed)


def start_child(engine: Engine, workflow: Workflow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildHandle[Any]:
    """Raises `UnknownWorkflowError`, `TypeError`, `PayloadError` or `ConfigurationError`; nothing has happened then."""
    if args:
        kwargs = engine.registry.find_workflow(workflow).named(args, kwargs)
    changes = {"timeout": kwargs.pop("timeout")} if "timeout" in kwargs else {}
    definition = _find_child(engine, workflow, changes)
    if definition is None:
        payload = encode_by_value(kwargs, limit=engine.payload_limit)
        return schedule_child(engine, engine.next_call_id(), str(workflow), payload, None)
    try:
        definition.check_input(kwargs)
        payload = definition.encode_input(kwargs, limit=engine.payload_limit)
    except (TypeError, PayloadError):
        payload = _as_recorded(engine, e.ChildWorkflowScheduled.type, definition.name, kwargs)
    return schedule_child(engine, engine.next_call_id(), definition.name, payload, definition)


def schedule_child(
    engine: Engine,
    call_id: str,
    name: str,
    payload: Payload,
    definition: WorkflowDefinition | None,
    *,
    batch: str | None = None,
) -> ChildHandle[Any]:
    """The same for a child."""
    options = WorkflowOptions() if definition is None else definition.options
    fact = engine.issue(
        c.StartChildWorkflow(
            call_id=call_id,
            workflow_name=name,
            child_id=child_id_of(engine.info.execution_id, call_id),
            input=payload,
            options=options,
            batch=batch,
        )
    )
    assert isinstance(fact, e.ChildWorkflowScheduled)
    typed = None if definition is None else definition.typed.if_result
    handle: ChildHandle[Any] = ChildHandle(call_id, name, fact.child_id, typed)
    engine.branch.scope.add(handle)
    return handle


def continue_as_new(engine: Engine, kwargs: dict[str, Any]) -> NoReturn:
    """Raises `TypeError` or `PayloadError`; nothing has happened then."""
    if not engine.replaying:
        engine.definition.check_input(kwargs)
    payload = engine.definition.encode_input(kwargs, limit=engine.payload_limit)
    next_id = uuid.uuid5(engine.info.execution_id, NEXT)
    engine.continue_as_new(c.ContinueAsNew(input=payload, next_id=next_id))


def _find_activity(engine: Engine, activity: Activity) -> ActivityDefinition | None:
    """None: the history holds this call, and the process does not know the name."""
    if (
        isinstance(activity, str)
        and activity not in engine.registry.activities
        and engine.recorded_input(e.ActivityScheduled.type, activity) is not None
    ):
        return None
    return engine.registry.find_activity(activity)


def _check_local(engine: Engine, definition: ActivityDefinition) -> None:
    if definition.name not in engine.registry.activities:
        raise ConfigurationError(
            f"activity {definition.name!r} is remote: a local activity runs in the process of the workflow, which does "
            "not have its code. Use ctx.run_activity()."
        )
    if definition.transactional or definition.options.at_most_once:
        which = "transactional" if definition.transactional else "at_most_once"
        raise ConfigurationError(
            f"activity {definition.name!r} is {which}, which no local activity can be: it has no row of its own that "
            "says what became of it. Use ctx.run_activity()."
        )
    if definition.executor is ExecutorKind.PROCESS:
        raise ConfigurationError(
            f"activity {definition.name!r} has executor='process', and a local activity runs in the process of the "
            "workflow. Use ctx.run_activity()."
        )


def _find_child(engine: Engine, workflow: Workflow, changes: dict[str, Any]) -> WorkflowDefinition | None:
    """None: as above."""
    if (
        isinstance(workflow, str)
        and workflow not in engine.registry.workflows
        and engine.recorded_input(e.ChildWorkflowScheduled.type, workflow) is not None
    ):
        return None
    definition = engine.registry.find_workflow(workflow)
    if changes:
        definition = definition.using(**changes)
    check_no_id(definition)
    return definition


def check_no_id(definition: WorkflowDefinition) -> None:
    if definition.options.workflow_id is not None:
        raise ConfigurationError(
            f"child workflow {definition.name!r} was given a workflow_id; the id of a child is its parent's "
            "to make. Start it by start_workflow() in an activity if it needs one of its own."
        )


def encoded_or_none(given: object) -> Payload | None:
    try:
        return encode_by_value(given)
    except PayloadError:
        return None


def _as_recorded(engine: Engine, event_type: str, name: str, given: object) -> Payload:
    """The input that the history holds, if it is this one: then it was accepted when the code first came here.

    For use while the call is refused; raises that error again if the history holds another call, or none.
    """
    recorded = engine.recorded_input(event_type, name)
    if recorded is None:
        raise  # noqa: PLE0704 - what the caller handles
    accepted = encoded_or_none(given)
    if accepted is None or decode(recorded) != decode(accepted):
        raise  # noqa: PLE0704 - the same
    return recorded
