"""Store, queue and client as the settings choose them; one of each per process."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.core.signals import setting_changed
from django.db import close_old_connections, connections, reset_queries, transaction

from django_durable import backends, child, redaction
from django_durable.conf import Conf, conf
from durable_core import codec, logs
from durable_core.answering import Answerer
from durable_core.client import Client
from durable_core.decision import RunSettings
from durable_core.definitions import register
from durable_core.hints import as_hint
from durable_core.hooks import Announcer
from durable_core.sealing.sealed_store import sealed
from durable_core.updating import Updater
from durable_core.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from uuid import UUID

    from durable_core.ports import HistoryStore, TaskQueue

T = TypeVar("T")

STORE = "django"


@dataclass(frozen=True, slots=True)
class Engine:
    """What everything in this process works through. Holds no connection: threads may share it."""

    conf: Conf
    store: HistoryStore
    queue: TaskQueue
    client: Client
    updater: Updater
    answerer: Answerer
    hooks: Announcer


@cache
def engine() -> Engine:
    """The one of this process, until `engine.cache_clear()`. Raises `ImproperlyConfigured` for wrong settings."""
    chosen = conf()
    inner = backends.find_store(STORE)()
    queue = as_hint(backends.make_queue(chosen.queue_backend, chosen.queue_options, inner))
    store = inner if chosen.sealer is None else sealed(inner, chosen.sealer)
    hooks = Announcer(backends.plugins().manager, after_commit=partial(_once_committed, chosen.database))
    codec.convert_with(hooks.encode if hooks.encodes else None)
    logs.redact_with(redaction.redacted if chosen.redact else None)
    client = Client(
        store,
        queue,
        register,
        after_commit=partial(transaction.on_commit, using=chosen.database, robust=True),
        payload_limit=chosen.max_payload,
        redelivery=timedelta(seconds=chosen.redelivery),
        hooks=hooks,
    )
    updater = Updater(client, store, payload_limit=chosen.max_payload)
    answerer = Answerer(client, store, payload_limit=chosen.max_payload)
    return Engine(chosen, store, queue, client, updater, answerer, hooks)


def _once_committed(alias: str, tell: Callable[[], None]) -> None:
    if connections[alias].in_atomic_block:
        transaction.on_commit(tell, using=alias, robust=True)
    else:
        tell()  # not by on_commit(), which connects anew if the connection was lost since then


# Workers


def worker_settings(**choices: Any) -> WorkerSettings:
    """Settings of a worker in this project; *choices* are fields of `WorkerSettings` that somebody chose for it."""
    chosen = conf()
    fields: dict[str, Any] = {
        "cache_size": chosen.workflow_cache_size,
        "heartbeat_interval": chosen.heartbeat_interval,
        "worker_timeout": timedelta(seconds=chosen.worker_timeout),
        "redelivery": timedelta(seconds=chosen.redelivery),
        "max_crashes": chosen.max_crashes,
        "stuck_after": chosen.workflow_code_timeout,
        "run": RunSettings(
            strict_inputs=chosen.strict_inputs,
            block_on_error=chosen.on_workflow_error == "block",
            payload_limit=chosen.max_payload,
        ),
        "around_activity": around_activity,
        "around_async": around_async,
        "release_async": release_async,
        "run_async": run_async,
        "aside": aside,
        "child_command": child.command,
    }
    return WorkerSettings(**(fields | choices))


def make_worker(settings: WorkerSettings, *, worker_id: UUID | None = None) -> Worker:
    made = engine()
    settings = replace(settings, hooks=made.hooks)
    return Worker(
        made.store, made.queue, register, settings=settings, worker_id=worker_id, release_thread=release_thread
    )


@contextmanager
def around_activity() -> Iterator[None]:
    """What Django does around a request: no connection that is too old or broken, no endless query log."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        _leave_transactions()
        close_old_connections()


def _leave_transactions() -> None:
    """An interruption may come in the middle of what ends a transaction. The next activity must not find it open."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            connection.in_atomic_block = False  # or the connection would be kept
            connection.close()


@asynccontextmanager
async def around_async() -> AsyncIterator[None]:
    """The same where the ORM does its work for async code: in one thread, in the order in which it is asked. So nobody
    waits for this, and what the activity asks for comes behind it."""
    _refresh_soon()
    await asyncio.sleep(0)  # now it is asked for
    try:
        yield
    finally:
        _refresh_soon()


_refreshing: set[asyncio.Task[None]] = set()  # an event loop alone would forget them


def _refresh_soon() -> None:
    task = asyncio.create_task(sync_to_async(_refresh)(), context=Context())  # no task of the activity, to end with it
    _refreshing.add(task)
    task.add_done_callback(_refreshing.discard)


def _refresh() -> None:
    reset_queries()
    close_old_connections()


@sync_to_async
def release_async() -> None:
    """Close the connections of that thread, but for transactions that somebody else has open there."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


async def aside(fn: Callable[[], T]) -> T:
    """Have *fn* called where the ORM does its work for async code."""
    return await sync_to_async(fn)()


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run an activity to its end; its ORM calls come back to this thread, whose transaction they are to see."""

    async def run() -> Any:
        return await work

    return async_to_sync(run)()


def release_thread() -> None:
    """Close the connections of a thread that ends."""
    connections.close_all()


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("DURABLE", "DATABASES"):
        engine.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="django_durable.engine")
os.register_at_fork(after_in_child=engine.cache_clear)  # a queue may hold a socket
