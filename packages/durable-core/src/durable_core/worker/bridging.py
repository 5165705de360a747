"""Plain functions around `async def` ones: they wait for an awaitable as if it were an ordinary call.

The function runs in a greenlet beside the task. Where it waits, the task awaits in its stead, in the same context, so
that a `ContextVar` that the function has set is there in the coroutine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def bridged(fn: Callable[[], Any]) -> Any:
    """What *fn* returns, or raises; `wait_for` works in it."""
    strand = greenlet(fn)
    strand.gr_context = getcurrent().gr_context
    value = strand.switch()
    while not strand.dead:
        try:
            value = await value
        except BaseException as error:  # noqa: BLE001 - it belongs to *fn*
            value = strand.throw(error)
        else:
            value = strand.switch(value)
    return value


def wait_for(awaitable: Awaitable[Any]) -> Any:
    """Its result; only in a function that is `bridged`."""
    driver = getcurrent().parent
    assert driver is not None
    return driver.switch(awaitable)
