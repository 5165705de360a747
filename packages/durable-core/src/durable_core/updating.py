"""Updates, from their sender's side: sent once, and asked about until there is an answer.

An update has an id, its sender's or a random one. By that the store knows it: sent again, it is the same update, and
has the same answer. So nobody who gives up waiting, or dies, undoes anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from durable_core.client import FIRST_POLL, LONGEST_POLL
from durable_core.codec import decode, encode
from durable_core.errors import (
    ConfigurationError,
    DurableError,
    UnknownExecutionError,
    UpdateFailed,
    UpdateRejected,
    WaitTimeout,
    WorkflowClosed,
)
from durable_core.events import WorkflowUpdateAccepted
from durable_core.execution import MessageStatus
from durable_core.options import as_timedelta, check_name
from durable_core.ports import MessageKind, NewMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable_core.client import Client
    from durable_core.options import Duration
    from durable_core.ports import HistoryStore, MessageRecord


@dataclass(frozen=True, slots=True)
class Request:
    """An update that was sent."""

    chain_id: UUID
    update_id: str
    name: str
    label: str  # of its run


class Updater:
    """The caller's side of updates. Cheap; safe to share between threads."""

    def __init__(self, client: Client, store: HistoryStore, *, payload_limit: int) -> None:
        self._client = client
        self._store = store
        self._payload_limit = payload_limit

    def request(self, run_id: UUID, name: str, payload: Mapping[str, Any], *, update_id: str | None = None) -> Request:
        """Send an update; nothing, if the chain has one with this *update_id*. `answer` says what comes of it.

        Raises `DurableError` inside of the caller's transaction, in which no worker would see it. Raises
        `WorkflowClosed`, `UnknownExecutionError` or `PayloadError`; then nothing was sent.
        """
        if self._store.in_transaction():
            raise DurableError(
                f"update {name!r} was asked for inside of a transaction: no worker sees it before that has committed, "
                "and waiting for what comes of it would never end. Ask behind the block, or send a signal."
            )
        check_name(name, "the update's name")
        key = str(uuid4()) if update_id is None else update_id
        check_name(key, "the update_id")
        text = encode(dict(payload), what=f"the payload of update {name!r}", limit=self._payload_limit)
        newest = self._client.find_newest(run_id)
        label = f"workflow {newest.workflow_name!r} ({newest.id})"
        asked = Request(newest.chain_id or newest.id, key, name, label)
        if update_id is None or self._find(asked) is None:
            fact = WorkflowUpdateAccepted(name=name, update_id=key, input=text)
            note = NewMessage(chain_id=asked.chain_id, run_id=newest.id, kind=MessageKind.UPDATE, key=key, name=name)
            self._client.send(run_id, fact, f"update {name!r}", note)
        self._check_same(asked)
        return asked

    def answer(self, asked: Request, *, timeout: Duration | None = None) -> Any:
        """What the handler returned. *timeout*: seconds or timedelta; 0 looks once, None waits without end.

        Raises `UpdateRejected`, `UpdateFailed`, `WorkflowClosed` where the run has ended before it was done, and
        `WaitTimeout`; then it goes on, and may be asked about again.
        """
        span = as_timedelta(timeout, what="update_workflow(timeout=)")
        deadline = None if span is None else time.monotonic() + span.total_seconds()
        pause = FIRST_POLL
        while True:
            if (found := self._ended(asked)) is not None:
                return _answer_of(asked, found)
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(
                    f"{asked.label} has not answered update {asked.name!r} after {timeout} s. It goes on: ask again "
                    f"with update_id={asked.update_id!r}. Is a worker running for its queue?"
                )
            left = LONGEST_POLL if deadline is None else max(deadline - time.monotonic(), 0.0)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL)

    def _find(self, asked: Request) -> MessageRecord | None:
        return self._store.message(asked.chain_id, MessageKind.UPDATE, asked.update_id)

    def _check_same(self, asked: Request) -> None:
        found = self._find(asked)
        if found is not None and found.name != asked.name:
            raise ConfigurationError(
                f"update_id {asked.update_id!r} belongs to an update {found.name!r} of {asked.label}, not to one "
                f"{asked.name!r}. Use another id for another update."
            )

    def _ended(self, asked: Request) -> MessageRecord | None:
        """The update, once there is an answer. Raises `WorkflowClosed` where there will be none."""
        found = self._find(asked)
        if found is None:
            raise UnknownExecutionError(f"Update {asked.update_id!r} of {asked.label} was deleted with its run.")
        if found.status.is_final:
            return found
        # What was accepted is that run's to answer; what was not is for the newest.
        accepted = found.status is MessageStatus.ACCEPTED
        run = self._client.find(found.run_id) if accepted else self._client.find_newest(found.run_id)
        if not run.status.is_closed:
            return None
        again = self._find(asked)  # it may have been answered in between, and the run ended then
        if again is None or again != found:
            return again if again is not None and again.status.is_final else None
        raise WorkflowClosed(
            f"workflow {run.workflow_name!r} ({run.id}) is {run.status}: it ended before update {asked.name!r} "
            f"({asked.update_id}) was {'done' if accepted else 'read'}.",
            execution_id=run.id,
        )


def _answer_of(asked: Request, found: MessageRecord) -> Any:
    failure = dict(found.failure or {})
    why = ": ".join(part for part in (failure.get("type"), failure.get("message")) if part)
    what = f"update {asked.name!r} ({asked.update_id})"
    match found.status:
        case MessageStatus.COMPLETED:
            return None if found.result is None else decode(found.result)
        case MessageStatus.REJECTED:
            raise UpdateRejected(
                f"{asked.label} rejected {what}: {why}",
                execution_id=found.run_id,
                update_id=asked.update_id,
                failure=failure,
            )
        case MessageStatus.FAILED:
            raise UpdateFailed(
                f"{what} of {asked.label} failed: {why}",
                execution_id=found.run_id,
                update_id=asked.update_id,
                failure=failure,
            )
        case _:
            raise AssertionError(f"{found.status} is no answer")
