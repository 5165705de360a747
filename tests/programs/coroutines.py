"""A program as an `async def` workflow: its steps wait with asyncio, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.programs.interpreter import SEEN, Interpreter
from tests.programs.trace import Trace, entry_of, failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from durable_core.async_context import AsyncWorkflowContext
    from durable_core.definitions import ActivityFunction
    from tests.programs import language as p
    from tests.programs.trace import Entry

    Strand = tuple[float | None, Callable[[], Awaitable[Any]]]  # seconds to sleep before, and what begins the call

FOR_ONE = ("await", "task", "wait_for")
FOR_SEVERAL = ("gather", "group")


async def follow(
    ctx: AsyncWorkflowContext,
    program: p.Program,
    *,
    path: str,
    scripted: ActivityFunction[..., Any],
    trace: Trace | None = None,
) -> dict[str, Any]:
    """What `interpreter.run` does. A cancel is not in the trace: nothing of the program catches it."""
    from tests.programs.steps.coroutines import Awaited

    trace = trace or Trace()
    run_id = str(ctx.info.execution_id)
    ctx.on_query(SEEN, lambda: trace.entries)
    code = Interpreter(ctx, path, scripted, trace)  # type: ignore[arg-type]  # its steps ask for no more than it has
    value = None
    try:
        for step in program.body:
            if isinstance(step, Awaited):
                await step.await_in(code)
            elif (returned := step.run(code)) is not None:
                value = returned.value
                break
    except Exception as error:
        raise failure(run_id, trace, error) from error
    return {"run": run_id, "trace": trace.entries, "value": value}


async def settled(waiting: Awaitable[Any]) -> Callable[[], Any]:
    """Wait for it: then the outcome can be had by plain code."""
    try:
        value = await waiting
    except Exception as error:  # noqa: BLE001 - as users do
        return partial(_raise, error)
    return lambda: value


def _raise(error: Exception) -> None:
    raise error


async def together(how: str, limit: float | None, strands: Sequence[Strand]) -> Any:
    """The value of the only one, or how each has ended; raises `TimeoutError` at the limit."""
    if how == "wait_for":
        return await asyncio.wait_for(_performed(*strands[0]), limit)
    async with AsyncExitStack() as stack:
        if limit is not None:
            await stack.enter_async_context(asyncio.timeout(limit))
        match how:
            case "gather":
                return list(await asyncio.gather(*[_ended(*strand) for strand in strands]))
            case "group":
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_ended(*strand)) for strand in strands]
                return [task.result() for task in tasks]
            case "task":
                return await asyncio.create_task(_performed(*strands[0]))
            case _:
                return await _performed(*strands[0])


async def _performed(delay: float | None, begin: Callable[[], Awaitable[Any]]) -> Any:
    if delay is not None:
        await asyncio.sleep(delay)
    return await begin()


async def _ended(delay: float | None, begin: Callable[[], Awaitable[Any]]) -> Entry:
    try:
        return ["value", await _performed(delay, begin)]
    except Exception as error:  # noqa: BLE001 - as users do
        return entry_of(error)
