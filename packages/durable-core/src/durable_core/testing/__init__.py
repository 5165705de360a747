"""A clock, a store and a queue that live in memory, for tests and for simulation.

    clock = ManualClock()
    store = InMemoryHistoryStore(clock)
    queue = InMemoryTaskQueue(clock, store=store)

They have no threads, no randomness and no time of their own: the same calls give the same answers. The suites
that every backend has to pass are in `durable_core.testing.contracts`, the only part that needs pytest.
"""

from durable_core.testing.clock import HostClock, ManualClock, TimeSource
from durable_core.testing.queue import InMemoryTaskQueue
from durable_core.testing.store import InMemoryHistoryStore

__all__ = ["HostClock", "InMemoryHistoryStore", "InMemoryTaskQueue", "ManualClock", "TimeSource"]
