"""Workflows that are asked, and asked to change, while they run."""

from __future__ import annotations

from django_durable import register

from .durable_activities import effect


@register.workflow
def answers_questions(ctx, key, most=3):
    """Collects items, and answers for them meanwhile and afterwards."""
    items: list[str] = []
    ctx.on_query("items", lambda: items)
    ctx.on_query("has", lambda item: item in items)
    ctx.on_query("acts", lambda: ctx.run_activity(effect, key))
    ctx.on_query("writes", _write)
    while len(items) < most:
        item = ctx.wait_signal("item")
        ctx.run_activity(effect, f"{key}-{item}")
        items.append(item)
    return items


def _write():
    from django.db import connections

    from django_durable.conf import conf

    with connections[conf().database].cursor() as cursor:
        cursor.execute("DELETE FROM django_durable_worker")
