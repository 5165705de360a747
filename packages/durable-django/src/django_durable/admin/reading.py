"""Pages that only show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList

from django_durable.admin.html import run_link
from django_durable.conf import conf
from django_durable.fields import PayloadField

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


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

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions; rows themselves cannot be changed here."""
        return request.user.has_perm("django_durable.change_workflowexecution")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf().database)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WithoutPayloads


class OfExecutionAdmin(ReadOnlyAdmin):
    """Rows that belong to a run; the search finds those of one, by its id."""

    search_fields = ("execution",)
    search_help_text = "Id of the execution"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        run_id = uuid_in(term)
        return (queryset.none() if run_id is None else queryset.filter(execution_id=run_id)), False

    @admin.display(description="execution")
    def execution_link(self, row: Any) -> SafeString:
        return run_link(row.execution_id)


def uuid_in(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
