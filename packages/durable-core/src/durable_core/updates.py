"""Updates: requests that a run's code takes or rejects, acts on, and answers.

    mail --lookup, keywords, validator--> accepted --a branch of the run's code--> completed or failed
                                    \\--> rejected: nothing of it is in the history

An accepted update is a fact like any other, so it has its place among signals and outcomes. Its handler may wait, and
use ctx as all code does; its calls are numbered below the update's own id, ``u0.3``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core import events as e
from durable_core.codec import Payload, decode
from durable_core.errors import CodeStuck, RunEvicted, UnknownUpdateError, did_you_mean
from durable_core.execution import MessageStatus
from durable_core.failures import describe
from durable_core.options import check_name
from durable_core.queries import check_payload

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Begin = Callable[[e.WorkflowUpdateAccepted, Callable[..., Any]], object]

IN_VALIDATOR = (
    "the validator of an update, which leaves no trace and is not asked on a replay. Let it look at variables, and "
    "raise what the sender is to hear; what takes ctx is for the handler."
)


class Handler(NamedTuple):
    act: Callable[..., Any]
    validate: Callable[..., Any] | None
    begin: Begin | None  # in the event loop of coroutines; None: in a branch


@dataclass(frozen=True, slots=True)
class UpdateNews:
    """What has become of an update in a decision."""

    update_id: str
    status: MessageStatus
    result: Payload | None = None
    failure: dict[str, Any] | None = None


class Updates:
    """Handlers by name, updates that are under way, and what there is to tell of them."""

    def __init__(self, workflow_name: str) -> None:
        self._workflow_name = workflow_name
        self._handlers: dict[str, Handler] = {}
        self._accepted = 0
        self._under_way: dict[str, str] = {}  # update_id by call_id

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def register(
        self, name: str, act: Callable[..., Any], validate: Callable[..., Any] | None, begin: Begin | None = None
    ) -> None:
        check_name(name, "the name of an update")
        for what, function in (("handler", act), ("validator", validate)):
            if function is not None and not callable(function):
                raise TypeError(f"on_update({name!r}) got {function!r} as {what}; expected a function.")
            if inspect.iscoroutinefunction(function) and (begin is None or what == "validator"):
                where = "a validator looks and returns" if what == "validator" else "its workflow is not async"
                raise TypeError(f"on_update({name!r}) got an async function as {what}; expected a plain one: {where}.")
        self._handlers[name] = Handler(act, validate, begin)

    def handler(self, name: str) -> Handler | None:
        return self._handlers.get(name)

    def judge(
        self, request: e.WorkflowUpdateAccepted, only_looking: AbstractContextManager[None]
    ) -> e.WorkflowUpdateAccepted | UpdateNews:
        """The fact that it is accepted, or why not. Validators run inside of *only_looking*."""
        try:
            with only_looking:
                self._check(request)
        except (RunEvicted, CodeStuck, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a validator raises is its verdict
            return UpdateNews(request.update_id, MessageStatus.REJECTED, failure=describe(error))
        return replace(request, call_id=f"u{self._accepted}")

    def _check(self, request: e.WorkflowUpdateAccepted) -> None:
        found = self._handlers.get(request.name)
        if found is None:
            raise UnknownUpdateError(
                f"Workflow {self._workflow_name!r} takes no update {request.name!r}. "
                f"{did_you_mean(request.name, self._handlers)}"
            )
        payload = decode(request.input)
        check_payload(found.act, payload, what=f"update {request.name!r}", name=request.name)
        if found.validate is not None:
            found.validate(**payload)

    def accept(self, fact: e.WorkflowUpdateAccepted) -> None:
        assert fact.call_id is not None
        self._accepted += 1
        self._under_way[fact.call_id] = fact.update_id

    def end(self, end: e.HistoryEvent) -> UpdateNews:
        """An update has come to this."""
        match end:
            case e.WorkflowUpdateCompleted():
                return UpdateNews(self._under_way.pop(end.call_id), MessageStatus.COMPLETED, result=end.result)
            case e.WorkflowUpdateFailed():
                return UpdateNews(self._under_way.pop(end.call_id), MessageStatus.FAILED, failure=end.failure)
            case _:
                raise AssertionError(f"{end} ends no update")
