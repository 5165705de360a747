"""Runs, their histories and their activities in the admin, for reading.

Nobody adds, changes or deletes here, superusers included: a history that was edited replays no more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from django_durable import admin_actions
from django_durable.conf import conf
from django_durable.fields import PayloadField
from django_durable.models import ActivityTask, EventValue, HistoryEvent, Message, PublishedItem, WorkflowExecution
from django_durable.redaction import redacted, redacted_details, redacted_input, redacted_value
from django_durable.wording import json_in_words, span_in_words, waiting_in_words
from durable_core.definitions import register
from durable_core.execution import Status

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

EVENTS_SHOWN = 100  # newest events on the page of a run
TASKS_SHOWN = 100
MESSAGES_SHOWN = 20
VALUES_SHOWN = 50
LONG = 20_000  # characters of a payload on a page
SHORT = 300  # in a table


class WithoutPayloads(ChangeList):
    """A list leaves alone what it does not show: fifty rows may hold a hundred megabytes."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        payloads = {field.name for field in self.opts.fields if isinstance(field, PayloadField)}
        return super().get_queryset(*args, **kwargs).defer(*payloads - {"waiting_for"})


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic only in the stubs
    """Shows rows of the durable database. Viewing needs Django's view permission."""

    show_full_result_count = False  # counting a big table takes long
    show_facets = admin.ShowFacets.NEVER
    actions: Any = None
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the filters offer: Django allows all fields, and ``?input__contains=`` reads a whole table."""
        offered = {getattr(offer, "parameter_name", offer) for offer in self.list_filter}
        return lookup.partition("__")[0] in offered

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf().database)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WithoutPayloads


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
    actions = (admin_actions.retry, admin_actions.pause, admin_actions.resume)
    list_display = ("id", "status", "workflow_name", "waits_for", "workflow_id", "created_at", "duration")
    list_filter = ("status", WorkflowNameFilter, "created_at")
    search_fields = ("id", "workflow_id")
    search_help_text = "Id of the execution, or the beginning of its workflow id"
    ordering = ("-created_at",)  # not by id: those of children do not grow with time
    fieldsets = (
        (None, {"fields": ("workflow_name", "status", "paused", "waits_for", "waits_at", "error_text", "duration")}),
        ("Data", {"fields": ("input_text", "result_text")}),
        ("Activities", {"fields": ("activities_table",)}),
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
        if (run_id := _uuid(term)) is not None:
            wanted |= Q(pk=run_id)
        return queryset.filter(wanted), False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions; rows themselves cannot be changed here."""
        return request.user.has_perm("django_durable.change_workflowexecution")

    @admin.display(description="waits for")
    def waits_for(self, run: WorkflowExecution) -> str:
        if run.finished_at or not run.waiting_for:
            return "-" if run.finished_at or run.paused_at is None else "paused"
        return f"{'paused: ' if run.paused_at else ''}{waiting_in_words(run.waiting_for)}"

    @admin.display(description="paused")
    def paused(self, run: WorkflowExecution) -> str:
        return "-" if run.finished_at or run.paused_at is None else f"since {_text(run.paused_at)}: {run.pause_reason}"

    @admin.display(description="at")
    def waits_at(self, run: WorkflowExecution) -> str:
        return str((run.waiting_for or {}).get("at") or "-")

    @admin.display(description="duration")
    def duration(self, run: WorkflowExecution) -> str:
        return span_in_words((run.finished_at or datetime.now(UTC)) - run.created_at)

    @admin.display(description="input")
    def input_text(self, run: WorkflowExecution) -> SafeString:
        return _payload(run.input)

    @admin.display(description="result")
    def result_text(self, run: WorkflowExecution) -> SafeString | str:
        return _payload(run.result) if run.status == Status.COMPLETED.value else "-"

    @admin.display(description="error")
    def error_text(self, run: WorkflowExecution) -> SafeString | str:
        return _block(run.error) if run.error else "-"

    @admin.display(description="parent")
    def parent_link(self, run: WorkflowExecution) -> SafeString | str:
        return "-" if run.parent_id is None else _run_link(run.parent_id)

    @admin.display(description="goes on for")
    def first_link(self, run: WorkflowExecution) -> SafeString | str:
        return "-" if run.chain_id is None else _run_link(run.chain_id)

    @admin.display(description="goes on as")
    def newest_link(self, run: WorkflowExecution) -> SafeString | str:
        newest = run.newest
        return "-" if newest == run else _run_link(newest.pk)

    @admin.display(description="newest")
    def activities_table(self, run: WorkflowExecution) -> SafeString | str:
        tasks = list(run.activities.order_by("-scheduled_at", "-id")[: TASKS_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', _url(ActivityTask, task.pk), task.activity_name),
                task.status,
                task.attempt,
                task.scheduled_at,
                _cut(task.error),
            )
            for task in reversed(tasks[:TASKS_SHOWN])
        ]
        everything = _url_of_list(ActivityTask, run)
        return _table(
            ("activity", "status", "attempt", "scheduled", "error"), rows, everything, more=len(tasks) > TASKS_SHOWN
        )

    @admin.display(description="newest with a key")
    def messages_table(self, run: WorkflowExecution) -> SafeString | str:
        """Updates, and signals that were sent with a key."""
        messages = list(run.messages.order_by("-id")[: MESSAGES_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', _url(Message, message.pk), message.name),
                message.kind,
                message.status,
                message.key,
                message.created_at,
            )
            for message in reversed(messages[:MESSAGES_SHOWN])
        ]
        everything = _url_of_list(Message, run)
        return _table(("name", "kind", "status", "key", "sent"), rows, everything, more=len(messages) > MESSAGES_SHOWN)

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
        everything = _url_of_list(EventValue, run)
        table = _table(("key", "set", "value"), rows, everything, more=len(values) > VALUES_SHOWN)
        published = format_html('<p><a href="{}">Published items</a></p>', _url_of_list(PublishedItem, run))
        return format_html("{}{}", table, published)

    @admin.display(description="events")
    def history_table(self, run: WorkflowExecution) -> SafeString | str:
        events = list(run.history.order_by("-seq")[: EVENTS_SHOWN + 1])
        rows = [
            (
                format_html('<a href="{}">{}</a>', _url(HistoryEvent, event.pk), event.seq),
                event.created_at,
                event.type,
                event.call_id or "",
                format_html("<code>{}</code>", json_in_words(redacted_details(event), limit=SHORT)),
            )
            for event in reversed(events[:EVENTS_SHOWN])
        ]
        everything = _url_of_list(HistoryEvent, run)
        return _table(("seq", "time", "type", "call", "details"), rows, everything, more=len(events) > EVENTS_SHOWN)


class OfExecutionAdmin(ReadOnlyAdmin):
    """Rows that belong to a run; the search finds those of one, by its id."""

    search_fields = ("execution",)
    search_help_text = "Id of the execution"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        run_id = _uuid(term)
        return (queryset.none() if run_id is None else queryset.filter(execution_id=run_id)), False

    @admin.display(description="execution")
    def execution_link(self, row: Any) -> SafeString:
        return _run_link(row.execution_id)


@admin.register(HistoryEvent)
class HistoryEventAdmin(OfExecutionAdmin):
    list_display = ("id", "execution_link", "seq", "type", "call_id", "created_at")
    ordering = ("-id",)
    fields = ("execution_link", "seq", "type", "call_id", "created_at", "details_text")

    @admin.display(description="details")
    def details_text(self, event: HistoryEvent) -> SafeString:
        return _payload(redacted_details(event))


@admin.register(Message)
class MessageAdmin(OfExecutionAdmin):
    list_display = ("id", "name", "kind", "status", "key", "execution_link", "created_at", "finished_at")
    list_filter = ("kind", "status")
    ordering = ("-id",)
    fields = (
        "name",
        "kind",
        "status",
        "key",
        "execution_link",
        "chain_id",
        "result_text",
        "failure_text",
        "created_at",
        "finished_at",
    )

    @admin.display(description="result")
    def result_text(self, message: Message) -> SafeString:
        return _payload(message.result)

    @admin.display(description="why it failed or was rejected")
    def failure_text(self, message: Message) -> SafeString | str:
        return _payload(message.failure) if message.failure else "-"


@admin.register(ActivityTask)
class ActivityTaskAdmin(OfExecutionAdmin):
    list_display = ("id", "activity_name", "status", "attempt", "execution_link", "queue", "scheduled_at", "retry_at")
    list_filter = ("status",)
    ordering = ("-id",)
    fields = (
        "activity_name",
        "status",
        "execution_link",
        "call_id",
        "attempt",
        "input_text",
        "result_text",
        "error_text",
        "failure_text",
        "retry_policy_text",
        "queue",
        "priority",
        "scheduled_at",
        "queued_at",
        "started_at",
        "finished_at",
        "retry_at",
        "expires_at",
        "schedule_to_start",
        "start_to_close",
        "heartbeat_timeout",
        "heartbeat_at",
        "heartbeat_text",
        "at_most_once",
        "completion_expires_at",
        "crashes",
        "cancel_requested",
        "worker_id",
    )

    @admin.display(description="input")
    def input_text(self, task: ActivityTask) -> SafeString:
        return _payload(redacted_input(task))

    @admin.display(description="result")
    def result_text(self, task: ActivityTask) -> SafeString:
        return _payload(task.result)

    @admin.display(description="error")
    def error_text(self, task: ActivityTask) -> SafeString | str:
        return _block(task.error) if task.error else "-"

    @admin.display(description="traceback")
    def failure_text(self, task: ActivityTask) -> SafeString | str:
        text = (task.failure or {}).get("traceback")
        return _block(text) if text else "-"

    @admin.display(description="retry policy")
    def retry_policy_text(self, task: ActivityTask) -> SafeString:
        return _payload(task.retry_policy)

    @admin.display(description="last heartbeat's details")
    def heartbeat_text(self, task: ActivityTask) -> SafeString:
        return _payload(task.heartbeat_details)


@admin.register(EventValue)
class EventValueAdmin(OfExecutionAdmin):
    list_display = ("id", "key", "execution_link", "set_at")
    ordering = ("-id",)
    fields = ("execution_link", "key", "set_at", "value_text")

    @admin.display(description="value")
    def value_text(self, value: EventValue) -> SafeString:
        return _payload(redacted_value(value.key, value.value))


@admin.register(PublishedItem)
class PublishedItemAdmin(OfExecutionAdmin):
    list_display = ("id", "stream", "execution_link", "created_at")
    ordering = ("-id",)
    fields = ("execution_link", "stream", "call_id", "number", "created_at", "item_text")

    @admin.display(description="item")
    def item_text(self, item: PublishedItem) -> SafeString:
        return _payload(item.item)


# HTML. All text of users goes through format_html, which escapes it.


def _payload(value: Any) -> SafeString:
    return _block(json_in_words(redacted(value), limit=LONG, indent=2))


def _block(text: str) -> SafeString:
    return format_html("<pre>{}</pre>", text if len(text) <= LONG else f"{text[: LONG - 1]}…")


def _cut(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]], url: str, *, more: bool) -> SafeString | str:
    if not rows:
        return "none yet"
    heads = format_html_join("", "<th>{}</th>", ((name,) for name in header))
    body = format_html_join(
        "\n", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((_text(cell),) for cell in row)),) for row in rows)
    )
    note = format_html('<p><a href="{}">All of them</a>; these are the newest {}.</p>', url, len(rows)) if more else ""
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}", heads, body, note)


def _text(cell: Any) -> Any:
    return f"{cell:%Y-%m-%d %H:%M:%S.%f} UTC" if isinstance(cell, datetime) else cell


def _run_link(run_id: UUID) -> SafeString:
    return format_html('<a href="{}">{}</a>', _url(WorkflowExecution, run_id), run_id)


def _url(model: type[Model], key: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])


def _url_of_list(model: type[Model], run: WorkflowExecution) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + f"?q={run.id}"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
