"""Workflows that are `async def`."""

from __future__ import annotations

import asyncio
from typing import Any

from django_durable import AsyncWorkflowContext, WorkflowCanceled, register

from .async_activities import gated_async
from .durable_activities import echo, effect, fails


@register.workflow
async def composes_async(ctx: AsyncWorkflowContext, key: str, n: int = 3) -> list[Any]:
    """Steps side by side, a child, sleeps and a failure: what an ordinary coroutine is made of."""

    async def steps(number: int) -> list[Any]:
        first = await ctx.run_activity(effect, f"{key}-{number}-a", number)
        await asyncio.sleep(0.01 * number)
        return [first, await ctx.run_activity(effect, f"{key}-{number}-b", -number)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(steps(number)) for number in range(n)]
    child, *echoed = await asyncio.gather(
        ctx.run_workflow("echoes", value="child"), *[ctx.run_activity(echo, number) for number in range(n)]
    )
    failed = await asyncio.gather(ctx.run_activity(fails, "boom"), return_exceptions=True)
    return [[task.result() for task in tasks], child, echoed, type(failed[0]).__name__]


@register.workflow
async def races_async(ctx, key, patience):
    """A signal, an activity or a time limit."""
    try:
        async with asyncio.timeout(patience):
            return await ctx.select(answer=ctx.signal("answer"), done=ctx.start_activity(gated_async, key, key, "done"))
    except TimeoutError:
        return ["timeout"]


@register.workflow
async def takes_updates_async(ctx, key, most=100):
    """As `takes_updates`, with coroutines for handlers."""
    total = 0
    full = asyncio.Event()

    async def add(amount, slowly=False):
        nonlocal total
        if slowly:
            amount = await ctx.run_activity(echo, amount)
            await ctx.run_activity(effect, f"{key}-{amount}")
        total += amount
        if total >= most:
            full.set()
        return total

    def check(amount, slowly=False):
        if amount <= 0:
            raise ValueError(f"{amount} is not positive")

    ctx.on_query("total", lambda: total)
    ctx.on_update("add", add, check)
    ctx.on_update("fail", lambda: int("no number"))
    await full.wait()
    await ctx.wait_until(ctx.all_handlers_finished)
    return total


@register.workflow
async def passes_messages(ctx, n):
    """Tasks that talk to each other."""
    box: asyncio.Queue[Any] = asyncio.Queue(1)
    seen: list[Any] = []
    ctx.on_query("seen", lambda: list(seen))

    async def collects():
        while True:
            await box.put(await ctx.wait_signal("vote"))

    async with asyncio.TaskGroup() as group:
        collector = group.create_task(collects())
        while len(seen) < n:
            seen.append(await box.get())
        collector.cancel()
    return seen


@register.workflow
async def clears_up_async(ctx, key):
    """In tasks, in itself, and in ordinary code."""

    async def works(number):
        try:
            await ctx.wait_signal("never")
        except asyncio.CancelledError as canceled:
            await ctx.run_activity(effect, f"{key}-{number}", str(canceled))
            raise

    def compensates(ordinary):
        try:
            ordinary.wait_signal("never")
        except WorkflowCanceled as canceled:
            ordinary.run_activity(effect, f"{key}-sync", canceled.reason)
            raise

    try:
        await asyncio.gather(works(0), works(1), ctx.run_sync(compensates))
    except asyncio.CancelledError:
        with ctx.shield():
            await ctx.run_activity(effect, f"{key}-main", "main")
        raise


@register.workflow
async def asks_for_a_socket(ctx):
    await asyncio.open_connection("localhost", 80)
