"""Activities that are `async def`, and workflows around them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from django_durable import CompleteLater, activity_heartbeat, current_activity, register
from django_durable.conf import conf
from django_durable.models import ActivityTask

from . import ledger
from .durable_activities import ONCE, QUICK_RETRY


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for happens in another process
        await asyncio.sleep(0.01)


@register.activity(retry_policy=QUICK_RETRY)
async def gated_async(key: str, gate: str, value: Any = None) -> Any:
    """Its effect happens first, then it waits for the test."""
    ledger.note(key, f"attempt {current_activity().attempt}")
    await _until(lambda: ledger.is_open(gate))
    return value


@register.activity(retry_policy=QUICK_RETRY)
async def waits_async(key: str, heartbeats: bool = False) -> None:
    """For ever; how it was left is an effect of its own."""
    ledger.note(key)
    try:
        while True:
            if heartbeats:
                activity_heartbeat()
            await asyncio.sleep(0.01)
    except BaseException as error:
        ledger.note(key, type(error).__name__)
        raise


@register.activity(retry_policy=QUICK_RETRY)
async def blocks_a_thread(key: str) -> None:
    """For ever; nothing can interrupt that."""
    ledger.note(key)
    await asyncio.to_thread(threading.Event().wait)


@register.activity(retry_policy=QUICK_RETRY)
async def asks_others_async(key: str, expires: float = 3600, dies_first: bool = False) -> None:
    """Whoever reads the ledger may complete it."""
    me = current_activity()
    first, second = await asyncio.gather(me.acompletion_token(expires), me.acompletion_token(expires))
    ledger.note(key, first if first == second else "two tokens")
    if dies_first and me.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    raise CompleteLater


@register.activity(retry_policy=QUICK_RETRY)
async def exits_async(key: str) -> int:
    if ledger.note(key) < 3:
        sys.exit(1)
    return current_activity().attempt


@register.activity(retry_policy=ONCE)
async def own_row_async() -> list[Any]:
    """What the database says about this very attempt, while it runs."""
    row = await ActivityTask.objects.using(conf().database).aget(pk=current_activity().id)
    return [row.status, row.attempt, row.activity_name]


@register.activity(retry_policy=ONCE)
async def breaks_its_connection_async() -> str:
    """Leaves the thread of the ORM with a connection that is dead."""

    def break_it() -> None:
        connection.ensure_connection()
        connection.connection.close()  # behind Django's back

    await sync_to_async(break_it)()
    return threading.current_thread().name


@register.workflow
def many_async(ctx, key, n):
    """All of them wait for one gate."""
    return ctx.gather(*[ctx.start_activity(gated_async, key, key, number) for number in range(n)])


@register.workflow
def uses_the_orm(ctx):
    names = ["own_row_async", "breaks_its_connection_async", "own_row_async"]
    return [ctx.run_activity(name) for name in names]


@register.workflow
def waits_for_async(ctx, key, heartbeats=False):
    ctx.run_activity(waits_async, key, heartbeats)


@register.workflow
def mixes_kinds(ctx, key, n):
    """Plain activities that hold all threads, and async ones that do without."""
    plain = [ctx.start_activity("gated", f"{key}-plain") for _ in range(n)]
    others = [ctx.start_activity(gated_async, f"{key}-async", f"{key}-async", number) for number in range(n)]
    done = ctx.gather(*others)
    ctx.gather(*plain)
    return done


@register.activity(retry_policy=QUICK_RETRY)
async def kills_once_async(key: str) -> int:
    """Its worker is killed while others wait in the same loop."""
    if ledger.note(key) == 1:
        await _until(lambda: len(ledger.effects(f"{key}-beside")) == 2)
        os.kill(os.getpid(), 9)
    return current_activity().attempt


@register.workflow
def dies_among_async(ctx, key):
    beside = [ctx.start_activity(gated_async, f"{key}-beside", key, number) for number in range(2)]
    return ctx.gather(*beside, ctx.start_activity(kills_once_async, key))
