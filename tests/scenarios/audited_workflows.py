"""Code that a replay catches out: it depends on its process, or does what only activities may do."""

from __future__ import annotations

import os

from django_durable import register
from django_durable.models import Worker

from .durable_activities import echo


@register.workflow
def in_the_order_of_a_set(ctx):
    """Asks for the same activities in every process, each time with other arguments."""
    names = {"ada", "grace", "edsger", "barbara", "donald", "tony", "leslie"}
    return [ctx.run_activity(echo, name) for name in names]


@register.workflow
def with_the_process_in_it(ctx):
    return [ctx.run_activity(echo, "one"), os.getpid()]


@register.workflow
def writes_in_its_code(ctx):
    ctx.run_activity(echo, "one")
    Worker.objects.filter(host="nobody").update(host="nobody")
    return ctx.run_activity(echo, "two")
