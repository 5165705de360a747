"""The worker's side of activities that are completed from outside: give away a token, and let go of the attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durable_core import tokens
from durable_core.errors import DurableError
from durable_core.ports import Detached, due_while_detached

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from durable_core.ports import HistoryStore, TaskRecord
    from durable_core.worker.settings import Aside


class Completions:
    """Used in the threads of activities, each in no transaction."""

    def __init__(self, store: HistoryStore, aside: Aside = asyncio.to_thread) -> None:
        self._store = store
        self.aside = aside

    def issue(self, task: TaskRecord, expires: timedelta) -> tuple[str, datetime]:
        """A token for an attempt, which holds from now on, and its end."""
        token, expires_at = tokens.new_token(task.id), self._store.now() + expires
        if not self._store.expect_completion(task.id, task.token, tokens.digest_of(token, task.token), expires_at):
            raise DurableError(
                f"attempt {task.attempt} of activity {task.activity_name!r} is over: a time limit, or another worker, "
                "was quicker. It gets no completion token."
            )
        return token, expires_at

    def leave(self, task: TaskRecord, expires_at: datetime) -> Detached:
        """Whoever has the token is to say how the attempt ended."""
        return self._store.detach(task.id, task.token, due_while_detached(task, self._store.now(), expires_at))
