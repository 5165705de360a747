from __future__ import annotations

import random
import time
from typing import Any

from django_durable import ActivityError, RetryPolicy, activity_heartbeat, current_activity, register
from django_durable.models import ActivityTask


class TryLater(Exception):
    def __init__(self, secret: str) -> None:
        super().__init__(secret)
        self.next_retry_delay = secret  # no delay, and the complaint about it would quote it


def nosy(error: BaseException) -> bool:
    raise RuntimeError(str(error))


@register.activity(heartbeat_timeout=2, start_to_close=30)
def beats(secret: str) -> None:
    """Until its heartbeat has been written."""
    me = ActivityTask.objects.filter(pk=current_activity().id, heartbeat_at__isnull=False)
    while not me.exists():
        activity_heartbeat({"at": secret})
        time.sleep(0.01)


@register.activity
def keeps(secret: str) -> dict[str, str]:
    return {secret: secret}


@register.activity(retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01))
def spills(secret: str) -> None:
    raise TryLater(secret) from KeyError(secret)


@register.activity(retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01, retry_if=nosy))
async def spills_async(secret: str) -> None:
    raise ValueError(secret)


@register.activity(retry_policy=RetryPolicy(maximum_attempts=1))
def returns_what_json_cannot_hold(secret: str) -> Any:
    return {"found": [secret, object()]}


@register.workflow
def leaks(ctx, secret):
    """Hands it to everything there is."""
    ctx.side_effect(lambda: secret)
    ctx.run_activity(beats, secret)
    ctx.run_activity(keeps, secret)
    for activity in (spills, spills_async, returns_what_json_cannot_hold):
        try:
            ctx.run_activity(activity, secret)
        except ActivityError:
            continue
    ctx.run_workflow(leaky_child, secret=secret)
    ctx.run_activity(keeps, f"{secret}-{random.random()}")  # changes with each replay
    sent = ctx.wait_signal("go")
    return [secret, sent]


@register.workflow
def leaky_child(ctx, secret):
    return secret


@register.workflow
def spills_itself(ctx, secret):
    raise ValueError(secret)


@register.query(leaks)
def told(execution, **payload):
    raise ValueError(str(payload))
