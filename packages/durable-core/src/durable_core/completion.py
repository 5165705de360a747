"""How an attempt ended, said by somebody who has its token: complete, fail, heartbeat. Through ports only.

What is written here joins the caller's transaction, as what a client writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_core import tokens
from durable_core.codec import MAX_PAYLOAD_BYTES, encode
from durable_core.errors import CompletionTokenExpired, CompletionTokenUnknown, CompletionTokenUsed
from durable_core.failures import describe, invented, type_names
from durable_core.hints import as_hint
from durable_core.ports import due_while_detached
from durable_core.worker import attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.ports import HistoryStore, TaskOutcome, TaskQueue, TaskRecord


class Completer:
    """Cheap; safe to share between threads."""

    def __init__(
        self,
        store: HistoryStore,
        queue: TaskQueue,
        *,
        after_commit: Callable[[Callable[[], None]], None] = lambda send: send(),
        payload_limit: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        self._store = store
        self._queue = as_hint(queue)
        self._after_commit = after_commit
        self._payload_limit = payload_limit

    def complete(self, token: str, result: Any = None) -> None:
        """Raises a `CompletionError`, or `PayloadError`; then nothing was written."""
        payload = encode(result, what="the result of an activity", limit=self._payload_limit)
        self._end(token, lambda task: attempts.completed(task, payload))

    def fail(self, token: str, error: BaseException | str, *, retryable: bool = True) -> None:
        """As if the activity had raised *error*; a text is a message. Raises a `CompletionError`."""

        def failed(task: TaskRecord) -> TaskOutcome:
            if isinstance(error, str):
                failure, names = invented("CompletionFailed", error, attempt=task.attempt), ["CompletionFailed"]
            else:
                failure, names = describe(error, attempt=task.attempt), type_names(type(error))
            return attempts.failed(task, failure, self._store.now(), type_names=names, retryable=retryable)

        self._end(token, failed)

    def heartbeat(self, token: str, details: Any = None) -> None:
        """Raises a `CompletionError`, for instance when nobody wants the result any more, or `PayloadError`."""
        what = "the details of a heartbeat"
        payload = None if details is None else encode(details, what=what, limit=self._payload_limit)
        with self._store.transaction():
            task = self._awaiting(token)
            due_at = None
            if task.is_detached and task.completion_expires_at is not None:  # else its worker knows
                due_at = due_while_detached(task, self._store.now(), task.completion_expires_at)
            self._store.beat_detached(task.id, payload, due_at)

    def _end(self, token: str, outcome_of: Callable[[TaskRecord], TaskOutcome]) -> None:
        with self._store.transaction():
            task = self._awaiting(token)
            wakes = self._store.record_outcomes([outcome_of(task)]).wakes
            entries = [wake.entry for wake in wakes]
            if entries and self._queue.transactional:
                self._queue.enqueue(entries)
            elif entries:
                self._after_commit(lambda: self._queue.enqueue(entries))

    def _awaiting(self, token: str) -> TaskRecord:
        """The task whose attempt has this token, held by the caller's transaction."""
        task = self._store.hold_task(tokens.task_of(token))
        if task is None:
            raise CompletionTokenUnknown(tokens.UNKNOWN)
        tokens.check(token, task.token, task.completion_digest)
        if task.status.is_closed:
            raise CompletionTokenUsed(
                f"Activity {task.activity_name!r} of run {task.run_id} is {task.status} already; its completion token "
                "is worth nothing any more."
            )
        if task.completion_expires_at is not None and task.completion_expires_at <= self._store.now():
            raise CompletionTokenExpired(
                f"The completion token of activity {task.activity_name!r} of run {task.run_id} held until "
                f"{task.completion_expires_at.isoformat()}. Its attempt counts as failed; the next has another token."
            )
        return task
