"""Runs attempts in the loop's own thread, where a caller's open transaction may be the only one that sees the run."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from durable_core.activity import CurrentActivity
from durable_core.errors import StoreUnavailable
from durable_core.worker.attempt import Attempt, Ending
from durable_core.worker.executor import ActivityExecutor
from durable_core.worker.publishing import NOWHERE

if TYPE_CHECKING:
    from durable_core.definitions import ActivityDefinition
    from durable_core.ports import TaskRecord
    from durable_core.worker.settings import RunAsync


class InlineExecutor(ActivityExecutor):
    """Runs attempts in the loop's own thread, one after another, when the loop asks how they ended."""

    def __init__(self, *, run_async: RunAsync = asyncio.run, **options: Any) -> None:
        super().__init__(**options)
        self._run_async = run_async
        self._backlog: deque[Attempt] = deque()

    def submit(self, task: TaskRecord, definition: ActivityDefinition) -> None:
        attempt = Attempt(task, definition, self._current_of(task, definition))
        self._held[attempt] = None
        self._backlog.append(attempt)

    def _invoke(self, definition: ActivityDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:
        value = super()._invoke(definition, args, kwargs)
        return self._run_async(value) if definition.is_async else value

    def _failed(self, attempt: Attempt, error: BaseException) -> Ending:
        if isinstance(error, KeyboardInterrupt):
            raise error  # Ctrl-C is for the process, which happened to be in this activity
        return super()._failed(attempt, error)

    def _current_of(self, task: TaskRecord, definition: ActivityDefinition) -> CurrentActivity:
        outlet = NOWHERE if self._publisher is None else None
        completions = self._completions_of(definition)
        return CurrentActivity(task, self._payload_limit, outlet, completions, is_async=definition.is_async)

    def _publish(self, attempt: Attempt, ending: Ending) -> Ending:
        """In this thread, whose transaction may be the only one that sees the run."""
        try:
            if self._publisher is not None:
                self._publisher.send_all(attempt.current.unpublished)
        except StoreUnavailable as error:
            return self._failed(attempt, error)
        return ending

    def endings(self) -> list[Ending]:
        while self._backlog:
            # An activity may drive a run of its own: what is current here must be so again afterwards.
            copy_context().run(self._perform, self._backlog.popleft())
        return super().endings()
