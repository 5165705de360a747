"""``DURABLE["REDACT"]``: what people are not shown, wherever payloads are shown to people.

For display only: what is stored, and what code gets, is whole. A value is known by the name of its key, or of the
parameter that it was passed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django_durable.conf import conf
from durable_core.definitions import register
from durable_core.events import ActivityScheduled, EventSet

if TYPE_CHECKING:
    from django_durable.models import ActivityTask, HistoryEvent

MASK = "***"


def redacted(value: Any) -> Any:
    """*value* with `MASK` for the values of keys that ``REDACT`` names, however deep, upper and lower case alike."""
    names = conf().redact
    return _masked(value, names) if names else value


def redacted_details(event: HistoryEvent) -> Any:
    """The same of an event; positional arguments of an activity by the names of its parameters."""
    details = event.details
    if conf().redact and event.type == ActivityScheduled.type and isinstance(details, dict):
        details = {**details, "input": _named(details.get("activity_name"), details.get("input"))}
    if event.type == EventSet.type and isinstance(details, dict):
        details = {**details, "value": redacted_value(details.get("key"), details.get("value"))}
    return redacted(details)


def redacted_value(key: Any, value: Any) -> Any:
    """The same of what stands under a key."""
    return next(iter(redacted({key: value}).values()))


def redacted_input(task: ActivityTask) -> Any:
    """The same of a task's arguments."""
    return redacted(_named(task.activity_name, task.input) if conf().redact else task.input)


def _masked(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and key.casefold() in names else _masked(item, names)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(item, names) for item in value]
    return value


def _named(activity: Any, given: Any) -> Any:
    """Arguments of an activity, with `MASK` for those passed by position to a parameter that is named.

    The parameters of an activity that this process does not know may be any: all positions are masked then.
    """
    if not isinstance(given, dict) or not isinstance(given.get("args"), list):
        return given
    definition = register.activities.get(str(activity))
    if definition is None:
        return {**given, "args": [MASK for _ in given["args"]]}
    names, args = conf().redact, given["args"]
    parameters = list(definition.signature.parameters.values())
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    of = [by_place[place].name if place < len(by_place) else rest for place in range(len(args))]
    return {**given, "args": [MASK if name.casefold() in names else arg for name, arg in zip(of, args, strict=True)]}
