"""A database in the middle of its life: runs in every status, waiting for everything, when all workers die."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django_durable import WorkflowHandle, cancel_workflow, send_signal, start_workflow
from django_durable.models import ActivityTask, WorkflowExecution
from tests.waiting import wait_until

from . import durable_workflows as workflows
from .gates import open_gate
from .stories import STRICT, VALUES, has, waits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.harness import WorkerProcess

SOON = 20  # seconds: by the time that anybody loads it, all that was to happen soon is due

QUEUES = f"default,later,{STRICT}"  # that must be served for all to go on

# What becomes of each run, by its workflow_id.
ENDS: dict[str, tuple[str, Any]] = {
    "completed": ("COMPLETED", None),
    "failed": ("FAILED", None),
    "canceled": ("CANCELED", None),
    "timed out": ("TIMED_OUT", None),
    "sleeping": ("COMPLETED", "awake"),
    "waiting for a signal": ("COMPLETED", "went"),
    "waiting, with the signal in its mailbox": ("COMPLETED", "went before"),
    "waiting, with a cancel in its mailbox": ("CANCELED", None),
    "waiting, with values in its history": ("COMPLETED", [json.loads(json.dumps(VALUES)), VALUES["text"]]),
    "waiting for its child": ("COMPLETED", "went"),
    "in backoff": ("COMPLETED", "at last"),
    "running in a worker that died": ("COMPLETED", {"at": 7}),
    "queued where no worker is": ("COMPLETED", "elsewhere"),
    "blocked": ("COMPLETED", "mended"),
    "about to time out": ("TIMED_OUT", None),
    "not begun": ("COMPLETED", None),
    "put off": ("COMPLETED", None),
}


def prepare(worker: Callable[..., AbstractContextManager[WorkerProcess]]) -> None:
    """*worker* starts one in the project of this process, with arguments of durable_worker and settings of DURABLE."""
    with ExitStack() as stack:
        doomed = [
            stack.enter_context(worker("--queue-name", "default", "--threads", "20")),
            stack.enter_context(worker("--queue-name", STRICT, durable={"ON_WORKFLOW_ERROR": "block"})),
        ]
        start("completed", workflows.returns_none)
        start("failed", workflows.fails)
        canceled = start("canceled", workflows.canceled_outside)
        start("timed out", workflows.child, then="waits", options={"timeout": 0.05})
        sleeping = start("sleeping", workflows.sleeps, seconds=SOON)
        start("waiting for a signal", workflows.child_that_waits)
        signaled = start("waiting, with the signal in its mailbox", workflows.child_that_waits)
        to_cancel = start("waiting, with a cancel in its mailbox", workflows.canceled_inside)
        valued = start("waiting, with values in its history", workflows.values, given=VALUES)
        parent = start("waiting for its child", workflows.waits_for_child)
        start("in backoff", workflows.in_backoff, gate="backoff")
        start("running in a worker that died", workflows.hit_by_a_crash, gate="crash")
        queued = start("queued where no worker is", workflows.queued_elsewhere)
        start("blocked", workflows.blocked, gate="mended", options={"queue": STRICT})
        start("about to time out", workflows.child, then="waits", options={"timeout": SOON})

        for handle in (signaled, to_cancel, valued, canceled, by_name("waiting for a signal"), child_of(parent)):
            waits(handle, "signal")
        waits(queued, "activity")
        has(sleeping, "timer_started", "timer_fired", "timer_started")
        cancel_workflow(canceled, reason="not wanted")
        for name in ("completed", "failed", "canceled", "timed out", "blocked"):
            wait_for_status(name, "BLOCKED" if name == "blocked" else ENDS[name][0])
        tasks = ActivityTask.objects
        wait_until(tasks.filter(activity_name="fails_until_open", status="QUEUED", attempt=1).exists, "the backoff")
        beats = tasks.filter(activity_name="goes_on", status="RUNNING", heartbeat_details__isnull=False)
        wait_until(beats.exists, "a heartbeat")
        for process in doomed:
            process.kill()
    start("not begun", workflows.returns_none)
    start("put off", workflows.returns_none, options={"run_after": timedelta(seconds=SOON)})
    send_signal(signaled, "go", "went before")
    cancel_workflow(to_cancel, reason="please end", graceful=True)


def go_on() -> None:
    """What the outside world has to do with it, later."""
    for gate in ("backoff", "crash", "mended"):
        open_gate(gate)
    send_signal(by_name("waiting for a signal"), "go", "went")
    send_signal(child_of(by_name("waiting for its child")), "go", "went")
    send_signal(by_name("waiting, with values in its history"), "values", VALUES["text"])


def start(workflow_id: str, workflow: Any, options: dict[str, Any] | None = None, **given: Any) -> WorkflowHandle:
    return start_workflow(workflow.using(workflow_id=workflow_id, **(options or {})), **given)


def by_name(workflow_id: str) -> WorkflowHandle:
    return WorkflowHandle(WorkflowExecution.objects.get(workflow_id=workflow_id).pk)


def child_of(parent: WorkflowHandle) -> WorkflowHandle:
    found = wait_until(WorkflowExecution.objects.filter(parent=parent.id).first, "the child")
    return WorkflowHandle(found.pk)


def wait_for_status(workflow_id: str, status: str) -> None:
    wait_until(WorkflowExecution.objects.filter(workflow_id=workflow_id, status=status).exists, f"{workflow_id}")
