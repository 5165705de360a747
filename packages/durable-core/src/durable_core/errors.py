"""Every exception of the project. This module imports nothing of ours.

`DurableError` is the base of what callers may catch. What unwinds an evicted run is a
`BaseException`, so that `except Exception` in workflow code lets it through.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


class DurableError(Exception):
    """Base of every error this project raises."""


class ConfigurationError(DurableError):
    """A setting, an option or a registration does not make sense; nothing was written."""


class TransactionRefused(ConfigurationError):
    """A transactional activity wrote to another database, or was begun inside a transaction; it is not tried again."""


class PayloadError(DurableError, ValueError):
    """A value cannot be stored as JSON, or is too large.

    *path* is where in the value, in JSONPath form (``$.items[3]``).
    """

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class PayloadSealed(DurableError):
    """A stored payload cannot be opened here: its key or its file is missing, or somebody has changed or moved it.

    Nothing is lost: a run that needs it is BLOCKED until it can be opened again.
    """


class LimitExceeded(DurableError):
    """A run reached one of its limits (events in its history, unread signals, nesting)."""


class NondeterminismError(DurableError):
    """Workflow code asked for something else than its history holds.

    The run is blocked, never failed, and nothing is written: put the old code back, or patch the new.
    """


class NotInWorkflow(DurableError):
    """Workflow code asked asyncio for something that a replay cannot repeat: threads, sockets, `asyncio.wait()`."""


class NewerCodeNeeded(DurableError):
    """The history was written by newer code than this process runs; a newer worker can go on with the run."""


class StoreUnavailable(DurableError):
    """The store did not answer, or lost a transaction; the whole unit of work may be tried again.

    *ambiguous* is True when a commit was sent and its reply was lost: what was written must be read again.
    """

    def __init__(self, message: str, *, ambiguous: bool = True) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


class TransactionConflict(DurableError):
    """A transaction was undone because of others beside it; all that was done in it may be done again."""


class QueueUnavailable(DurableError):
    """The queue's server did not answer. Nothing is lost: the store makes good what the queue forgets.

    *refused* is True when it did answer, and refuses this (it is full, for instance): other calls may succeed.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


# Workflows


class WorkflowError(DurableError):
    """Base of what can go wrong with a run. *execution_id* is None where no run exists."""

    def __init__(self, message: str, *, execution_id: UUID | None = None) -> None:
        super().__init__(message)
        self.execution_id = execution_id


class WorkflowFailed(WorkflowError):
    """The run ended with an error: *type_name* and *message* of it, *failure* the whole record."""

    def __init__(
        self,
        message: str,
        *,
        execution_id: UUID | None = None,
        type_name: str = "",
        failure: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, execution_id=execution_id)
        self.type_name = type_name
        self.failure = failure or {}


class WorkflowTimeout(WorkflowError, TimeoutError):
    """The run did not close within its own `timeout`."""


class WorkflowCanceled(WorkflowError):
    """The run was canceled. Raised in workflow code by a graceful cancel, once, at its current wait."""

    def __init__(
        self, message: str = "workflow canceled", *, execution_id: UUID | None = None, reason: str = ""
    ) -> None:
        super().__init__(message, execution_id=execution_id)
        self.reason = reason


class ChildCanceled(WorkflowCanceled):
    """A child was canceled: an error for its parent, which is not canceled itself."""


class ScopeCanceled(WorkflowCanceled):
    """The part of the code that this is raised in was canceled; the end of the part takes it: `ctx.cancel_scope`."""

    def __init__(self, *, execution_id: UUID | None = None, reason: str = "", scope: object = None) -> None:
        message = "this part of the workflow was canceled"
        super().__init__(f"{message}: {reason}" if reason else message, execution_id=execution_id, reason=reason)
        self.scope = scope  # whose end takes it


class WorkflowClosed(WorkflowError):
    """The run has ended already, so it takes no signal and no update, or before it was done with an update."""


class WorkflowAlreadyStarted(WorkflowError):
    """An open run with this workflow_id exists and has another workflow or another input."""


class NotReopenable(WorkflowClosed):
    """The run is closed for good: what is left is to start a new one."""


class NotForkable(WorkflowError):
    """No run can begin with this part of that run's history; the message says with which parts one can."""


class UnknownWorkflowError(WorkflowError, LookupError):
    """No workflow of this name is registered in this process."""


class UnknownExecutionError(WorkflowError, LookupError):
    """No run with this id exists (or its transaction was rolled back)."""


class UnknownQueryError(WorkflowError, LookupError):
    """The workflow has no query of this name."""


class UnknownUpdateError(WorkflowError, LookupError):
    """The workflow's code has registered no update of this name."""


class UpdateError(WorkflowError):
    """Base of what may come of an update. *type_name* and *message*: of what the code raised; *failure*: all of it."""

    def __init__(self, text: str, *, execution_id: UUID, update_id: str, failure: dict[str, Any]) -> None:
        super().__init__(text, execution_id=execution_id)
        self.update_id = update_id
        self.failure = failure
        self.type_name: str = failure.get("type", "")
        self.message: str = failure.get("message", "")


class UpdateRejected(UpdateError):
    """The run did not take the update: its validator raised, or nobody knows it, or its keywords do not fit.

    Nothing of it is in the history.
    """


class UpdateFailed(UpdateError):
    """The run took the update, and its handler raised."""


class QueryFailed(WorkflowError):
    """A query could not be put to the run: no worker has begun it, or its history and the code here do not fit.

    The run goes on as if nobody had asked.
    """


# Activities


class ActivityError(DurableError):
    """An activity failed for good.

    *type_name*, *message*: of the exception that the last attempt raised. *attempt* counts from 1.
    *base_type_names* are the names of its base classes; *cause* is the next record of the chain, or None.
    *traceback* is text.
    """

    def __init__(
        self,
        activity_name: str,
        *,
        type_name: str = "",
        message: str = "",
        attempt: int = 0,
        base_type_names: Iterable[str] = (),
        traceback: str = "",
        cause: dict[str, Any] | None = None,
    ) -> None:
        detail = ": ".join(part for part in (type_name, message) if part)
        super().__init__(f"activity {activity_name!r}, attempt {attempt}: {detail}")
        self.activity_name = activity_name
        self.type_name = type_name
        self.message = message
        self.attempt = attempt
        self.base_type_names = tuple(base_type_names)
        self.traceback = traceback
        self.cause = cause

    def is_caused_by(self, name: str) -> bool:
        """Whether the exception, or a base class of it, has this name; nothing is imported to find out."""
        return name == self.type_name or name in self.base_type_names


class ActivityTimeout(ActivityError, TimeoutError):
    """*kind* says which limit: schedule_to_close, schedule_to_start, start_to_close or heartbeat."""

    def __init__(self, activity_name: str, *, kind: str, **details: Any) -> None:
        super().__init__(activity_name, **details)
        self.kind = kind


class ActivityCanceled(ActivityError):
    """The activity was canceled. In an activity: raised by `activity_heartbeat()` once cancellation reaches it."""


class CompletionError(DurableError):
    """A word from outside about an activity was refused; nothing was written."""


class CompletionTokenUnknown(CompletionError, LookupError):
    """No attempt waits for this token: it is none of ours, or its attempt was followed by another."""


class CompletionTokenExpired(CompletionError):
    """Its time was over before it was used."""


class CompletionTokenUsed(CompletionError):
    """Its activity has ended: by this token, by itself, by a time limit or with its workflow."""


class HumanTaskError(DurableError):
    """An answer to a human task was refused; nothing was written."""

    def __init__(self, message: str, *, task_id: UUID) -> None:
        super().__init__(message)
        self.task_id = task_id


class UnknownTask(HumanTaskError, LookupError):
    """No human task with this id exists (or its transaction was rolled back)."""


class TaskAnswered(HumanTaskError):
    """Somebody was first. *by*: what `answer_task` was told of who that was; *answered_at*: when."""

    def __init__(self, message: str, *, task_id: UUID, by: str | None, answered_at: datetime) -> None:
        super().__init__(message, task_id=task_id)
        self.by = by
        self.answered_at = answered_at


class TaskClosed(HumanTaskError):
    """It takes no answer any more: it has expired, or was canceled, by its workflow's code or with it."""


class InvalidAnswer(HumanTaskError, ValueError):
    """The answer is none of those that the task asks for. *errors*: what is wrong, by field of the form.

    What is about no field stands under ``__all__``.
    """

    def __init__(self, message: str, *, task_id: UUID, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(message, task_id=task_id)
        self.errors = {field: list(messages) for field, messages in errors.items()}


class UnknownActivityError(DurableError, LookupError):
    """No activity of this name is registered in this process."""


class BatchFailed(DurableError):
    """More items of ``ctx.map()`` failed than its policy tolerates: *result* says what became of each.

    Its cause is the first failure, in the order of the items.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result  # a BatchResult


class SagaError(DurableError):
    """Undos of a saga failed; all others were run. Its cause is what the saga was undone for.

    *failures* are the exceptions of the undos that failed, in the order in which they ran.
    """

    def __init__(self, message: str, failures: tuple[Exception, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class SideEffectError(DurableError):
    """The function given to `ctx.side_effect` raised; the record of it is what replay sees too."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message


class TimerCanceled(DurableError):
    """A wait for a timer that the workflow's code has canceled."""


class BranchCanceled(DurableError):
    """A wait for a branch that was canceled, by itself or with the part of the code that it was spawned in."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class TaskCanceled(DurableError):
    """A wait for the answer to a human task that the workflow's code has canceled."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class WaitTimeout(DurableError, TimeoutError):
    """A wait ran out of time. The thing waited for goes on, and may be waited for again."""


# Not for users to catch


class CodeFailed(DurableError):
    """Workflow code must be mended before the run can go on: it hangs, or raised under `block_on_error`."""


class RunEvicted(BaseException):
    """Unwinds the code of a run that leaves memory; every ctx call raises it again."""


class CodeStuck(BaseException):
    """Raised asynchronously in workflow code that makes no ctx call for too long."""


class CompleteLater(BaseException):
    """Raised by an activity that somebody else will complete, with the token that it has given away.

    Not an `Exception`: ``except Exception`` in its code lets it through.
    """


class ActivityInterrupted(BaseException):
    """Raised asynchronously in the thread of an activity that ran past its time."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest names, or with all of them when none is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    if names:
        return f"Registered: {', '.join(names)}."
    return "Nothing is registered: is the module that registers it imported at start-up?"
