"""Registers the backends in memory under the name "memory", through the hooks that any plugin uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.hooks import hookimpl
from durable_core.testing.clock import HostClock
from durable_core.testing.queue import InMemoryTaskQueue
from durable_core.testing.store import InMemoryHistoryStore

if TYPE_CHECKING:
    from durable_core.hooks import Register


@hookimpl
def durable_register_queues(register: Register) -> None:
    register("memory", _queue, doc="Entries in this process, gone with it: for tests, and to try things out.")


@hookimpl
def durable_register_stores(register: Register) -> None:
    register("memory", _store, doc="Runs in this process, gone with it: for tests, and to try things out.")


def _queue() -> InMemoryTaskQueue:
    return InMemoryTaskQueue(HostClock())


def _store() -> InMemoryHistoryStore:
    return InMemoryHistoryStore(HostClock())
