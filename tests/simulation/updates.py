"""Updates that customers send: what they are told of them, and whether that was so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core.codec import decode
from durable_core.errors import UpdateFailed, UpdateRejected, WaitTimeout, WorkflowClosed
from durable_core.execution import MessageStatus
from durable_core.ports import MessageKind
from durable_core.updating import Updater
from tests.programs.scripts import same
from tests.programs.steps.updates import UPDATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from uuid import UUID

    from durable_core.client import Client
    from durable_core.ports import HistoryStore

PAYLOAD_LIMIT = 1_000_000
LOOKS = 5  # for an answer, before it is left to itself


class Told(NamedTuple):
    chain_id: UUID
    update_id: str
    refuse: bool  # it was sent to be rejected
    status: MessageStatus | None  # SENT: there was no answer in time; None: the run has closed
    what: Any = (
        None  # the answer; of one that failed the message, of one that was rejected the name of the error's type
    )


def ask(client: Client, store: HistoryStore, run_id: UUID, told: Told, pause: Callable[[], None]) -> Told:
    """*told* without an answer, and then with one. Asked again under its id, it is the same update."""
    updater = Updater(client, store, payload_limit=PAYLOAD_LIMIT)
    try:
        asked = updater.request(run_id, UPDATE, {"refuse": told.refuse}, update_id=told.update_id)
        for _ in range(LOOKS):
            try:
                return told._replace(status=MessageStatus.COMPLETED, what=updater.answer(asked, timeout=0))
            except WaitTimeout:
                pause()
    except UpdateRejected as error:
        return told._replace(status=MessageStatus.REJECTED, what=error.failure["type"])
    except UpdateFailed as error:
        return told._replace(status=MessageStatus.FAILED, what=error.failure["message"])
    except WorkflowClosed:
        return told._replace(status=None)
    return told


def judge_told(store: HistoryStore, all_told: Iterable[Told], reopened: Collection[UUID]) -> Iterator[str]:
    """The audit holds what the store has of updates against histories; this, what customers have heard.

    *reopened* are chains, which may have answered after they were closed.
    """
    for told in all_told:
        row = store.message(told.chain_id, MessageKind.UPDATE, told.update_id)
        answer: Any = None
        if row is not None:
            match row.status:
                case MessageStatus.COMPLETED if row.result is not None:
                    answer = decode(row.result)
                case MessageStatus.FAILED if row.failure is not None:
                    answer = row.failure["message"]
                case MessageStatus.REJECTED if row.failure is not None:
                    answer = row.failure["type"]
        if told.status is None:
            is_so = row is None or not row.status.is_final or told.chain_id in reopened
        elif told.status is MessageStatus.SENT:
            is_so = row is not None
        else:
            is_so = row is not None and row.status is told.status and same(answer, told.what)
        if not is_so:
            yield f"who sent update {told.update_id} was told {told}; the store has {row}"
        took = row is not None and row.status in (MessageStatus.COMPLETED, MessageStatus.FAILED)
        refused = row is not None and row.status is MessageStatus.REJECTED and answer != "UnknownUpdateError"
        if took if told.refuse else refused:
            yield f"update {told.update_id} (refuse={told.refuse}) became {row}"
