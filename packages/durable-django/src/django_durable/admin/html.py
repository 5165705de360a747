"""HTML of pages. All text of users goes through format_html, which escapes it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join

from django_durable.models import WorkflowExecution
from django_durable.redaction import redacted
from django_durable.wording import json_in_words

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import Model
    from django.utils.safestring import SafeString

LONG = 20_000  # characters of a payload on a page
SHORT = 300  # in a table


def payload_html(value: Any) -> SafeString:
    return block(json_in_words(redacted(value), limit=LONG, indent=2))


def block(text: str) -> SafeString:
    return format_html("<pre>{}</pre>", text if len(text) <= LONG else f"{text[: LONG - 1]}…")


def cut(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def listing(header: tuple[str, ...], rows: list[tuple[Any, ...]], url: str, *, more: bool) -> SafeString | str:
    if not rows:
        return "none yet"
    heads = format_html_join("", "<th>{}</th>", ((name,) for name in header))
    body = format_html_join(
        "\n",
        "<tr>{}</tr>",
        ((format_html_join("", "<td>{}</td>", ((shown(cell),) for cell in row)),) for row in rows),
    )
    note = format_html('<p><a href="{}">All of them</a>; these are the newest {}.</p>', url, len(rows)) if more else ""
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}", heads, body, note)


def shown(cell: Any) -> Any:
    return f"{cell:%Y-%m-%d %H:%M:%S.%f} UTC" if isinstance(cell, datetime) else cell


def run_link(run_id: UUID) -> SafeString:
    return format_html('<a href="{}">{}</a>', url_of(WorkflowExecution, run_id), run_id)


def url_of(model: type[Model], key: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])


def url_of_list(model: type[Model], run: WorkflowExecution) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + f"?q={run.id}"
