"""Calls that fit, and the type that each comes to. Read by mypy and by pyright; nothing here is run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

from django_durable import (
    AsyncWorkflowContext,
    WorkflowContext,
    WorkflowHandle,
    arun_workflow,
    astart_workflow,
    run_workflow,
    start_workflow,
    wait_workflow,
)
from durable_core.handles import ActivityHandle, ChildHandle
from tests.signatures.durable_code import (
    any_keywords,
    audited,
    awaits,
    charge,
    checkout,
    checkout_in_time,
    fetch,
    order,
    ship,
    unchecked,
    without_annotations,
)

Gathered = tuple[str, list[int]]


def activities(ctx: WorkflowContext) -> None:
    assert_type(ctx.run_activity(charge, 7), str)
    assert_type(ctx.run_activity(charge, order_id=7, amount="9.50"), str)
    assert_type(ctx.run_activity(ship, 7, express=True), list[int])
    assert_type(ctx.run_activity(fetch, "https://example.org"), bytes)
    assert_type(ctx.run_activity(unchecked, 1), Any)
    assert_type(ctx.run_activity("charge", 7, anything="goes"), Any)


def options_of_a_call(ctx: WorkflowContext) -> None:
    assert_type(ctx.run_activity(charge.using(timeout=5, queue="money"), 7), str)
    assert_type(ctx.run_activity(ship.using(timeout=5), 7, express=False), list[int])
    assert_type(ctx.run_workflow(order.using(queue="slow"), order_id=7), str)
    assert_type(start_workflow(audited.using(workflow_id="a"), order_id=7).result(), dict[str, int])


def handles(ctx: WorkflowContext) -> None:
    started = ctx.start_activity(charge, 7)
    assert_type(started, ActivityHandle[str])
    assert_type(ctx.wait_activity(started, timeout=timedelta(seconds=5)), str)
    child = ctx.start_workflow(audited, order_id=7)
    assert_type(child, ChildHandle[dict[str, int]])
    assert_type(ctx.wait_workflow(child), dict[str, int])


def children(ctx: WorkflowContext) -> None:
    assert_type(ctx.run_workflow(order, 7), str)
    assert_type(ctx.run_workflow(order, order_id=7, note="quick"), str)
    assert_type(ctx.run_workflow(order, timeout=60, order_id=7), str)
    assert_type(ctx.run_workflow(any_keywords, a="1", b="2"), int)
    assert_type(ctx.run_workflow(without_annotations, 7), Any)
    assert_type(ctx.run_workflow("order", order_id=7), Any)


def starts() -> None:
    assert_type(start_workflow(order, order_id=7), WorkflowHandle[str])
    assert_type(start_workflow(order, 7).result(timeout=5), str)
    assert_type(start_workflow(order, timeout=60, order_id=7), WorkflowHandle[str])
    assert_type(start_workflow("order", timeout=60, anything="goes"), WorkflowHandle[Any])
    assert_type(run_workflow(audited, order_id=7), dict[str, int])
    assert_type(run_workflow("audited", order_id=7), Any)
    assert_type(wait_workflow(start_workflow(audited, order_id=7), timeout=5), dict[str, int])
    assert_type(wait_workflow("0d5bd6d2-0000-4000-8000-000000000000"), Any)


async def from_async_code() -> None:
    handle = await astart_workflow(order, order_id=7)
    assert_type(handle, WorkflowHandle[str])
    assert_type(await handle.aresult(), str)
    assert_type(await arun_workflow(audited, order_id=7), dict[str, int])


async def coroutines(ctx: AsyncWorkflowContext) -> None:
    assert_type(await ctx.run_activity(charge, 7), str)
    assert_type(await ctx.run_workflow(checkout, 7, express=True), str)
    assert_type(await ctx.wait(ctx.start_activity(fetch, "https://example.org")), bytes)
    assert_type(await ctx.wait(ctx.start_workflow(order, order_id=7)), str)
    assert_type(await asyncio.gather(ctx.run_activity(charge, 7), ctx.run_activity(ship, 7, express=True)), Gathered)
    assert_type(await ctx.run_sync(ordinary_code, 7), list[int])
    assert_type(start_workflow(checkout, 7).result(), str)
    assert_type(run_workflow(checkout_in_time, order_id=7), int)


def ordinary_code(ctx: WorkflowContext, order_id: int) -> list[int]:
    return ctx.run_activity(ship, order_id, express=True)


async def functions_stay_functions(ctx: WorkflowContext) -> None:
    assert_type(charge(7), str)
    assert_type(order(ctx, 7), str)
    coroutine: Coroutine[Any, Any, bytes] = fetch("https://example.org")
    assert_type(await coroutine, bytes)


async def in_coroutines(ctx: AsyncWorkflowContext) -> None:
    assert_type(await ctx.run_activity(charge, 7), str)
    assert_type(await ctx.run_activity(fetch, "https://example.org"), bytes)
    assert_type(await ctx.run_workflow(audited, order_id=7), dict[str, int])
    assert_type(start_workflow(awaits, order_id=7).result(), str)
