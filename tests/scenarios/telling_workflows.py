"""Workflows that let others read how far they are."""

from __future__ import annotations

import os
import signal

from django_durable import current_activity, register

from . import ledger
from .durable_activities import QUICK_RETRY, gated


@register.workflow
def tells_its_stage(ctx, key):
    ctx.wait_signal("begin")
    ctx.set_event("stage", "packing")
    ctx.run_activity(gated, key)
    ctx.set_event("stage", {"sent": [1, 2]})
    ctx.set_event("note", None)
    ctx.wait_signal("end")
    ctx.set_event("stage", "there")


@register.activity(retry_policy=QUICK_RETRY)
def counts_aloud(key, n, dies_at=None):
    """Publishes numbers; its first attempt waits at one of them, and kills its worker when the test lets it."""
    current = current_activity()
    for number in range(n):
        current.publish({"attempt": current.attempt, "number": number})
        if number == dies_at and current.attempt == 1:
            ledger.pass_gate(key)
            os.kill(os.getpid(), signal.SIGKILL)
    current.publish("counted", stream="said")
    return n


@register.workflow
def counts_in_public(ctx, key, n=3, dies_at=None, rounds=1):
    ctx.publish("begins")
    ctx.run_activity(counts_aloud, key, n, dies_at)
    ctx.publish("ends")
    if rounds > 1:
        ctx.continue_as_new(key=key, n=n, rounds=rounds - 1)
