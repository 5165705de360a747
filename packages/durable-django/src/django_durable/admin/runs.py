"""The pages of runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html

from django_durable.admin import actions
from django_durable.admin.html import SHORT, block, cut, listing, payload_html, run_link, shown, url_of, url_of_list
from django_durable.admin.reading import ReadOnlyAdmin, uuid_in
from django_durable.models import (
    ActivityTask,
    EventValue,
    HistoryEvent,
    HumanTask,
    Message,
    PublishedItem,
    WorkflowExecution,
)
from django_durable.redaction import redacted_details, redacted_value
from django_durable.wording import json_in_words, span_in_words, waiting_in_words
from durable_core.definitions import register
from durable_core.execution import Status

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

EVENTS_SHOWN = 100  # newest events on the page of a run
TASKS_SHOWN = 100
MESSAGES_SHOWN = 20
VALUES_SHOWN = 50


class WorkflowNameFilter(admin.SimpleListFilter):
    """The names this process knows; those in the table could only be found by reading all of it."""

    title = "workflow"
    parameter_name = "workflow_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(register.workflows)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(workflow_name=self.value()) if self.value() else queryset


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(ReadOnlyAdmin):
    actions = (actions.retry, actions.pause, actions.resume)
    list_display = ("id", "status", "workflow_name", "waits_for", "workflow_id", "created_at", "duration")
    list_filter = ("status", WorkflowNameFilter, "created_at")
    search_fields = ("id", "workflow_id")
    search_help_text = "Id of the execution, or the beginning of its workflow id"
    ordering = ("-created_at",)  # not by id: those of children do not grow with time
    fieldsets = (
        (None, {"fields": ("workflow_name", "status", "paused", "waits_for", "waits_at", "error_text", "duration")}),
        ("Data", {"fields": ("input_text", "result_text")}),
        ("Activities", {"fields": ("activities_table",)}),
        ("Human tasks", {"fields": ("questions_table",)}),
        ("Messages", {"fields": ("messages_table",)}),
        ("Events", {"fields": ("events_table",)}),
        ("History", {"fields": ("history_table",)}),
        (
            "Details",
            {
                "fields": (
                    "id",
                    "workflow_id",
                    "parent_link",
                    "origin_link",
                    "first_link",
                    "newest_link",
                    "queue",
                    "priority",
                    "created_at",
                    "start_at",
                    "started_at",
                    "finished_at",
                    "deadline",
                    "due_at",
                    "version",
                    "failures",
                    "crashes",
                    "worker_id",
                )
            },
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(workflow_id__startswith=term)
        if (run_id := uuid_in(term)) is not None:
            wanted |= Q(pk=run_id)
        return queryset.filter(wanted), False

    @admin.display(description="waits for")
    def waits_for(self, run: WorkflowExecution) -> str:
        if run.finished_at or not run.waiting_for:
            return "-" if run.finished_at or run.paused_at is None else "paused"
        return f"{'paused: ' if run.paused_at else ''}{waiting_in_words(run.waiting_for)}"

    @admin.display(description="paused")
    def paused(self, run: WorkflowExecution) -> str:
        return "-" if run.finished_at or run.paused_at is None else f"since {shown(run.paused_at)}: {run.pause_reason}"

    @admin.display(description="at")
    def waits_at(self, run: WorkflowExecution) -> str:
        return str((run.waiting_for or {}).get("at") or "-")

    @admin.display(description="duration")
    def duration(self, run: WorkflowExecution) -> str:
        return span_in_words((run.finished_at or datetime.now(UTC)) - run.created_at)

    @admin.display(description="input")
    def input_text(self, run: WorkflowExecution) -> SafeString:
        return payload_html(run.input)

    @admin.display(description="result")
    def result_text(self, run: WorkflowExecution) -> SafeString | str:
        return payload_html(run.result) if run.status == Status.COMPLETED.value else "-"

    @admin.display(description="error")
    def error_text(self, run: WorkflowExecution) -> SafeString | str:
        return block(run.error) if run.error else "-"

    @admin.display(description="parent")
    def parent_link(self, run: WorkflowExecution) -> SafeString | str:
        return "-" if run.parent_id is None else run_link(run.parent_id)

    @admin.display(description="forked from")
    def origin_link(self, run: WorkflowExecution) -> SafeString | str:
        return "-" if run.forked_from_id is None else run_link(run.forked_from_id)

    @admin.display(description="goes on for")
    def first_link(self, run: WorkflowExecution) -> SafeString | str:
        return "-" if run.chain_id is None else run_link(run.chain_id)

    @admin.display(description="goes on as")
    def newest_link(self, run: WorkflowExecution) -> SafeString | str:
        newest = run.newest
        return "-" if newest == run else run_link(newest.pk)

    @admin.display(description="newest")
    def activities_table(self, run: WorkflowExecution) -> SafeString | str:
        tasks = list(run.activities.order_by("-scheduled_at", "-id")[: TASKS_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', url_of(ActivityTask, task.pk), task.activity_name),
                task.status,
                task.attempt,
                task.scheduled_at,
                cut(task.error),
            )
            for task in reversed(tasks[:TASKS_SHOWN])
        ]
        everything = url_of_list(ActivityTask, run)
        return listing(
            ("activity", "status", "attempt", "scheduled", "error"), rows, everything, more=len(tasks) > TASKS_SHOWN
        )

    @admin.display(description="newest")
    def questions_table(self, run: WorkflowExecution) -> SafeString | str:
        tasks = list(run.human_tasks.order_by("-asked_at", "-id").defer("answer", "form")[: MESSAGES_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', url_of(HumanTask, task.pk), task),
                task.status,
                task.assignee or "",
                task.asked_at,
                task.answered_by or "",
            )
            for task in reversed(tasks[:MESSAGES_SHOWN])
        ]
        everything = url_of_list(HumanTask, run) + "&status=all"
        header = ("question", "status", "for", "asked", "answered by")
        return listing(header, rows, everything, more=len(tasks) > MESSAGES_SHOWN)

    @admin.display(description="newest with a key")
    def messages_table(self, run: WorkflowExecution) -> SafeString | str:
        """Updates, and signals that were sent with a key."""
        messages = list(run.messages.order_by("-id")[: MESSAGES_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', url_of(Message, message.pk), message.name),
                message.kind,
                message.status,
                message.key,
                message.created_at,
            )
            for message in reversed(messages[:MESSAGES_SHOWN])
        ]
        everything = url_of_list(Message, run)
        return listing(("name", "kind", "status", "key", "sent"), rows, everything, more=len(messages) > MESSAGES_SHOWN)

    @admin.display(description="set by the code")
    def events_table(self, run: WorkflowExecution) -> SafeString | str:
        values = list(run.events.order_by("-id")[: VALUES_SHOWN + 1])
        rows = [
            (
                value.key,
                value.set_at,
                format_html("<code>{}</code>", json_in_words(redacted_value(value.key, value.value), limit=SHORT)),
            )
            for value in reversed(values[:VALUES_SHOWN])
        ]
        everything = url_of_list(EventValue, run)
        table = listing(("key", "set", "value"), rows, everything, more=len(values) > VALUES_SHOWN)
        published = format_html('<p><a href="{}">Published items</a></p>', url_of_list(PublishedItem, run))
        return format_html("{}{}", table, published)

    @admin.display(description="events")
    def history_table(self, run: WorkflowExecution) -> SafeString | str:
        events = list(run.history.order_by("-seq")[: EVENTS_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', url_of(HistoryEvent, event.pk), event.seq),
                event.created_at,
                event.type,
                event.call_id or "",
                format_html("<code>{}</code>", json_in_words(redacted_details(event), limit=SHORT)),
            )
            for event in reversed(events[:EVENTS_SHOWN])
        ]
        everything = url_of_list(HistoryEvent, run)
        return listing(("seq", "time", "type", "call", "details"), rows, everything, more=len(events) > EVENTS_SHOWN)
