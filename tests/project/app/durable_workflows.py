from __future__ import annotations

from django_durable import ActivityError, register
from tests.project.app.durable_activities import (
    approve,
    book_order,
    decline,
    flaky,
    kill_worker_once,
    pay_order,
    place_order,
    ship_order,
    where_am_i,
)


@register.workflow
def order(ctx, number):
    place_order_result = ctx.run_activity(place_order, number)
    ctx.sleep(0.05)
    return [bool(place_order_result), ctx.run_activity(ship_order, number)]


@register.workflow
def double_payment(ctx, number):
    ctx.run_activity(pay_order, number)
    try:
        ctx.run_activity(pay_order, number)
    except ActivityError as error:
        return error.type_name
    return None


@register.workflow
def booking(ctx, number):
    first = ctx.run_activity(book_order, number)
    try:
        ctx.run_activity(book_order, f"{number}-2", fails=True)
    except ActivityError as error:
        return [first, error.type_name]


@register.workflow
def approval(ctx, note=None):
    return ctx.wait_signal("approved")


@register.workflow
def approved_by_itself(ctx):
    ctx.run_activity(approve, str(ctx.info.execution_id), {"by": "itself"})
    return ctx.wait_signal("approved")


@register.workflow
def retried(ctx, fails):
    return ctx.run_activity(flaky, fails)


@register.workflow
def declined(ctx, reason="no money"):
    ctx.run_activity(decline, reason)


@register.workflow(timeout=0.2)
def too_slow(ctx):
    ctx.sleep(60)


@register.workflow
def located(ctx):
    return ctx.run_activity(where_am_i)


@register.workflow(queue="elsewhere")
def child_order(ctx, number):
    return ctx.run_activity(ship_order, number)


@register.workflow
def parent_order(ctx, number):
    return ctx.run_workflow(child_order, number=number)


@register.workflow
def returns_set(ctx):
    return {1, 2}


@register.workflow
def survives(ctx):
    return ctx.run_activity(kill_worker_once)


@register.query(approval)
def describe(execution, loud=False):
    text = f"{execution.workflow_name} is {execution.status.lower()}"
    return text.upper() if loud else text
