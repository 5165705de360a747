"""Workflows and activities as users write them; what type checkers make of calls of them is told beside this."""

from __future__ import annotations

from django_durable import AsyncWorkflowContext, WorkflowContext, register


@register.activity
def charge(order_id: int, amount: str = "0") -> str:
    return f"{order_id}: {amount}"


@register.activity(timeout=60)
def ship(order_id: int, *, express: bool) -> list[int]:
    return [order_id, int(express)]


@register.activity
async def fetch(url: str) -> bytes:
    return url.encode()


@register.activity
def unchecked(anything):
    return anything


def not_registered(order_id: int) -> str:
    return str(order_id)


@register.workflow
def order(ctx: WorkflowContext, order_id: int, note: str = "") -> str:
    return f"{ctx.info.execution_id} {order_id} {note}"


@register.workflow(timeout=3600)
def audited(ctx: WorkflowContext, order_id: int) -> dict[str, int]:
    return {str(ctx.info.execution_id): order_id}


@register.workflow
def without_annotations(ctx, order_id):
    return order_id


@register.workflow
def any_keywords(ctx: WorkflowContext, **details: str) -> int:
    return len(details)


@register.workflow
async def checkout(ctx: AsyncWorkflowContext, order_id: int, express: bool = False) -> str:
    return await ctx.run_activity(charge, order_id)


@register.workflow(timeout=60)
async def checkout_in_time(ctx: AsyncWorkflowContext, order_id: int) -> int:
    return order_id


@register.workflow
async def awaits(ctx: AsyncWorkflowContext, order_id: int) -> str:
    return await ctx.run_activity(charge, order_id)
