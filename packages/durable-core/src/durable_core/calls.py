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
from durable_core.codec import decode, encode
from durable_core.definitions import ActivityDefinition, WorkflowDefinition
from durable_core.errors import ConfigurationError, PayloadError
from durable_core.handles import ActivityHandle, ChildHandle
from durable_core.options import ActivityOptions, WorkflowOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    name, options = _activity(engine, activity, args, kwargs)
    what = f"the arguments of activity {name!r}"
    payload = encode({"args": args, "kwargs": kwargs}, what=what, limit=engine.payload_limit)
    return _schedule(engine, engine.next_call_id(), name, payload, options)


def _schedule(
    engine: Engine, call_id: str, name: str, payload: Payload, options: ActivityOptions
) -> ActivityHandle[Any]:
    engine.issue(c.ScheduleActivity(call_id=call_id, activity_name=name, input=payload, options=options))
    handle: ActivityHandle[Any] = ActivityHandle(call_id, name)
    engine.branch.scope.add(handle)
    return handle


def start_local_activity(
    engine: Engine, activity: Activity, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ActivityHandle[Any]:
    """Raises as `start_activity`, and `ConfigurationError` for one that cannot be local."""
    name, options = _local_activity(engine, activity, args, kwargs)
    what = f"the arguments of local activity {name!r}"
    payload = encode({"args": args, "kwargs": kwargs}, what=what, limit=engine.payload_limit)
    call_id = engine.next_call_id()
    engine.run_here(c.RunLocalActivity(call_id=call_id, activity_name=name, input=payload, options=options))
    return ActivityHandle(call_id, name)


def start_child(engine: Engine, workflow: Workflow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildHandle[Any]:
    """Raises `UnknownWorkflowError`, `TypeError`, `PayloadError` or `ConfigurationError`; nothing has happened then."""
    if args:
        kwargs = engine.registry.find_workflow(workflow).named(args, kwargs)
    changes = {"timeout": kwargs.pop("timeout")} if "timeout" in kwargs else {}
    name, options = _child(engine, workflow, changes, kwargs)
    payload = encode(kwargs, what=f"the input of workflow {name!r}", limit=engine.payload_limit)
    return _start_child(engine, engine.next_call_id(), name, payload, options)


def _start_child(
    engine: Engine, call_id: str, name: str, payload: Payload, options: WorkflowOptions
) -> ChildHandle[Any]:
    # Made from the parent's id, so that a replay, or a second worker, can only mean the same child.
    child_id = uuid.uuid5(engine.info.execution_id, call_id)
    engine.issue(
        c.StartChildWorkflow(call_id=call_id, workflow_name=name, child_id=child_id, input=payload, options=options)
    )
    handle: ChildHandle[Any] = ChildHandle(call_id, name, child_id)
    engine.branch.scope.add(handle)
    return handle


def many_activities(
    engine: Engine, activity: Activity, items: Sequence[Any]
) -> tuple[str, Callable[[str, int], ActivityHandle[Any]]]:
    """The activity's name, and what starts it for an item, by call and number.

    Raises what `start_activity` raises, for any of the items.
    """
    if isinstance(activity, str) and activity not in engine.registry.activities and _is_in_history(engine):
        name, options = activity, ActivityOptions()
    else:
        definition = engine.registry.find_activity(activity)
        name, options = definition.name, definition.options
        for item in () if _is_in_history(engine) else items:
            definition.check_input((item,), {})
    what = f"the arguments of activity {name!r}"
    inputs = [encode({"args": (item,), "kwargs": {}}, what=what, limit=engine.payload_limit) for item in items]
    return name, lambda call_id, n: _schedule(engine, call_id, name, inputs[n], options)


def many_children(
    engine: Engine, workflow: Workflow, items: Sequence[Any]
) -> tuple[str, Callable[[str, int], ChildHandle[Any]]]:
    """The same for a workflow. Raises what `start_child` raises, for any of the items."""
    definition = engine.registry.find_workflow(workflow)
    _check_no_id(definition)
    name, options = definition.name, definition.options
    given = [definition.named((item,), {}) for item in items]
    for kwargs in () if _is_in_history(engine) else given:
        definition.check_input(kwargs)
    what = f"the input of workflow {name!r}"
    inputs = [encode(kwargs, what=what, limit=engine.payload_limit) for kwargs in given]
    return name, lambda call_id, n: _start_child(engine, call_id, name, inputs[n], options)


def _is_in_history(engine: Engine) -> bool:
    """Whether the coming call is one of many, and the history holds its first: they were accepted then."""
    upcoming = None if engine.past is None else engine.past.upcoming()
    return upcoming is not None and upcoming.call_id == f"{engine.branch.coming_call_id}.0"


def continue_as_new(engine: Engine, kwargs: dict[str, Any]) -> NoReturn:
    """Raises `TypeError` or `PayloadError`; nothing has happened then."""
    if not engine.replaying:
        engine.definition.check_input(kwargs)
    what = f"the input of workflow {engine.definition.name!r}"
    payload = encode(kwargs, what=what, limit=engine.payload_limit)
    next_id = uuid.uuid5(engine.info.execution_id, NEXT)
    engine.continue_as_new(c.ContinueAsNew(input=payload, next_id=next_id))


def _activity(
    engine: Engine, activity: Activity, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, ActivityOptions]:
    if (
        isinstance(activity, str)
        and activity not in engine.registry.activities
        and engine.recorded_input(e.ActivityScheduled.type, activity) is not None
    ):
        return activity, ActivityOptions()
    definition = engine.registry.find_activity(activity)
    try:
        definition.check_input(args, kwargs)
    except TypeError:
        recorded = engine.recorded_input(e.ActivityScheduled.type, definition.name)
        if not _is_the_same(recorded, {"args": args, "kwargs": kwargs}):
            raise
    return definition.name, definition.options


def _local_activity(
    engine: Engine, activity: Activity, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, ActivityOptions]:
    past = engine.past
    ended = None if past is None else past.local_outcome(engine.branch.coming_call_id)
    if isinstance(activity, str) and activity not in engine.registry.activities and ended is not None:
        return activity, ActivityOptions()
    definition = engine.registry.find_activity(activity)
    try:
        _check_local(engine, definition)
        definition.check_input(args, kwargs)
    except (TypeError, ConfigurationError):
        if ended is None or ended.arguments != _digest({"args": args, "kwargs": kwargs}):
            raise
    return definition.name, definition.options


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


def _digest(value: object) -> str | None:
    try:
        return c.digest_of(encode(value))
    except PayloadError:
        return None


def _child(
    engine: Engine, workflow: Workflow, changes: dict[str, Any], kwargs: dict[str, Any]
) -> tuple[str, WorkflowOptions]:
    if (
        isinstance(workflow, str)
        and workflow not in engine.registry.workflows
        and engine.recorded_input(e.ChildWorkflowScheduled.type, workflow) is not None
    ):
        return workflow, WorkflowOptions()
    definition = engine.registry.find_workflow(workflow)
    if changes:
        definition = definition.using(**changes)
    _check_no_id(definition)
    try:
        definition.check_input(kwargs)
    except TypeError:
        if not _is_the_same(engine.recorded_input(e.ChildWorkflowScheduled.type, definition.name), kwargs):
            raise
    return definition.name, definition.options


def _check_no_id(definition: WorkflowDefinition) -> None:
    if definition.options.workflow_id is not None:
        raise ConfigurationError(
            f"child workflow {definition.name!r} was given a workflow_id; the id of a child is its parent's "
            "to make. Start it by start_workflow() in an activity if it needs one of its own."
        )


def _is_the_same(recorded: Payload | None, given: object) -> bool:
    """Whether the history holds a call with this input: it was accepted when the code first came here."""
    if recorded is None:
        return False
    try:
        return bool(decode(recorded) == decode(encode(given)))
    except PayloadError:
        return False
