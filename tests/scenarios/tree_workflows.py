"""Workflows with many children."""

from __future__ import annotations

from django_durable import register


@register.workflow
def grows(ctx, widths):
    """A tree: as many children as the first width says, each with a tree of the others. How many runs there are."""
    if not widths:
        return 1
    return 1 + sum(ctx.map(grows, [widths[1:]] * widths[0]).results)


@register.workflow
def grows_and_waits(ctx, widths):
    """The same tree, whose leaves wait for ever."""
    if not widths:
        ctx.wait_signal("never")
    ctx.gather(*[ctx.start_workflow(grows_and_waits, widths=widths[1:]) for _ in range(widths[0])])
