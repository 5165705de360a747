"""Statuses and transitions as data, and commands as facts."""

from __future__ import annotations

from uuid import UUID

import pytest

from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import NULL, Payload
from durable_core.execution import CLOSED_STATUSES, OPEN_STATUSES, TRANSITIONS, Status, TaskStatus, record
from durable_core.options import ActivityOptions, WorkflowOptions
from tests.core.stories import EPOCH

COMMANDS = {
    c.ScheduleActivity(call_id="0", activity_name="a", input=Payload("{}"), options=ActivityOptions()): (
        e.ActivityScheduled(call_id="0", activity_name="a", input=Payload("{}"))
    ),
    c.StartTimer(call_id="1", fire_at=EPOCH, waits_for="0"): (
        e.TimerStarted(call_id="1", fire_at=EPOCH, waits_for="0")
    ),
    c.CancelTimer(call_id="1"): e.TimerCanceled(call_id="1"),
    c.CancelActivity(call_id="1", reason="x"): e.ActivityCancelRequested(call_id="1", reason="x"),
    c.CancelChild(call_id="1", child_id=UUID(int=1), reason="x"): e.ChildWorkflowCancelRequested(
        call_id="1", reason="x"
    ),
    c.StartSignalWait(call_id="2", name="s", fire_at=None): e.SignalWaitStarted(call_id="2", name="s", fire_at=None),
    c.AskPerson(
        call_id="7",
        task_id=UUID(int=1),
        question="q",
        form="app.Form",
        assignee="a",
        permission="app.p",
        fire_at=EPOCH,
    ): e.TaskAsked(
        call_id="7",
        task_id=UUID(int=1),
        question="q",
        form="app.Form",
        assignee="a",
        permission="app.p",
        fire_at=EPOCH,
    ),
    c.CancelTask(call_id="7", task_id=UUID(int=1), reason="r"): e.TaskCancelRequested(call_id="7", reason="r"),
    c.SendSignal(call_id="5", target_id=UUID(int=1), workflow_id=None, name="s", payload=NULL): (
        e.ExternalSignalSent(call_id="5", target_id=UUID(int=1), workflow_id=None, name="s", payload=NULL)
    ),
    c.SendCancel(call_id="6", target_id=None, workflow_id="w", reason="r", graceful=True): (
        e.ExternalCancelSent(call_id="6", target_id=None, workflow_id="w", reason="r", graceful=True)
    ),
    c.CompleteUpdate(call_id="u0", result=NULL): e.WorkflowUpdateCompleted(call_id="u0", result=NULL),
    c.StartChildWorkflow(
        call_id="3", workflow_name="w", child_id=UUID(int=1), input=Payload("{}"), options=WorkflowOptions()
    ): e.ChildWorkflowScheduled(call_id="3", workflow_name="w", child_id=UUID(int=1), input=Payload("{}")),
    c.RecordSideEffect(call_id="4", result=NULL, failure=None): (
        e.SideEffectRecorded(call_id="4", result=NULL, failure=None)
    ),
    c.RecordVersion(change_id="p", version=2, deprecated=True): (
        e.VersionMarker(change_id="p", version=2, deprecated=True)
    ),
    c.SetEvent(call_id="5", key="k", value=NULL): e.EventSet(call_id="5", key="k", value=NULL),
    c.PublishItem(call_id="6", stream="s", item=NULL): e.ItemPublished(call_id="6", stream="s"),
    c.CompleteWorkflow(result=NULL): e.WorkflowCompleted(result=NULL),
    c.CancelWorkflow(reason="r"): e.WorkflowCanceled(reason="r"),
    c.ContinueAsNew(input=Payload("{}"), next_id=UUID(int=2)): (
        e.WorkflowContinuedAsNew(input=Payload("{}"), next_id=UUID(int=2))
    ),
}


@pytest.mark.parametrize(("command", "event"), COMMANDS.items(), ids=lambda value: type(value).__name__)
def test_a_command_becomes_the_fact_with_its_parts(command, event):
    assert record(command) == event


def test_every_command_becomes_a_fact():
    failing = c.FailWorkflow(failure={"type": "E"})
    assert record(failing) == e.WorkflowFailed(failure={"type": "E"})
    failed = c.FailUpdate(call_id="u0", failure={"type": "E"})
    assert record(failed) == e.WorkflowUpdateFailed(call_id="u0", failure={"type": "E"})
    assert {type(command) for command in COMMANDS} | {c.FailWorkflow, c.FailUpdate} == set(c.Command.__args__)
    assert all(isinstance(event, e.COMMANDED + e.TERMINAL) for event in COMMANDS.values())


def test_five_statuses_are_closed_and_lead_nowhere():
    assert set(CLOSED_STATUSES) == {"COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "CONTINUED_AS_NEW"}
    assert set(OPEN_STATUSES) == {"PENDING", "RUNNING", "BLOCKED"}
    for status in Status:
        assert status.is_closed == (status in CLOSED_STATUSES)
        assert bool(TRANSITIONS[status]) != status.is_closed
        assert Status.PENDING not in TRANSITIONS[status]


def test_every_open_status_can_close_in_every_way():
    for status in OPEN_STATUSES:
        assert set(CLOSED_STATUSES) < TRANSITIONS[status]


def test_a_task_is_open_while_queued_or_running():
    assert [status for status in TaskStatus if not status.is_closed] == [TaskStatus.QUEUED, TaskStatus.RUNNING]
