"""The pages of what belongs to a run: events, messages, activities, values and items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from django_durable.admin import actions
from django_durable.admin.html import block, payload_html
from django_durable.admin.reading import OfExecutionAdmin
from django_durable.models import ActivityTask, EventValue, HistoryEvent, Message, PublishedItem
from django_durable.redaction import redacted_details, redacted_input, redacted_value

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


@admin.register(HistoryEvent)
class HistoryEventAdmin(OfExecutionAdmin):
    actions = (actions.fork,)
    list_display = ("id", "execution_link", "seq", "type", "call_id", "created_at")
    ordering = ("-id",)
    fields = ("execution_link", "seq", "type", "call_id", "created_at", "details_text")

    @admin.display(description="details")
    def details_text(self, event: HistoryEvent) -> SafeString:
        return payload_html(redacted_details(event))


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
        return payload_html(message.result)

    @admin.display(description="why it failed or was rejected")
    def failure_text(self, message: Message) -> SafeString | str:
        return payload_html(message.failure) if message.failure else "-"


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
        return payload_html(redacted_input(task))

    @admin.display(description="result")
    def result_text(self, task: ActivityTask) -> SafeString:
        return payload_html(task.result)

    @admin.display(description="error")
    def error_text(self, task: ActivityTask) -> SafeString | str:
        return block(task.error) if task.error else "-"

    @admin.display(description="traceback")
    def failure_text(self, task: ActivityTask) -> SafeString | str:
        text = (task.failure or {}).get("traceback")
        return block(text) if text else "-"

    @admin.display(description="retry policy")
    def retry_policy_text(self, task: ActivityTask) -> SafeString:
        return payload_html(task.retry_policy)

    @admin.display(description="last heartbeat's details")
    def heartbeat_text(self, task: ActivityTask) -> SafeString:
        return payload_html(task.heartbeat_details)


@admin.register(EventValue)
class EventValueAdmin(OfExecutionAdmin):
    list_display = ("id", "key", "execution_link", "set_at")
    ordering = ("-id",)
    fields = ("execution_link", "key", "set_at", "value_text")

    @admin.display(description="value")
    def value_text(self, value: EventValue) -> SafeString:
        return payload_html(redacted_value(value.key, value.value))


@admin.register(PublishedItem)
class PublishedItemAdmin(OfExecutionAdmin):
    list_display = ("id", "stream", "execution_link", "created_at")
    ordering = ("-id",)
    fields = ("execution_link", "stream", "call_id", "number", "created_at", "item_text")

    @admin.display(description="item")
    def item_text(self, item: PublishedItem) -> SafeString:
        return payload_html(item.item)
