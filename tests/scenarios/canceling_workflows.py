"""Workflows that cancel what they have started."""

from __future__ import annotations

from django_durable import ActivityCanceled, ChildCanceled, RetryPolicy, ScopeCanceled, register

from .durable_activities import echo, effect, fails_before, heartbeats_until_canceled

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
def gives_up_in_time(ctx, key, elsewhere):
    """Of a part of the code: an activity that nobody begins, a branch in backoff, a child."""

    def tries():
        ctx.run_activity(fails_before.using(retry_policy=_PATIENT), f"{key}-backoff", 99)

    with ctx.cancel_scope(timeout=0.3) as scope:
        child = ctx.start_workflow("waits_for_answer")
        branch = ctx.spawn(tries)
        ctx.run_activity(effect.using(queue=elsewhere), f"{key}-queued")
    ended = ctx.gather(child, branch, return_exceptions=True)
    return [scope.was_canceled, *[type(error).__name__ for error in ended], ctx.run_activity(echo, "went on")]


@register.workflow
def stops_one_of_two(ctx, key):
    def works(name):
        try:
            ctx.wait_signal("never")
        except ScopeCanceled as canceled:
            ctx.run_activity(effect, f"{key}-{name}", canceled.reason)
            raise

    first, second = ctx.spawn(works, "first"), ctx.spawn(works, "second")
    ctx.cancel((ctx.wait_signal("stop") == "first" and first) or second, "not this one")
    [error] = ctx.gather(first, return_exceptions=True)
    return [type(error).__name__, error.reason, ctx.cancel(second)]


@register.workflow
def cancels_its_child(ctx, key):
    child = ctx.start_workflow("collects_for_ever", key=key)
    ctx.wait_signal("stop")
    ctx.cancel(child, "enough")
    try:
        return ctx.wait(child)
    except ChildCanceled as error:
        return ["canceled", error.reason]
