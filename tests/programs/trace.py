"""What a program saw, one entry for each labeled step that it came to.

    ["3", "value", {"a": 1}]                              it has a value
    ["3", "child", "<id of the run>", 5]                  a child has
    ["3", "timeout"]                                      a wait ran out of time
    ["3", "failed", "ActivityError", "Scripted", "no 2", 2]   type of what was raised, and what else there is to know

A program ends with ``{"run": its id, "trace": [...], "value": ...}``, or raises `ProgramFailed` with such an object,
whose value is the name of the error's type. The handler of an update answers so too; its path stands for the run then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core.errors import (
    ActivityError,
    ActivityTimeout,
    BatchFailed,
    ChildCanceled,
    SagaError,
    ScopeCanceled,
    SideEffectError,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowError,
)
from durable_core.policies import ItemStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.policies import BatchResult, ItemOutcome

Entry = list[Any]

EXPIRED = "nobody has answered"  # of a question; other waits that run out of time may be made again


class BranchEnd(NamedTuple):
    """How a branch of a program ended; what it saw is in its own trace."""

    trace: list[Entry]
    how: str  # "returned", or the name of the error's type
    value: Any


class ProgramFailed(Exception):
    """An exception left the program; the message is JSON."""


class ItemFailed(Exception):
    """An item of a batch that is code of the program itself."""

    def __init__(self, end: BranchEnd) -> None:
        super().__init__(end.how)
        self.end = end


class Refusal(Exception):
    """A program does not take an update."""


class ProgramError(Exception):
    """A program raised it on purpose."""


class Trace:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._told: BaseException | None = None  # stands in the trace already
        self._is_over = False  # the code is unwound, and what it does on the way does not count

    def noted(self, label: str, call: Callable[[], Any]) -> Any:
        """What *call* returns, or raises; both go into the trace."""
        value = self._ask(label, call)
        self._add(label, ["value", value])
        return value

    def tried(self, label: str, call: Callable[[], Any]) -> Any:
        """The same, but None for what it raises."""
        try:
            return self.noted(label, call)
        except Exception:  # noqa: BLE001 - as users do
            return None

    def noted_entry(self, label: str, call: Callable[[], Entry]) -> None:
        """The same, for what makes its own entry."""
        self._add(label, self._ask(label, call))

    def tried_entry(self, label: str, call: Callable[[], Entry]) -> None:
        try:
            self.noted_entry(label, call)
        except Exception:  # noqa: BLE001 - as users do
            return

    def noted_child(self, label: str, call: Callable[[], Any]) -> Any:
        """The value of a child program."""
        result = self._ask(label, call)
        self._add(label, ["child", result["run"], result["value"]])
        return result["value"]

    def tried_child(self, label: str, call: Callable[[], Any]) -> Any:
        try:
            return self.noted_child(label, call)
        except Exception:  # noqa: BLE001 - as users do
            return None

    def raised_at_the_end(self, label: str, error: Exception) -> None:
        """An error left a block: if none of its steps has raised it, the end of the block did."""
        if error is not self._told and isinstance(error, WorkflowCanceled) and not isinstance(error, ChildCanceled):
            self._tell(label, error)

    def _ask(self, label: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            self._tell(label, error)
            raise
        except BaseException:
            self._is_over = True
            raise

    def _tell(self, label: str, error: Exception) -> None:
        self._told = error
        self._add(label, entry_of(error))

    def _add(self, label: str, entry: Entry) -> None:
        if not self._is_over:
            self.entries.append([label, *entry])


def entry_of(error: Exception) -> Entry:
    name = type(error).__name__
    match error:
        case WaitTimeout() if str(error).startswith(EXPIRED):
            return ["failed", name]
        case WaitTimeout():
            return ["timeout"]
        case ActivityTimeout():
            return ["failed", name, error.kind, error.attempt]
        case ActivityError():
            return ["failed", name, error.type_name, error.message, error.attempt]
        case ItemFailed():
            return ["branch", *error.end]
        case BatchFailed():
            return ["failed", name, *entries_of(error.result)]
        case SagaError():
            return ["failed", name, *[entry_of(failure) for failure in error.failures]]
        case SideEffectError():
            return ["failed", name, error.type_name, error.message]
        case WorkflowCanceled() if not isinstance(error, ChildCanceled):
            return ["failed", name, error.reason]
        case WorkflowError():
            return ["failed", name, str(error.execution_id)]
        case _:
            return ["failed", name]


def entries_of(result: BatchResult[Any]) -> list[Entry]:
    """What became of each item of a batch."""
    return [_entry_of_item(outcome) for outcome in result.outcomes]


def _entry_of_item(outcome: ItemOutcome[Any]) -> Entry:
    match outcome.status:
        case ItemStatus.SUCCEEDED:
            return entry_of_result(outcome.value)
        case ItemStatus.FAILED:
            return entry_of_result(outcome.error)
        case _:
            return [outcome.status.value]


def entry_of_result(result: Any) -> Entry:
    """What `gather` has of a handle, or `select`: a failure, the end of a branch, of a child, or a value."""
    match result:
        case BranchEnd():
            return ["branch", *result]
        case Exception():
            return entry_of(result)
        case {"run": run, "trace": _, "value": value}:
            return ["child", run, value]
        case _:
            return ["value", result]


def is_cancel(error: BaseException) -> bool:
    """Whether the run itself is asked to end."""
    return isinstance(error, WorkflowCanceled) and not isinstance(error, ChildCanceled | ScopeCanceled)


def failure(run: str, trace: Trace, error: Exception) -> ProgramFailed:
    return ProgramFailed(json.dumps({"run": run, "trace": trace.entries, "value": type(error).__name__}))


def answered(path: str, trace: Trace, code: Callable[[], Any]) -> dict[str, Any]:
    """What an update is answered with: the same, for the strand that has acted on it."""
    try:
        value = code()
    except Exception as error:
        raise failure(path, trace, error) from error
    return {"run": path, "trace": trace.entries, "value": value}


def odd(value: Any) -> bool:
    """What an If asks of a value."""
    return len(json.dumps(value, sort_keys=True)) % 2 == 1
