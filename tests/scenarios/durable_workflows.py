"""Workflows of the scenarios: each is as small as what it shows."""

from __future__ import annotations

import os
from typing import Any

from django_durable import ActivityError, WaitTimeout, WorkflowCanceled, register

from . import ledger
from .durable_activities import echo, effect, exits, fails, fails_before, gated, spins, silent, unserialisable

CODE = os.environ.get("DURABLE_TEST_CODE", "1")  # which version of the code this process was "deployed" with


@register.workflow
def echoes(ctx, value=None):
    return ctx.run_activity(echo, value)


@register.workflow
def returns(ctx, value=None):
    return value


@register.workflow
def sequence(ctx, n):
    total = 0
    for number in range(n):
        total += ctx.run_activity(echo, number)
    return total


@register.workflow
def onboarding(ctx, key):
    """One of everything that the README promises."""
    welcome = ctx.run_activity(effect, f"{key}-welcome", "hello")
    ctx.sleep(0.05)
    clicked = ctx.wait_signal("clicked")
    last = ctx.run_activity(gated, f"{key}-gated", clicked)
    return [welcome, last]
