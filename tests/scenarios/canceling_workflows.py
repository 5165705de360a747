"""Workflows that cancel what they have started."""

from __future__ import annotations

from django_durable import ActivityCanceled, ChildCanceled, RetryPolicy, register

from .durable_activities import effect, fails_before, heartbeats_until_canceled

_PATIENT = RetryPolicy(initial_interval=3600, maximum_interval=3600)


@register.workflow
def cancels_three_ways(ctx, key, elsewhere):
    """One that waits for a worker, one that waits for its next attempt, and one under way."""
    handles = [
        ctx.start_activity(effect.using(queue=elsewhere), f"{key}-queued"),
        ctx.start_activity(fails_before.using(retry_policy=_PATIENT), f"{key}-backoff", 99),
        ctx.start_activity(heartbeats_until_canceled, f"{key}-running"),
    ]
    ctx.wait_signal("stop")
    answers = [ctx.cancel(handle, "enough") for handle in handles]
    results = ctx.gather(*handles, return_exceptions=True)
    told = [result.message if isinstance(result, ActivityCanceled) else repr(result) for result in results]
    return [answers, told, [ctx.cancel(handle) for handle in handles]]


@register.workflow
def starts_and_cancels(ctx, key):
    """In one step: the activity, the child and the timer never do anything."""
    handles = [ctx.start_activity(effect, key), ctx.start_workflow("waits_for_answer"), ctx.timer(3600)]
    for handle in handles:
        ctx.cancel(handle, "a mistake")
    results = ctx.gather(*handles, return_exceptions=True)
    return [type(result).__name__ for result in results]


@register.workflow
def cancels_its_child(ctx, key):
    child = ctx.start_workflow("collects_for_ever", key=key)
    ctx.wait_signal("stop")
    ctx.cancel(child, "enough")
    try:
        return ctx.wait(child)
    except ChildCanceled as error:
        return ["canceled", error.reason]
