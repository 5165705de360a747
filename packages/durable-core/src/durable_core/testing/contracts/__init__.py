"""What every backend has to do, as test classes. Needs pytest.

    class TestMyQueue(TaskQueueContract):
        def make_queue(self) -> TaskQueue:
            return MyQueue()

A backend says how it is made, how time passes for it, and what else is so for it: `QueueCases` lists all that a queue
may declare. pytest does the rest. Stores whose transactions run side by side use `ConcurrentStoreContract`, queues that
join a store's transaction `TransactionalQueueContract`: each has the whole of the plain suite in it. No case is ever
skipped: it goes by what was declared.
"""

from pkgutil import iter_modules

import pytest

# Before the modules are imported, or a case that fails would not say what it found.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from durable_core.testing.contracts.queue import TaskQueueContract, TransactionalQueueContract  # noqa: E402
from durable_core.testing.contracts.store import ConcurrentStoreContract, HistoryStoreContract  # noqa: E402

__all__ = [
    "ConcurrentStoreContract",
    "HistoryStoreContract",
    "TaskQueueContract",
    "TransactionalQueueContract",
]
