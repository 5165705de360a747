"""Workflows that go on as new runs."""

from __future__ import annotations

from django_durable import register

from .durable_activities import effect


@register.workflow
def collects_for_ever(ctx, key, most=3, items=()):
    """One item a run; the last run returns them all."""
    item = ctx.wait_signal("item")
    ctx.run_activity(effect, f"{key}-{item}")
    items = [*items, item]
    if len(items) < most:
        ctx.continue_as_new(key=key, most=most, items=items)
    return items


@register.workflow
def goes_round(ctx, n=0):
    """A run is over as soon as it has begun."""
    ctx.sleep(0.01)
    ctx.continue_as_new(n=n + 1)


@register.workflow
def waits_for_a_chain(ctx, key, most=3):
    child = ctx.start_workflow("collects_for_ever", key=key, most=most)
    ctx.wait_signal("go")
    return ctx.wait_workflow(child)


@register.workflow
def leaves_things_behind(ctx, key, n=0):
    """What a run has started and not waited for does not reach the next."""
    if not n:
        ctx.start_activity(effect, key)
        ctx.start_workflow("waits_for_answer")
        ctx.continue_as_new(key=key, n=1)
    return ctx.wait_signal("end")


@register.workflow
def counts_down(ctx, n):
    if n:
        ctx.continue_as_new(n=n - 1)
    return ["counted", n]
