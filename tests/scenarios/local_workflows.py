"""Activities that run beside the code of their workflow."""

from __future__ import annotations

from django_durable import ActivityError, RetryPolicy, register

from .durable_activities import dies_once, effect, exits, fails, fails_before


@register.workflow
def adds_up_here(ctx, key):
    """Effects, one of which is tried again, and an error."""
    first = ctx.run_local_activity(effect, f"{key}-1", "a")
    second = ctx.run_local_activity(fails_before, f"{key}-2", 3)
    third = None
    try:
        ctx.run_local_activity(fails, "for good")
    except ActivityError as error:
        third = [error.type_name, error.message, error.attempt]
    last = ctx.run_activity(effect, f"{key}-3", "c")
    return [first, second, third, last]


@register.workflow
def dies_here(ctx, key, always=False):
    policy = RetryPolicy(initial_interval=0.01)
    if always:
        return ctx.run_local_activity(exits.using(retry_policy=policy), key, "sigkill")
    return ctx.run_local_activity(dies_once, key)
