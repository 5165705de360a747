"""Calls the function of an attempt, and says how that ended: with a result, with a failure, or left to others."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from durable_core import activity as activity_context
from durable_core.codec import NULL, Payload, decode, encode
from durable_core.crashpoints import crashpoint
from durable_core.errors import ActivityCanceled, CompleteLater, PayloadError, TransactionRefused
from durable_core.failures import describe, invented, type_names
from durable_core.hooks import SILENT, ActivityCall, Announcer, blame_of
from durable_core.logs import complain
from durable_core.options import as_timedelta
from durable_core.ports import Detached
from durable_core.worker.attempt import Attempt, Ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from durable_core.activity import Completions
    from durable_core.definitions import ActivityDefinition
    from durable_core.worker.publishing import Publisher
    from durable_core.worker.transactions import Transactions

logger = logging.getLogger("durable.worker")


class Caller:
    """In the thread that asks."""

    def __init__(
        self,
        *,
        payload_limit: int,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
        hooks: Announcer = SILENT,
        transactions: Transactions | None = None,
        publisher: Publisher | None = None,
        completions: Completions | None = None,
    ) -> None:
        self._payload_limit = payload_limit
        self._around = around
        self._hooks = hooks
        self._transactions = transactions
        self._publisher = publisher
        self._completions = completions

    def call(self, attempt: Attempt) -> Ending:
        activity_context.enter(attempt.current)
        try:
            with self._around():
                if attempt.definition.transactional and self._transactions is not None:
                    self._transactions.perform(attempt.task, partial(self._result_of, attempt), attempt.settle)
                    return Ending(attempt, None, is_recorded=True)
                value = self._value_of(attempt)
            return Ending(attempt, self._encoded(attempt, value))
        except CompleteLater:
            return self._left_to_others(attempt)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in an activity is a failed attempt like any other
            return self._failed(attempt, error)
        finally:
            activity_context.enter(None)

    def _left_to_others(self, attempt: Attempt) -> Ending:
        try:
            if self._publisher is not None:
                self._publisher.send_all(attempt.current.unpublished)
            left = attempt.current.complete_later()
        except Exception as error:  # noqa: BLE001 - the store may be away: a failed attempt, which nobody can complete
            return self._failed(attempt, error)
        match left:
            case None:
                text = "CompleteLater was raised, and no completion_token() was given away: nobody could complete it"
                failure = invented("CompleteLater", text, attempt=attempt.task.attempt)
                return Ending(attempt, None, failure, ("CompleteLater",), retryable=False)
            case Detached.DONE | Detached.GONE:  # who has the token may have been quicker
                attempt.is_left = True
                return Ending(attempt, None, is_recorded=True)
            case Detached.UNWANTED:
                return Ending(attempt, None, describe(attempt.current.cancellation()), canceled=True)
            case _:
                assert_never(left)

    def _result_of(self, attempt: Attempt) -> Payload:
        attempt.unsettle()
        attempt.current.unpublished.restart()
        result = self._encoded(attempt, self._value_of(attempt))
        if self._publisher is not None:
            self._publisher.send_all(attempt.current.unpublished)
        return result

    def _encoded(self, attempt: Attempt, value: Any) -> Payload:
        crashpoint("activity-returned")
        value = attempt.definition.typed.dump_result(value)
        if value is None:
            return NULL
        what = f"the result of activity {attempt.definition.name!r}"
        return encode(value, what=what, limit=self._payload_limit)

    def _arguments_of(self, attempt: Attempt) -> tuple[list[Any], dict[str, Any]]:
        arguments = decode(attempt.task.input)
        try:
            return attempt.definition.typed.load_arguments(arguments["args"], arguments["kwargs"])
        except PayloadError as misfit:
            raise TypeError(str(misfit)) from misfit  # as a signature that does not fit: other code may know better

    def _value_of(self, attempt: Attempt) -> Any:
        args, kwargs = self._arguments_of(attempt)
        if not self._hooks.wraps_activities:
            return self._invoke(attempt.definition, args, kwargs)
        perform = partial(self._invoke, attempt.definition, args, kwargs)
        return self._hooks.call_activity(ActivityCall(attempt.current, args, kwargs, perform))

    def _invoke(self, definition: ActivityDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return definition.fn(*args, **kwargs)

    def _failed(self, attempt: Attempt, error: BaseException) -> Ending:
        failure = describe(error, attempt=attempt.task.attempt)
        if blame := blame_of(error):
            failure["message"] += f" ({blame})"
        canceled = isinstance(error, ActivityCanceled) and attempt.current.canceled
        # A result that cannot be stored would not be storable next time either, and its effect has happened.
        retryable = not isinstance(error, PayloadError | TransactionRefused)
        next_delay = None
        try:
            retry_if = attempt.definition.retry_policy.retry_if
            if retryable and retry_if is not None:
                retryable = bool(retry_if(error))
            next_delay = as_timedelta(getattr(error, "next_retry_delay", None), what="next_retry_delay")
        except BaseException as broken:  # noqa: BLE001 - user code again
            name = attempt.task.activity_name
            complain(logger, logging.WARNING, "activity %s: its retry policy failed: %s", name, error=broken)
        names = tuple(type_names(type(error)))
        return Ending(attempt, None, failure, names, retryable, next_delay, canceled)
