"""What the list of runs lets people do to them, who have the permission to change runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils.html import format_html

from django_durable.admin.html import run_link
from django_durable.life import fork_workflow, pause_workflow, resume_workflow, retry_workflow
from durable_core.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from django_durable.models import HistoryEvent, WorkflowExecution

SHOWN = 5  # refusals that are told one by one


def _do(
    modeladmin: Any,
    request: HttpRequest,
    runs: QuerySet[WorkflowExecution],
    act: Callable[[WorkflowExecution, str], object],
    done: str,
) -> None:
    """To each by itself: what cannot be done to one is done to the others."""
    reason = f"by {request.user.get_username()}, in the admin"
    count, refusals = 0, []
    for run in runs:
        try:
            count += act(run, reason) is not False
        except DurableError as error:
            refusals.append(str(error))
    modeladmin.message_user(request, f"{count} of {len(runs)} {done}.", messages.SUCCESS if count else messages.WARNING)
    for refusal in refusals[:SHOWN]:
        modeladmin.message_user(request, refusal, messages.WARNING)


@admin.action(permissions=["operate"], description="Try again (BLOCKED, FAILED, TIMED_OUT)")
def retry(modeladmin: Any, request: HttpRequest, runs: QuerySet[WorkflowExecution]) -> None:
    _do(modeladmin, request, runs, lambda run, reason: retry_workflow(run, reason=reason), "will be tried again")


@admin.action(permissions=["operate"], description="Pause")
def pause(modeladmin: Any, request: HttpRequest, runs: QuerySet[WorkflowExecution]) -> None:
    _do(modeladmin, request, runs, lambda run, reason: pause_workflow(run, reason=reason), "paused")


@admin.action(permissions=["operate"], description="Resume")
def resume(modeladmin: Any, request: HttpRequest, runs: QuerySet[WorkflowExecution]) -> None:
    _do(modeladmin, request, runs, lambda run, _: resume_workflow(run), "resumed")


@admin.action(permissions=["operate"], description="Fork the execution, from this event on")
def fork(modeladmin: Any, request: HttpRequest, events: QuerySet[HistoryEvent]) -> None:
    for event in events:
        try:
            handle = fork_workflow(event.execution_id, event.seq)
        except DurableError as refusal:
            modeladmin.message_user(request, str(refusal), messages.WARNING)
        else:
            told = format_html("Forked as {}.", run_link(handle.id))
            modeladmin.message_user(request, told, messages.SUCCESS)
