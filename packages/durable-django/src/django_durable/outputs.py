"""What projects call to read what a run lets them read while it goes on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_durable.api.executions import id_of
from django_durable.api.uncommitted import check_wait_can_end
from django_durable.engine import engine
from durable_core.codec import decode
from durable_core.errors import ConfigurationError, WaitTimeout, WorkflowClosed
from durable_core.options import DEFAULT_STREAM, as_timedelta, check_name
from durable_core.readings import event_of, items_of, pauses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from uuid import UUID

    from django_durable.api.executions import Execution
    from durable_core.codec import Payload
    from durable_core.options import Duration

NONE_GIVEN: Any = object()  # None is a value


def get_event(execution: Execution, key: str, /, *, default: Any = NONE_GIVEN, timeout: Duration | None = 0) -> Any:
    """What the run has set last by ``ctx.set_event(key, ...)``, read from a row: nothing is replayed.

    *timeout*: seconds or timedelta to wait for it; 0 looks once, None waits without end. If it is not there by then:
    *default*, or `WaitTimeout` if none was given; `WorkflowClosed` for a run that has ended without it. A run that was
    continued as new keeps what it has set, until a later one sets the same key.
    """
    run_id = id_of(execution)
    if timeout != 0:
        check_wait_can_end(run_id, timeout)
    left = pauses(timeout, "get_event(timeout=)")
    while True:
        value, is_over = _look(run_id, key, default)
        if value is not None:
            return decode(value)
        if is_over or (pause := next(left, None)) is None:
            return _missing(run_id, key, default, timeout)
        time.sleep(pause)


async def aget_event(
    execution: Execution,
    key: str,
    /,
    *,
    default: Any = NONE_GIVEN,
    timeout: Duration | None = 0,  # noqa: ASYNC109 - as `get_event` has it
) -> Any:
    """`get_event` for async code; the thread of sync code is free between two looks."""
    run_id = id_of(execution)
    if timeout != 0:
        await sync_to_async(check_wait_can_end)(run_id, timeout)
    left = pauses(timeout, "aget_event(timeout=)")
    while True:
        value, is_over = await sync_to_async(_look)(run_id, key, default)
        if value is not None:
            return decode(value)
        if is_over or (pause := next(left, None)) is None:
            return _missing(run_id, key, default, timeout)
        await asyncio.sleep(pause)


@dataclass(frozen=True, slots=True)
class StreamItem:
    """What was published, and where in its stream."""

    cursor: int  # higher for those that come later; not counted up by one
    item: Any


def read_stream(
    execution: Execution,
    stream: str = DEFAULT_STREAM,
    /,
    *,
    after: int | str | None = None,
    follow: bool = True,
    timeout: Duration | None = None,
) -> Iterator[StreamItem]:
    """What a run, and its activities, publish in a stream, in order; ends when the run has ended, and all was read.

    *after*: the cursor of the last item that was read, as number or text; None begins with the first. Without *follow*
    it ends with what is there now. *timeout*: seconds or timedelta to wait for each next item, then `WaitTimeout`; None
    waits without end. A run that was continued as new has one stream with those that go on for it.
    """
    run_id, cursor = id_of(execution), _cursor_of(after)
    check_name(stream, "the stream of read_stream()")
    left = _pauses_of(follow, timeout)
    if follow:
        check_wait_can_end(run_id, timeout)
    return _read(run_id, stream, cursor, left)


def aread_stream(
    execution: Execution,
    stream: str = DEFAULT_STREAM,
    /,
    *,
    after: int | str | None = None,
    follow: bool = True,
    timeout: Duration | None = None,
) -> AsyncIterator[StreamItem]:
    """`read_stream` for async code; the thread of sync code is free between two looks."""
    run_id, cursor = id_of(execution), _cursor_of(after)
    check_name(stream, "the stream of aread_stream()")
    return _aread(run_id, stream, cursor, _pauses_of(follow, timeout))


PAGE = 200  # items that are read at once


def _read(run_id: UUID, stream: str, cursor: int, pauses_of: Callable[[], Iterator[float]]) -> Iterator[StreamItem]:
    left = pauses_of()
    while True:
        page, is_over = _items(run_id, stream, cursor)
        for found in page:
            cursor = found.cursor
            yield found
        if page:
            left = pauses_of()
        elif is_over:
            return
        if len(page) < PAGE:
            if (pause := next(left, None)) is None:
                return
            time.sleep(pause)


async def _aread(
    run_id: UUID, stream: str, cursor: int, pauses_of: Callable[[], Iterator[float]]
) -> AsyncIterator[StreamItem]:
    left = pauses_of()
    while True:
        page, is_over = await sync_to_async(_items)(run_id, stream, cursor)
        for found in page:
            cursor = found.cursor
            yield found
        if page:
            left = pauses_of()
        elif is_over:
            return
        if len(page) < PAGE:
            if (pause := next(left, None)) is None:
                return
            await asyncio.sleep(pause)


def _items(run_id: UUID, stream: str, cursor: int) -> tuple[list[StreamItem], bool]:
    made = engine()
    page, is_over = items_of(made.client, made.store, run_id, stream, after=cursor, limit=PAGE)
    return [StreamItem(found.cursor, decode(found.item)) for found in page], is_over


def _pauses_of(follow: bool, timeout: Duration | None) -> Callable[[], Iterator[float]]:
    """The pauses between two items. Raises `ConfigurationError` for what is no time."""
    as_timedelta(timeout, what="read_stream(timeout=)")

    def of_one_wait() -> Iterator[float]:
        if follow:
            yield from pauses(timeout, "read_stream(timeout=)")
            raise WaitTimeout(f"nothing was published for {timeout} s. Go on reading behind the last cursor.")

    return of_one_wait


def _cursor_of(after: int | str | None) -> int:
    try:
        return 0 if after is None else int(after)
    except ValueError:
        raise ConfigurationError(
            f"read_stream(after=) got {after!r}; expected the cursor of an item that was read before."
        ) from None


def _look(run_id: UUID, key: str, default: Any) -> tuple[Payload | None, bool]:
    """The value, and whether it is useless to look again."""
    made = engine()
    try:
        return event_of(made.client, made.store, run_id, key), False
    except WorkflowClosed:
        if default is NONE_GIVEN:
            raise
        return None, True


def _missing(run_id: UUID, key: str, default: Any, timeout: Duration | None) -> Any:
    if default is NONE_GIVEN:
        raise WaitTimeout(f"event {key!r} of run {run_id} was not set after {timeout} s. Give a default= if it may be.")
    return default
