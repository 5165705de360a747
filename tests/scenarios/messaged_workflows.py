"""Workflows that are asked, and asked to change, while they run."""

from __future__ import annotations

from django_durable import UnknownExecutionError, WorkflowClosed, register

from .durable_activities import echo, effect


@register.workflow
def questioned(ctx, key, most=3):
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


@register.workflow
def takes_updates(ctx, key, most=100):
    """An account: amounts are added by updates, some of which take their time."""
    total = 0

    def add(amount, slowly=False):
        nonlocal total
        if slowly:
            amount = ctx.run_activity(echo, amount)
            ctx.run_activity(effect, f"{key}-{amount}")
        total += amount
        return total

    def check(amount, slowly=False):
        if amount <= 0:
            raise ValueError(f"{amount} is not positive")

    ctx.on_query("total", lambda: total)
    ctx.on_update("add", add, check)
    ctx.on_update("fail", lambda: int("no number"))
    ctx.on_update("go_on", lambda: ctx.continue_as_new(key=key, most=most))
    ctx.wait_until(lambda: total >= most)
    ctx.wait_until(ctx.all_handlers_finished)
    return total


@register.workflow
def writes_to(ctx, to=None, workflow_id=None, items=("a",)):
    """Sends items to another run, and tells how far it came."""
    sent: list[str] = []
    for item in items:
        try:
            ctx.signal_workflow("item", item, to=to, workflow_id=workflow_id)
        except (WorkflowClosed, UnknownExecutionError) as error:
            return [*sent, type(error).__name__]
        sent.append(item)
    return sent


@register.workflow
def stops_another(ctx, to):
    ctx.cancel_workflow(to=to, reason="enough")
    return "asked"


@register.workflow
def writes_back(ctx, peer_id, first):
    """Two of these write to each other at once, again and again."""
    if first:
        ctx.wait_signal("begin")
    for turn in range(5):
        ctx.signal_workflow("ball", turn, workflow_id=peer_id)
        if ctx.wait_signal("ball") != turn:
            return "lost"
    return "played"
