"""What the event loop of an `async def` workflow is made of.

Tasks and futures that have one order in every process, what connects them with facts of the run, and what it refuses.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from durable_core.codec import decode
from durable_core.engine import too_long
from durable_core.errors import CodeStuck, NotInWorkflow, RunEvicted
from durable_core.waits import Wait, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from durable_core import events as e
    from durable_core.engine import Engine
    from durable_core.places import Place
    from durable_core.waits import Future

MAX_THROWS = 1_000  # into a coroutine that will not be unwound
LISTED = 5  # things in one text


class NumberedTask(asyncio.Task[Any]):
    """Sets of tasks, as a TaskGroup has one, go by their hashes: the same in every process."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self._number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class NumberedFuture(asyncio.Future[Any]):
    def __init__(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class FollowedFuture(NumberedFuture):
    """One that a fact will bring; *drop* is called when nobody waits for it any more, and says whether that is so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, drop: Callable[[], object]) -> None:
        super().__init__(loop, number)
        self._drop = drop

    def cancel(self, msg: Any | None = None) -> bool:
        if self.done():
            return False
        return super().cancel(msg) if self._drop() else True  # True: it was asked, and says itself when it has ended

    def end_canceled(self) -> None:
        super().cancel()


class Ring:
    """Stands where a `Wait` stands at a future; *arrive* is what is to be done when that is done."""

    __slots__ = ("_hear", "arrive", "future")

    def __init__(self, future: Future, arrive: Callable[[], object], hear: Callable[[Ring], None]) -> None:
        self._hear = hear
        self.future = future
        self.arrive = arrive

    def one_is_done(self) -> None:
        self._hear(self)


@dataclass(slots=True, eq=False)
class Rest(Wait):
    """The wait of the whole loop."""

    pending: list[Waiting]

    def told(self, place: Place) -> str:
        if len(self.pending) == 1:
            [self.waiting] = self.pending
        elif self.pending:
            names = [" ".join(waiting) for waiting in self.pending[:LISTED]]
            more = f" and {len(self.pending) - LISTED} more" if len(self.pending) > LISTED else ""
            self.waiting = Waiting("several", f"some of {', '.join(names)}{more}")
        return Wait.told(self, place)


async def answer(engine: Engine, fact: e.WorkflowUpdateAccepted, act: Callable[..., Any]) -> None:
    """Act on an update, and answer it before anybody else has a turn."""
    error: BaseException | None = None
    value: Any = None
    try:
        value = act(**decode(fact.input))
        if inspect.isawaitable(value):
            value = await value
    except (RunEvicted, KeyboardInterrupt):
        raise
    except CodeStuck as stuck:
        engine.park(too_long(stuck))
    except BaseException as raised:  # noqa: BLE001 - it is for whoever has sent the update
        error = raised

    def came_to() -> Any:
        if error is not None:
            raise error
        return value

    engine.end_update(engine.outcome_of(fact, came_to))


def unwind(task: asyncio.Task[Any]) -> None:
    work: Any = task.get_coro()
    for _ in range(MAX_THROWS):
        try:
            work.throw(RunEvicted())
        except BaseException:  # noqa: BLE001 - what it says on its way out has no effect
            return
    _UNSTOPPABLE.append(work)  # were it collected, it would go on


_UNSTOPPABLE: list[Any] = []
WAIT = asyncio.tasks._wait.__code__  # type: ignore[attr-defined]


def maker() -> str:
    """Which function of asyncio's wants a task made: `as_completed`, or `wait_for` where that makes one; or another."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == "asyncio.tasks":
        name = frame.f_code.co_name
        if name in ("as_completed", "wait_for"):
            return name
        if name == "__init__":  # of the iterator that as_completed() is from Python 3.13 on
            return "as_completed"
        frame = frame.f_back
    return ""


_REFUSED = {
    "run_in_executor": "a thread (asyncio.to_thread)",
    "call_soon_threadsafe": "another thread",
    "create_connection": "the network",
    "getaddrinfo": "the network",
    "subprocess_exec": "a process",
    "subprocess_shell": "a process",
    "add_signal_handler": "signals of the process",
}


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        what = _REFUSED.get(name, f"loop.{name}()")
        raise NotInWorkflow(
            f"Workflow code asked its event loop for {what}, which a replay cannot repeat. Do that in an activity: "
            "await ctx.run_activity(...)."
        )

    return refuse


def refuse_all_else(kind: type) -> None:
    """What a loop of this *kind* does not have itself says that it is refused, and what to do instead."""
    for name in dir(asyncio.AbstractEventLoop):
        if not name.startswith("_") and name not in vars(kind):
            setattr(kind, name, _refusal(name))
