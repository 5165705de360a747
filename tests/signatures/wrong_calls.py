"""Calls that must not pass: an error that a checker no longer finds makes its own comment an error.

Read by mypy and by pyright; nothing here is run.
"""

from __future__ import annotations

from django_durable import AsyncWorkflowContext, WorkflowContext, register, run_workflow, start_workflow
from tests.signatures.durable_code import audited, charge, checkout, not_registered, order, ship


def activities(ctx: WorkflowContext) -> None:
    ctx.run_activity(charge, "7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ctx.run_activity(charge)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ctx.run_activity(charge, 7, amuont="9.50")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ctx.run_activity(ship, 7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ctx.run_activity(not_registered, 7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ctx.run_activity(order, 7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ctx.start_activity(ship, 7, express="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ctx.run_activity(charge.using(timeout=5), order_id="7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def results(ctx: WorkflowContext) -> None:
    number: int = ctx.run_activity(charge, 7)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    total: int = ctx.run_workflow(audited, order_id=7)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text: str = start_workflow(audited, order_id=7).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    other: int = run_workflow(order, order_id=7)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(number, total, text, other)


def handles(ctx: WorkflowContext) -> None:
    ctx.wait_activity(ctx.start_workflow(order, order_id=7))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.wait_workflow(ctx.start_activity(charge, 7))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def workflows(ctx: WorkflowContext) -> None:
    ctx.run_workflow(order, order_id="7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ctx.start_workflow(order)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ctx.run_workflow(charge, 7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    start_workflow(order, order=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    start_workflow(order, 7, "a note", "and more")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    start_workflow(order.using(queue="slow"), order_id=None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    start_workflow(charge, 7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    start_workflow(order, timeout="soon", order_id=7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@register.workflow  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def takes_no_context(order_id: int) -> int:
    return order_id


async def coroutines(ctx: AsyncWorkflowContext) -> None:
    await ctx.run_activity(charge, "7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    number: int = (await ctx.run_activity(charge, 7)) + 0  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    text: str = ctx.run_activity(charge, 7)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    start_workflow(checkout, "7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    print(number, text)


async def in_coroutines(ctx: AsyncWorkflowContext) -> None:
    await ctx.run_activity(charge, "7")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
