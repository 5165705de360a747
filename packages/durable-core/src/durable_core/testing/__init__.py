"""A clock, a store and a queue that live in memory, for tests and for simulation.

    clock = ManualClock()
    store = InMemoryHistoryStore(clock)
    queue = InMemoryTaskQueue(clock, store=store)

They have no threads, no randomness and no time of their own: the same calls give the same answers.

And the suites that every backend has to pass, as test classes: `TaskQueueContract`, `TransactionalQueueContract`,
`HistoryStoreContract` and `ConcurrentStoreContract`. They are in `durable_core.testing.contracts`, the only part that
needs pytest, which is imported when one of them is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from durable_core.testing.clock import HostClock, ManualClock, TimeSource
from durable_core.testing.processes import Elsewhere
from durable_core.testing.queue import InMemoryTaskQueue
from durable_core.testing.store import InMemoryHistoryStore

if TYPE_CHECKING:
    from durable_core.testing.contracts import (
        ConcurrentStoreContract,
        HistoryStoreContract,
        TaskQueueContract,
        TransactionalQueueContract,
    )

__all__ = [
    "ConcurrentStoreContract",
    "Elsewhere",
    "HistoryStoreContract",
    "HostClock",
    "InMemoryHistoryStore",
    "InMemoryTaskQueue",
    "ManualClock",
    "TaskQueueContract",
    "TimeSource",
    "TransactionalQueueContract",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("durable_core.testing.contracts"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
