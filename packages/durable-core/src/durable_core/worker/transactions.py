"""Attempts whose outcome commits with what their function writes: both, or neither.

    begin, call the function, see that the attempt is still ours, record how it ended, commit

A worker that was taken for dead, or whose attempt has run out of time, finds at the end that the attempt is not its own
any more, and takes back what the function has written.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from durable_core.crashpoints import crashpoint
from durable_core.errors import TransactionConflict, TransactionRefused
from durable_core.worker import attempts
from durable_core.worker.units import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.codec import Payload
    from durable_core.ports import HistoryStore, TaskQueue, TaskRecord

logger = logging.getLogger("durable.worker")

TRIES = 5  # of one attempt, when transactions of others undo its own


class Transactions:
    """Performs attempts in a transaction, in the thread that calls. Used from many threads."""

    def __init__(self, store: HistoryStore, queue: TaskQueue, *, joins: bool) -> None:
        self._store = store
        self._queue = queue
        self._joins = joins  # the worker itself works in a transaction of its caller's

    def perform(self, task: TaskRecord, work: Callable[[], Payload], settle: Callable[[], bool]) -> None:
        """Do *work* and record its result. What it raises has undone what it has written, and is for the caller.

        *settle* says whether the attempt still counts here; from then on it must not be interrupted.
        """
        if not self._joins and self._store.in_transaction():
            raise TransactionRefused(
                f"activity {task.activity_name!r} is transactional, and a transaction was open before it began: its "
                "outcome could not be committed with what it writes. What opens one around activities?"
            )
        for left in reversed(range(TRIES)):
            try:
                self._perform(task, work, settle)
            except TransactionConflict as conflict:
                if not left:
                    raise
                logger.info("activity %s is done again: %s", task.activity_name, conflict)
            except _Lost:
                logger.info("an outcome of activity task %s came too late and was undone", task.id)
                return
            else:
                return

    def _perform(self, task: TaskRecord, work: Callable[[], Payload], settle: Callable[[], bool]) -> None:
        box = Outbox()
        with self._store.shared_transaction():
            result = work()
            held = self._store.hold_task(task.id)
            if not settle() or held is None or held.token != task.token or held.status.is_closed:
                raise _Lost
            receipt = self._store.record_outcomes([attempts.completed(task, result)])
            box.wake(receipt.wakes)
            if self._queue.transactional:
                box.send(self._queue)
            crashpoint("outcome-inside")
        crashpoint("outcome-committed")
        if not self._queue.transactional:
            box.send(self._queue)


class _Lost(Exception):
    """Somebody else has decided about the attempt."""
