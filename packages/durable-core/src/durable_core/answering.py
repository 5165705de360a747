"""Answers to human tasks, from the side of who gives them. Through ports only.

What is written here joins the caller's transaction, as what a client writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from durable_core.crashpoints import crashpoint
from durable_core.errors import DurableError, InvalidAnswer, TaskAnswered, TaskClosed, UnknownTask, WorkflowClosed
from durable_core.events import TaskAnswered as Answer
from durable_core.execution import HumanTaskStatus
from durable_core.options import check_name
from durable_core.typed import encode_by_value

if TYPE_CHECKING:
    from uuid import UUID

    from durable_core.client import Client
    from durable_core.ports import HistoryStore, HumanTaskRecord


class Answerer:
    """Cheap; safe to share between threads."""

    def __init__(self, client: Client, store: HistoryStore, *, payload_limit: int) -> None:
        self._client = client
        self._store = store
        self._payload_limit = payload_limit

    def find(self, task_id: UUID) -> HumanTaskRecord:
        """Raises `UnknownTask`."""
        task = self._store.human_task(task_id)
        if task is None:
            raise UnknownTask(
                f"No human task {task_id}. Was the run deleted, or the transaction that asked rolled back?",
                task_id=task_id,
            )
        return task

    def find_open(self, task_id: UUID) -> HumanTaskRecord:
        """Raises `TaskAnswered`, `TaskClosed` or `UnknownTask`."""
        task = self.find(task_id)
        if task.status is not HumanTaskStatus.OPEN:
            raise _refusal(task)
        return task

    def answer(self, task_id: UUID, answer: Any, *, by: str | None = None) -> None:
        """Answer a task, in the caller's transaction: it is then in the run's history, or will be.

        Raises `TaskAnswered`, `TaskClosed`, `UnknownTask`, `InvalidAnswer` for what is none of its choices,
        `ConfigurationError` and `PayloadError`; nothing was written then.
        """
        if by is not None:
            check_name(by, "the by of answer_task()")
        with self._store.transaction():
            task = self.find_open(task_id)
            _check_choice(task, answer)
            payload = encode_by_value(answer, what="the answer to a human task", limit=self._payload_limit)
            try:
                # First: from now on, nothing is decided for the run until this transaction ends.
                self._client.send(task.run_id, Answer(call_id=task.call_id, by=by, answer=payload), "an answer")
            except WorkflowClosed:
                raise _refusal(self.find(task_id)) from None
            if not self._store.answer(task_id, payload, by):
                raise _refusal(self.find(task_id))
            crashpoint("start-inside")
        crashpoint("start-committed")


def _check_choice(task: HumanTaskRecord, answer: Any) -> None:
    if not isinstance(task.form, list):
        return
    values = [value for value, _ in task.form]
    if answer not in values:
        text = f"{answer!r} is none of the choices: {', '.join(values)}"
        raise InvalidAnswer(f"{text}.", task_id=task.id, errors={"__all__": [text]})


def _refusal(task: HumanTaskRecord) -> DurableError:
    at = task.ended_at
    match task.status:
        case HumanTaskStatus.ANSWERED:
            assert at is not None
            who = "Somebody" if task.answered_by is None else task.answered_by
            return TaskAnswered(
                f"{who} answered {task.question!r} at {at.isoformat()}.",
                task_id=task.id,
                by=task.answered_by,
                answered_at=at,
            )
        case HumanTaskStatus.EXPIRED:
            why = f"it expired at {None if at is None else at.isoformat()}"
        case HumanTaskStatus.CANCELED:
            why = f"it was canceled: {task.reason}"
        case HumanTaskStatus.OPEN:  # left so by an older release, which knows of no such tasks
            why = "its run has ended"
        case _:
            assert_never(task.status)
    return TaskClosed(f"{task.question!r} takes no answer any more: {why}.", task_id=task.id)
