"""What others read of a run while it goes on, through ports only. One look at a time: who waits calls again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from durable_core.client import FIRST_POLL, LONGEST_POLL
from durable_core.errors import WorkflowClosed
from durable_core.options import as_timedelta, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from durable_core.client import Client
    from durable_core.codec import Payload
    from durable_core.options import Duration
    from durable_core.ports import HistoryStore, StoredItem


def pauses(timeout: Duration | None, what: str) -> Iterator[float]:
    """Seconds to wait before each further look, until *timeout* has passed; None: without end."""
    span = as_timedelta(timeout, what=what)
    deadline = None if span is None else time.monotonic() + span.total_seconds()
    pause = FIRST_POLL
    while (left := LONGEST_POLL if deadline is None else deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 1.5, LONGEST_POLL)


def event_of(client: Client, store: HistoryStore, run_id: UUID, key: str) -> Payload | None:
    """The value of an event as it is now; None: it may still be set.

    Raises `UnknownExecutionError`, and `WorkflowClosed` if nobody will ever set it.
    """
    check_name(key, "the key of an event")
    newest = client.find_newest(run_id)  # before the value: what a closed run has set is there
    value = store.value(run_id, key)
    if value is None and newest.status.is_closed:
        raise WorkflowClosed(
            f"workflow {newest.workflow_name!r} ({newest.id}) is {newest.status}, and has never set event {key!r}.",
            execution_id=run_id,
        )
    return value


def items_of(
    client: Client, store: HistoryStore, run_id: UUID, stream: str, *, after: int, limit: int
) -> tuple[list[StoredItem], bool]:
    """The next items of a stream, and whether there will be no others behind those that are there now.

    Raises `UnknownExecutionError`.
    """
    newest = client.find_newest(run_id)  # before the items: what was published before the end is there
    return store.items(run_id, stream, after=after, limit=limit), newest.status.is_closed
