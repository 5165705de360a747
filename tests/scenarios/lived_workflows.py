"""Workflows that people do things to: try them again, pause them."""

from __future__ import annotations

from django_durable import RetryPolicy, register

from . import ledger
from .durable_activities import effect, gated


@register.activity(retry_policy=RetryPolicy(initial_interval=0.01, non_retryable_error_types=("ValueError",)))
def fails_until_mended(key):
    ledger.note(key)
    if not ledger.is_open(key):
        raise ValueError("mend me")
    return key


@register.workflow
def works_once_mended(ctx, key):
    """Its first effect and its last happen once, whatever happens in between."""
    ctx.run_activity(effect, f"{key}-before")
    found = ctx.run_activity(fails_until_mended, key)
    ctx.run_activity(effect, f"{key}-after")
    return found


@register.workflow
def raises_once(ctx, key):
    """Its code has a bug until the gate opens."""
    noted = ctx.run_activity(effect, f"{key}-before", "noted")
    if not ledger.is_open(key):
        raise ValueError("mend me")
    return [noted, ctx.run_activity(effect, f"{key}-after", "more")]


@register.workflow
def waits_for_a_mended_child(ctx, key):
    return ctx.run_workflow("works_once_mended", key=key)


@register.workflow
def works_on_signals(ctx, key):
    items = []
    for _ in range(2):
        items.append(ctx.wait_signal("item"))
        ctx.run_activity(effect, f"{key}-{items[-1]}")
    return items


@register.workflow
def gates(ctx, key):
    return ctx.run_activity(gated, key, "through")


@register.workflow
def adds(ctx, key, value):
    ctx.run_activity(effect, f"{key}-child-{value}")
    return value + ctx.wait_signal("more")


@register.workflow
def does_many_things(ctx, key):
    """Of each kind of call one, and what it does behind its signal depends on the gate."""
    numbers = ctx.random()
    ctx.set_event("stage", "begun")
    ctx.publish("begun")
    seen = []

    def see(value):
        seen.append(value)
        return len(seen)

    ctx.on_update("see", see)
    ctx.run_activity(effect, f"{key}-before", numbers.random())
    branch = ctx.spawn(lambda: ctx.run_activity(effect, f"{key}-branch", "branch"))
    child = ctx.start_workflow(adds, key=key, value=1)
    ctx.signal_workflow("more", 41, to=child)
    done = ctx.gather(branch, child)
    started = numbers.random()
    with ctx.saga() as saga:
        saga.run(effect, f"{key}-step", "step", undo=effect)
        ctx.sleep(0.01)
        ctx.wait_signal("go")
        if not ledger.is_open(key):
            raise ValueError("mend me")
    ctx.set_event("stage", "done")
    ctx.publish("done")
    return [done, seen, started, numbers.random(), ctx.run_activity(effect, f"{key}-after", "after")]
