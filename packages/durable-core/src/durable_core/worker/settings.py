"""What may be chosen about a worker."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durable_core.decision import RunSettings
from durable_core.hooks import SILENT, Announcer
from durable_core.ports import REDELIVERY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]  # runs one to its end
    Aside = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]  # what a function returns that may block


async def nothing() -> None:
    """What is released where there is nothing to release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    batch: int = 100  # runs claimed at once
    tick: float = 0.2  # seconds between two looks at the database when nothing wakes the loop
    threads: int = 10  # activity slots
    async_slots: int = 100  # for `async def` activities, beside the threads
    process_slots: int = 4  # for activities in processes of their own, beside both: as many processes at most
    tasks_per_process: int = 0  # activities after which such a process is replaced; 0: no limit
    queues: tuple[str, ...] = ()  # empty: all but *exclude*
    exclude: tuple[str, ...] = ()
    cache_size: int = 1_000  # runs kept in memory between their steps; 0: replay at every step
    heartbeat_interval: float = 5.0  # seconds
    worker_timeout: timedelta = timedelta(seconds=15)  # three missed heartbeats
    max_crashes: int = 3
    redelivery: timedelta = REDELIVERY  # after which an entry of a queue that can lose some is taken to be lost
    drain_timeout: float = 30.0  # seconds that running activities get at SIGTERM
    max_tasks: int = 0  # activities after which the worker drains; 0: no limit
    registered: bool = False  # whoever made the worker adds and removes its row
    inline: bool = False  # activities in the loop's own thread, and no other thread: for a caller's open transaction
    stuck_after: float = 10.0  # seconds without a ctx call after which workflow code is interrupted
    run: RunSettings = field(default_factory=RunSettings)
    around_activity: Callable[[], AbstractContextManager[Any]] = nullcontext
    around_async: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext  # the same, of an `async def` activity
    release_async: Callable[[], Awaitable[None]] = nothing  # in their event loop, when that ends
    run_async: RunAsync = asyncio.run  # what runs them under *inline*
    aside: Aside = asyncio.to_thread  # what calls the store for them
    child_command: Callable[[], Sequence[str]] | None = None  # of a process for activities, see `serving`
    hooks: Announcer = SILENT
