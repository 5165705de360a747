"""From a call for many items to the commands for them: which definition is meant, and whether every input fits.

All items are looked at before the first begins. As with single calls, what the history holds was accepted when the code
first came there; here that may be the first few of many, so the first of them has a digest of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.calls import check_no_id, encoded_or_none, schedule, schedule_child
from durable_core.codec import Payload, decode
from durable_core.commands import digest_of
from durable_core.errors import ConfigurationError, PayloadError
from durable_core.handles import Handle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable_core.calls import Activity, Workflow
    from durable_core.definitions import ActivityDefinition, WorkflowDefinition
    from durable_core.engine import Engine

Begin = Callable[[str, int], Handle]  # an item, by its call and number


def many_by_name(engine: Engine, name: str, items: Sequence[Any], at_once: int | None) -> tuple[str, Begin]:
    """The name, and what starts it for an item, where it may be a workflow's or an activity's. *at_once* of them begin
    at the call; None: all. Raises what is wrong with any of them.

    Who replays it may know the name no more: then the history says what it was. It cannot say that of no items, so for
    these nobody asks.
    """
    workflows, activities = engine.registry.workflows, engine.registry.activities
    if not items:
        return name, _never
    if name in activities and name in workflows:
        raise ConfigurationError(f"map() got {name!r}, an activity's name and a workflow's; pass the function.")
    if name in workflows:
        return many_children(engine, name, items, at_once)
    if name not in activities and (begin := _children_of_old(engine, name, items, at_once)) is not None:
        return name, begin
    return many_activities(engine, name, items, at_once)


def many_activities(engine: Engine, activity: Activity, items: Sequence[Any], at_once: int | None) -> tuple[str, Begin]:
    """The same for an activity."""
    given = [{"args": (item,), "kwargs": {}} for item in items]
    kind = e.ActivityScheduled.type
    if isinstance(activity, str) and activity not in engine.registry.activities:
        accepted = _as_recorded(engine, kind, activity, given, at_once)
        if accepted is not None:
            return activity, _activities(engine, activity, accepted, None, None)
    definition = engine.registry.find_activity(activity)

    def encoded(item: Any) -> Payload:
        definition.check_input((item,), {})
        return definition.encode_input((item,), {}, limit=engine.payload_limit)

    try:
        inputs = [encoded(item) for item in items]
    except (TypeError, PayloadError):
        accepted = _as_recorded(engine, kind, definition.name, given, at_once)
        if accepted is None:
            raise
        inputs = accepted
    return definition.name, _activities(engine, definition.name, inputs, definition, _batch(engine, given, at_once))


def many_children(engine: Engine, workflow: Workflow, items: Sequence[Any], at_once: int | None) -> tuple[str, Begin]:
    """The same for a workflow."""
    definition = engine.registry.find_workflow(workflow)
    check_no_id(definition)
    given = [definition.named((item,), {}) for item in items]

    def encoded(kwargs: dict[str, Any]) -> Payload:
        definition.check_input(kwargs)
        return definition.encode_input(kwargs, limit=engine.payload_limit)

    try:
        inputs = [encoded(kwargs) for kwargs in given]
    except (TypeError, PayloadError):
        accepted = _as_recorded(engine, e.ChildWorkflowScheduled.type, definition.name, given, at_once)
        if accepted is None:
            raise
        inputs = accepted
    return definition.name, _children(engine, definition.name, inputs, definition, _batch(engine, given, at_once))


def _children_of_old(engine: Engine, name: str, items: Sequence[Any], at_once: int | None) -> Begin | None:
    """For a name that nobody here knows; None: the history does not hold these items as its children."""
    kind = e.ChildWorkflowScheduled.type
    parameters = {name for fact in engine.recorded_items(kind, name) for name in decode(fact.input)}
    if len(parameters) != 1:
        return None
    parameter = parameters.pop()
    accepted = _as_recorded(engine, kind, name, [{parameter: item} for item in items], at_once)
    return None if accepted is None else _children(engine, name, accepted, None, None)


def _activities(
    engine: Engine, name: str, inputs: Sequence[Payload], definition: ActivityDefinition | None, batch: str | None
) -> Begin:
    return lambda call_id, n: schedule(engine, call_id, name, inputs[n], definition, batch=None if n else batch)


def _children(
    engine: Engine, name: str, inputs: Sequence[Payload], definition: WorkflowDefinition | None, batch: str | None
) -> Begin:
    return lambda call_id, n: schedule_child(engine, call_id, name, inputs[n], definition, batch=None if n else batch)


def _never(call_id: str, number: int) -> Handle:
    raise AssertionError("there is no item")


def _as_recorded(
    engine: Engine, event_type: str, name: str, given: Sequence[object], at_once: int | None
) -> list[Payload] | None:
    """The inputs of all, if the history holds, as begun by the coming call, all of them that began there.

    A call that was refused there left nothing, and what stands in its place may be the next, which shares its first
    items: the digest tells the two apart, where the history has one.
    """
    recorded = engine.recorded_items(event_type, name)
    if not recorded or len(recorded) != (len(given) if at_once is None else min(at_once, len(given))):
        return None
    inputs = _encoded(given)
    if inputs is None or recorded[0].batch not in (None, digest_of(Payload("\n".join(inputs)))):
        return None
    begun = zip(recorded, inputs, strict=False)
    return inputs if all(decode(fact.input) == decode(now) for fact, now in begun) else None


def _batch(engine: Engine, given: Sequence[object], at_once: int | None) -> str | None:
    """The digest of all, for a history that is to hold a few of them."""
    if at_once is None or engine.replaying:
        return None
    inputs = _encoded(given)
    return None if inputs is None else digest_of(Payload("\n".join(inputs)))


def _encoded(given: Sequence[object]) -> list[Payload] | None:
    inputs = [encoded_or_none(each) for each in given]
    known = [text for text in inputs if text is not None]
    return known if len(known) == len(inputs) else None
