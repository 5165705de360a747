"""Workflows that let others read how far they are."""

from __future__ import annotations

from django_durable import register

from .durable_activities import gated


@register.workflow
def tells_its_stage(ctx, key):
    ctx.wait_signal("begin")
    ctx.set_event("stage", "packing")
    ctx.run_activity(gated, key)
    ctx.set_event("stage", {"sent": [1, 2]})
    ctx.set_event("note", None)
    ctx.wait_signal("end")
    ctx.set_event("stage", "there")
