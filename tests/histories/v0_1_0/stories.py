"""One run for each thing that workflow code can do or meet: how it is started, and what happens to it from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django_durable import (
    UpdateFailed,
    UpdateRejected,
    WorkflowHandle,
    answer_task,
    cancel_workflow,
    fork_workflow,
    open_tasks,
    retry_workflow,
    send_signal,
    start_workflow,
    update_workflow,
)
from django_durable.engine import engine
from django_durable.models import HistoryEvent, WorkflowExecution
from durable_core import events as e
from durable_core.ports import Letter
from tests.waiting import wait_until

from . import durable_workflows as workflows
from .durable_activities import Line, Order, Size
from .gates import open_gate

VALUES = {
    "text": 'ASCII, é, e\u0301, \u2603, \U0001f642, \0, \ud800, \u2028, "quotes" and \\ and </script>',
    "numbers": [0, -1, 2**53 + 1, 10**30, 0.1, -0.0, 1e22, 1e-7, 1.7976931348623157e308],
    "names": {"": 1, "z": 2, "a": 3, "\u00e9": 4, "1": 5},
    "falsy": [None, False, 0, "", [], {}],
    "tuple": (1, (2, 3)),
    "keys": {7: "seven", None: "none", True: "true"},
    "result": '"result":{"payload":null}',
    "long": "x" * 2000,
}


@dataclass(frozen=True)
class Story:
    workflow: Any
    given: dict[str, Any] = field(default_factory=dict)
    goes_on: Callable[[WorkflowHandle], object] = lambda handle: None
    options: dict[str, Any] = field(default_factory=dict)

    def start(self) -> WorkflowHandle:
        return start_workflow(self.workflow.using(**self.options), **self.given)


@dataclass(frozen=True)
class Forked(Story):
    """Told is the fork."""

    def start(self) -> WorkflowHandle:
        origin = super().start()
        self.goes_on(origin)
        origin.result(timeout=30)
        events = HistoryEvent.objects.filter(execution=origin.id)
        return fork_workflow(origin, events.get(type="signal_wait_started").seq)


def waits(handle: WorkflowHandle, kind: str, what: str | None = None) -> None:
    def found() -> bool:
        waiting = WorkflowExecution.objects.get(pk=handle.id).waiting_for or {}
        return waiting.get("kind") == kind and what in (None, waiting.get("what"))

    wait_until(found, f"{handle} to wait for a {kind}")


def has(handle: WorkflowHandle, *types: str) -> None:
    """Wait until the history has so many events of these types."""

    def found() -> bool:
        there = list(HistoryEvent.objects.filter(execution=handle.id).values_list("type", flat=True))
        return all(there.count(kind) >= types.count(kind) for kind in types)

    wait_until(found, f"{handle} to have {types}")


def nested(depth: int) -> Any:
    value: Any = "the innermost"
    for _ in range(depth):
        value = [value]
    return value


def _late_activity(handle: WorkflowHandle) -> None:
    waits(handle, "signal", "go")
    send_signal(handle, "go")
    waits(handle, "activity")
    open_gate("late")


def _time_limits(handle: WorkflowHandle) -> None:
    has(handle, *["activity_timed_out"] * 4)
    open_gate("limits")


def _side_by_side(handle: WorkflowHandle) -> None:
    has(handle, "activity_scheduled", "activity_scheduled")
    open_gate("two")
    has(handle, "activity_completed")
    open_gate("one")


def _told_to_stop(handle: WorkflowHandle) -> None:
    """As another worker would report it, were it told to stop an activity of a run that goes on."""
    waits(handle, "activity")
    letter = Letter.of(handle.id, e.ActivityCanceled(call_id="0", reason="nobody wants it"))
    with engine().store.transaction():
        wakes = engine().store.deliver([letter])
        engine().queue.enqueue([wake.entry for wake in wakes])


def _signals(handle: WorkflowHandle) -> None:
    send_signal(handle, "early", {"n": 1})
    waits(handle, "signal", "late")
    send_signal(handle, "unread", "nobody waits for it")
    for number in (2, 3):
        send_signal(handle, "late", number)


def _several_things(handle: WorkflowHandle) -> None:
    has(handle, *["activity_completed"] * 2)
    for number in (1, 2):
        waits(handle, "condition")
        send_signal(handle, "vote", number)
    waits(handle, "several")
    send_signal(handle, "go", "gone")


def _canceled_child(handle: WorkflowHandle) -> None:
    waits(handle, "child")
    child = WorkflowExecution.objects.get(parent=handle.id)
    waits(WorkflowHandle(child.pk), "signal")
    cancel_workflow(child, reason="for the parent to hear")


def _late_child(handle: WorkflowHandle) -> None:
    has(handle, "child_workflow_completed")
    send_signal(handle, "go")


def _leave_children(handle: WorkflowHandle) -> None:
    waits(handle, "signal", "go")
    for child in WorkflowExecution.objects.filter(parent=handle.id):
        waits(WorkflowHandle(child.pk), "signal")
    send_signal(handle, "go")


def _cancel(handle: WorkflowHandle) -> None:
    waits(handle, "signal")
    cancel_workflow(handle, reason="not wanted")


def _cancel_gracefully(handle: WorkflowHandle) -> None:
    waits(handle, "signal")
    cancel_workflow(handle, reason="please end", graceful=True)


def _cancel_in_shield(handle: WorkflowHandle) -> None:
    waits(handle, "activity")
    cancel_workflow(handle, reason="while shielded", graceful=True)
    has(handle, "workflow_cancel_requested")
    open_gate("shield")


def _mend(handle: WorkflowHandle) -> None:
    wait_until(lambda: WorkflowExecution.objects.get(pk=handle.id).status == "BLOCKED", "the run to be blocked")
    open_gate("mended")


def _send_values(handle: WorkflowHandle) -> None:
    waits(handle, "signal", "values")
    send_signal(handle, "values", VALUES)


def _stop(handle: WorkflowHandle) -> None:
    waits(handle, "signal", "stop")
    send_signal(handle, "stop")


def _update(handle: WorkflowHandle) -> None:
    for value in ("good", "refused", "bad"):
        with suppress(UpdateRejected, UpdateFailed):
            update_workflow(handle, "take", {"value": value}, update_id=value)
    _stop(handle)


def _go_on_as_new(handle: WorkflowHandle) -> None:
    for name in ("kept", "turn-0", "turn-1"):
        send_signal(handle, name, name)


def _reopen(handle: WorkflowHandle) -> None:
    wait_until(lambda: WorkflowExecution.objects.get(pk=handle.id).status == "FAILED", "the run to fail")
    open_gate("reopened")
    retry_workflow(handle, reason="mended")


MENDED = ("mended",)  # gates that are open where the histories are replayed
STRICT = "strict"  # the queue of a worker that blocks what fails

ORDER = Order(
    UUID(int=7),
    (Line(Size.SMALL, Decimal("1.10")), Line(Size.LARGE, Decimal("-0"))),
    date(2026, 2, 28),
    time(23, 59, 59, 1),
    frozenset({"new"}),
    {7: Decimal("9.50"), 8: "many"},
)


def _answer(handle: WorkflowHandle) -> None:
    asked = open_tasks(workflow=workflows.asks_people)
    wait_until(asked.exists, "the question")
    answer_task(asked.get(), "yes", by="ann")


STORIES = {
    "activity_completes": Story(workflows.activity_completes, {"name": "w\u00f6rld"}),
    "activity_retried": Story(workflows.activity_retried),
    "activity_fails": Story(workflows.activity_fails),
    "time_limits": Story(workflows.time_limits, {"gate": "limits"}, _time_limits),
    "late_activity": Story(workflows.late_activity, {"gate": "late"}, _late_activity),
    "side_by_side": Story(workflows.side_by_side, {"gates": ["one", "two"]}, _side_by_side),
    "told_to_stop": Story(workflows.told_to_stop, {}, _told_to_stop),
    "many_steps": Story(workflows.many_steps, {"n": 30}),
    "sleeps": Story(workflows.sleeps, {"seconds": 0.05}),
    "signals": Story(workflows.signals, {}, _signals),
    "several_things": Story(workflows.several_things, {}, _several_things),
    "side_effects": Story(workflows.side_effects),
    "chance": Story(workflows.chance),
    "versions": Story(workflows.versions),
    "values": Story(workflows.values, {"given": VALUES}, _send_values),
    "nested": Story(workflows.values, {"given": nested(90)}, _send_values),
    "children": Story(workflows.children),
    "canceled_child": Story(workflows.canceled_child, {}, _canceled_child),
    "late_child": Story(workflows.late_child, {}, _late_child),
    "leaves_children": Story(workflows.leaves_children, {}, _leave_children),
    "returns_none": Story(workflows.returns_none, options={"workflow_id": "w\u00f6rkflow-1", "priority": 7}),
    "fails": Story(workflows.fails),
    "times_out": Story(workflows.child, {"then": "waits"}, options={"timeout": 0.05}),
    "canceled_outside": Story(workflows.canceled_outside, {}, _cancel),
    "canceled_inside": Story(workflows.canceled_inside, {}, _cancel_gracefully),
    "cancel_is_caught": Story(workflows.cancel_is_caught, {}, _cancel_gracefully),
    "shielded": Story(workflows.shielded, {"gate": "shield"}, _cancel_in_shield),
    "canceled_at_once": Story(workflows.child, {"then": "waits"}, cancel_workflow, {"queue": "nobody"}),
    "activities_run_here": Story(workflows.activities_run_here, {"name": "Ada"}),
    "cancels_what_it_started": Story(workflows.cancels_what_it_started, {}, _stop),
    "updated": Story(workflows.updated, {}, _update),
    "typed_payloads": Story(
        workflows.typed_payloads,
        {"order": ORDER, "after": timedelta(days=2, microseconds=-1)},
        lambda handle: send_signal(handle, "line", Line(Size.LARGE, Decimal("1E+2"))),
    ),
    "writes_to_others": Story(workflows.writes_to_others),
    "goes_on_as_new": Story(workflows.goes_on_as_new, {}, _go_on_as_new),
    "reopened": Story(workflows.reopened, {"gate": "reopened"}, _reopen),
    "forked": Forked(workflows.forked, {}, _leave_children),
    "asks_people": Story(workflows.asks_people, {}, _answer),
    "tells_others": Story(workflows.tells_others),
    "blocked": Story(workflows.blocked, {"gate": "mended"}, _mend, {"queue": STRICT}),
}
