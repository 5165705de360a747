"""What every backend has to do, as test classes. Needs pytest.

    class TestMyQueue(TaskQueueContract):
        def make_queue(self) -> TaskQueue:
            return MyQueue()

A backend says how it is made, and how time passes for it; pytest does the rest. Stores whose transactions run side by
side use `ConcurrentStoreContract`, queues that join a store's transaction `TransactionalQueueContract`: each has the
whole of the plain suite in it. No case is ever skipped.
"""

import pytest

pytest.register_assert_rewrite(__name__)  # before the modules below are imported, or failures would say nothing

from durable_core.testing.contracts.queue import TaskQueueContract, TransactionalQueueContract  # noqa: E402
from durable_core.testing.contracts.store import ConcurrentStoreContract, HistoryStoreContract  # noqa: E402

__all__ = [
    "ConcurrentStoreContract",
    "HistoryStoreContract",
    "TaskQueueContract",
    "TransactionalQueueContract",
]
