"""Workflows that do nothing but wait for the engine."""

from __future__ import annotations

from typing import Any

from django_durable import register


@register.activity
def echo(value: Any) -> Any:
    return value


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
