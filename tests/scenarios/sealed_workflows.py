"""Workflows that hand what they are given to everything that is stored."""

from __future__ import annotations

import time

from django_durable import (
    ActivityError,
    RetryPolicy,
    TaskCanceled,
    WorkflowFailed,
    activity_heartbeat,
    current_activity,
    register,
)

from . import ledger
from .durable_activities import QUICK_RETRY, echo

ONCE = RetryPolicy(maximum_attempts=1)


@register.activity(retry_policy=QUICK_RETRY, heartbeat_timeout=5)
def whispers(secret):
    """Its first attempt leaves word to the next by its heartbeat, and fails."""
    current = current_activity()
    current.publish({"item": secret})
    if current.attempt == 1:
        activity_heartbeat({"left": secret})
        _until_beaten()
        raise ValueError(f"not yet: {secret}")
    return current.heartbeat_details


def _until_beaten():
    from django_durable.conf import conf
    from django_durable.models import ActivityTask

    me = ActivityTask.objects.using(conf().database).filter(pk=current_activity().id, heartbeat_details__isnull=False)
    while not me.exists():
        time.sleep(0.01)


@register.activity(retry_policy=ONCE)
def cries(secret):
    raise ValueError(secret)


@register.workflow
def keeps_secret(ctx, secret, again=True):
    """Answers what it has got back from everywhere."""
    if again:
        ctx.continue_as_new(secret=secret, again=False)
    taken = []

    def take(what):
        taken.append(ctx.run_activity(echo, what))
        return taken

    ctx.on_update("take", take, lambda what: None if what else int(what or f"nothing, {secret}"))
    ctx.on_update("refuse", lambda what: int(f"no {what}"))
    ctx.set_event("secret", secret)
    ctx.publish(secret)
    got = [
        ctx.side_effect(lambda: secret),
        ctx.run_local_activity(echo, secret),
        ctx.run_activity(whispers, secret),
        ctx.run_workflow(tells_secret, secret=secret),
    ]
    unwanted = ctx.start_activity(echo.using(queue="nobody"), secret)
    ctx.cancel(unwanted, f"no {secret}")
    for call in (lambda: ctx.run_activity(cries, secret), lambda: ctx.run_workflow(cries_out, secret=secret)):
        try:
            call()
        except (ActivityError, WorkflowFailed) as error:
            got.append(str(error).count(secret))
    other = ctx.start_workflow(listens)
    ctx.signal_workflow("word", {"about": secret}, to=other)
    got.append(ctx.wait_workflow(other))
    got.append(ctx.wait_signal("go"))
    ctx.wait_until(ctx.all_handlers_finished)
    return [*got, *taken]


@register.workflow
def tells_secret(ctx, secret):
    return secret


@register.workflow
def cries_out(ctx, secret):
    raise ValueError(secret)


@register.workflow
def listens(ctx):
    return ctx.wait_signal("word")["about"]


@register.workflow
def waits_with(ctx, secret):
    """Nothing but a wait: what it was given comes back."""
    return [secret, ctx.wait_signal("go")]


@register.workflow
def echoes_secret(ctx, secret, queue):
    return ctx.run_activity(echo.using(queue=queue), secret)


@register.workflow
def asks_about(ctx, secret):
    """What it is answered, and why it did not want to know the rest."""
    asked, unwanted = ctx.start_ask("Is it so?"), ctx.start_ask("Is it really?")
    ctx.cancel(unwanted, f"no {secret}")
    try:
        ctx.wait(unwanted)
    except TaskCanceled as canceled:
        return [ctx.wait(asked), canceled.reason]


@register.activity(retry_policy=ONCE)
def cries_until_mended(secret, key):
    if not ledger.is_open(key):
        raise ValueError(f"mend me: {secret}")
    return secret


@register.workflow
def goes_on_once_mended(ctx, secret, key):
    got = [ctx.run_activity(echo, secret), ctx.wait_signal("go"), ctx.side_effect(lambda: secret)]
    return [*got, ctx.run_activity(cries_until_mended, secret, key)]
