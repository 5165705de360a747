"""Workflows that do nothing but wait for the engine."""

from __future__ import annotations

from typing import Any

from django_durable import RetryPolicy, current_activity, register


@register.activity
def echo(value: Any) -> Any:
    return value


@register.activity(retry_policy=RetryPolicy(initial_interval=0.2))
def stumbles() -> int:
    """Fails once."""
    attempt = current_activity().attempt
    if attempt == 1:
        raise ConnectionError("try again")
    return attempt


@register.workflow
def one_activity(ctx, payload=""):
    """The payload is the input of the run and of its activity, and the result of both."""
    return ctx.run_activity(echo, payload)


@register.workflow
def sequence(ctx, n):
    for number in range(n):
        ctx.run_activity(echo, number)
    return n


@register.workflow
def sleeper(ctx, seconds):
    ctx.sleep(seconds)


# One of each way to wait, for benchmarks/soak.py


@register.workflow
def naps(ctx, seconds):
    ctx.sleep(seconds)
    return ctx.run_activity(echo, seconds)


@register.workflow
def answered(ctx, patience):
    return ctx.wait_signal("answer", timeout=patience)


@register.workflow
def retried(ctx):
    return ctx.run_activity(stumbles)


@register.workflow
def parent(ctx):
    return ctx.run_workflow(one_activity)
