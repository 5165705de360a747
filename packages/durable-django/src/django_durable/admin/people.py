"""The pages of questions to people: what is open, and a form that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from django_durable.admin.html import block, payload_html, url_of
from django_durable.admin.reading import OfExecutionAdmin, uuid_in
from django_durable.models import HumanTask
from django_durable.people.answering import answer_task
from durable_core.errors import DurableError, HumanTaskError
from durable_core.execution import HumanTaskStatus

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

ALL = "all"


class OpenFirst(admin.SimpleListFilter):
    """Who comes here wants to see what is open, unless they say otherwise."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.value.lower()) for status in HumanTaskStatus]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or HumanTaskStatus.OPEN.value
        for value, title in [*self.lookup_choices, (ALL, ALL)]:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": chosen == value, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        status = self.value() or HumanTaskStatus.OPEN.value
        return queryset if status == ALL else queryset.filter(status=status)


@admin.register(HumanTask)
class HumanTaskAdmin(OfExecutionAdmin):
    list_display = ("__str__", "status", "assignee", "execution_link", "asked_at", "expires_at", "answered_by")
    list_filter = (OpenFirst,)
    ordering = ("-asked_at",)
    fields = (
        "question_text",
        "status",
        "answer_link",
        "answer_text",
        "answered_by",
        "reason",
        "assignee",
        "permission",
        "form_text",
        "execution_link",
        "call_id",
        "asked_at",
        "expires_at",
        "ended_at",
    )

    @admin.display(description="question")
    def question_text(self, task: HumanTask) -> SafeString:
        return block(task.question)

    @admin.display(description="answer")
    def answer_text(self, task: HumanTask) -> SafeString | str:
        return payload_html(task.answer) if task.status == HumanTaskStatus.ANSWERED.value else "-"

    @admin.display(description="form")
    def form_text(self, task: HumanTask) -> SafeString | str:
        return "-" if task.form is None else payload_html(task.form)

    @admin.display(description="to answer")
    def answer_link(self, task: HumanTask) -> SafeString | str:
        return format_html('<a href="{}">Answer</a>', _url_to_answer(task)) if task.is_open else "-"

    # Answering

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.answer_view)
        return [path("<path:object_id>/answer/", view, name="django_durable_humantask_answer"), *super().get_urls()]

    def may_answer(self, request: HttpRequest, task: HumanTask) -> bool:
        """By the permission that the task asks for, or else by that to change tasks."""
        wanted = task.permission or "django_durable.change_humantask"
        return self.has_view_permission(request, task) and request.user.has_perm(wanted)

    def answer_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        task_id = uuid_in(object_id)
        task = None if task_id is None else self.get_queryset(request).filter(pk=task_id).first()
        if task is None:
            raise Http404("No such human task.")
        if not self.may_answer(request, task):
            raise PermissionDenied
        form = None
        try:
            form = task.make_form(request.POST if request.method == "POST" else None)
            if request.method == "POST" and form.is_valid():
                answer_task(task, form, by=request.user)
                self.message_user(request, "Answered.", messages.SUCCESS)
                return HttpResponseRedirect(url_of(HumanTask, task.pk))
        except HumanTaskError as refusal:  # somebody was first, or its time is over
            self.message_user(request, str(refusal), messages.WARNING)
            return HttpResponseRedirect(url_of(HumanTask, task.pk))
        except DurableError as problem:  # its form cannot be imported here, or its answer not be stored
            self.message_user(request, str(problem), messages.ERROR)
        if not task.is_open:
            return HttpResponseRedirect(url_of(HumanTask, task.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": "Answer",
            "task": task,
            "form": form,
            "opts": self.opts,
            "media": self.media if form is None else self.media + form.media,
        }
        return TemplateResponse(request, "django_durable/answer.html", context)


def _url_to_answer(task: HumanTask) -> str:
    return reverse("admin:django_durable_humantask_answer", args=[task.pk])
