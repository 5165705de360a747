"""Workflow code in a greenlet: it runs until it has to wait, and goes on from there.

Nothing is raised to suspend it, so `except` and `finally` in user code mean what they say. Only when the run leaves
memory is its code unwound, by `RunEvicted`; what it does on the way has no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from greenlet import getcurrent, greenlet

from durable_core.errors import DurableError, RunEvicted
from durable_core.places import Place, caller

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from durable_core.scopes import Scope
    from durable_core.waits import Wait

MAX_CALLS_AFTER_EVICTION = 1_000


class CallIds:
    """The ids of calls: those of the run's first strand count from 0, others stand behind the id of their own."""

    __slots__ = ("_count", "prefix")

    def __init__(self, call_id: str | None) -> None:
        self.prefix = "" if call_id is None else f"{call_id}."
        self._count = 0

    @property
    def coming(self) -> str:
        return f"{self.prefix}{self._count}"

    def next(self) -> str:
        call_id = f"{self.prefix}{self._count}"
        self._count += 1
        return call_id


class Host(Protocol):
    """What runs coroutines in a strand."""

    def place(self) -> Place:
        """Where they are, while the strand waits."""

    def aside(self) -> AbstractContextManager[None]:
        """Around what others do while the strand waits."""

    def close(self) -> None:
        """Unwind them."""


class Branch:
    """One strand of a run's code: its greenlet, the ids of its calls, and what it waits for."""

    def __init__(self, call_id: str | None, scope: Scope, be_ready: Callable[[Branch], None]) -> None:
        self.wait: Wait | None = None
        self.is_alive = False  # whether there is code to go on with
        self.problem: DurableError | None = None  # why the code can never go on
        self.without_ctx = ""  # what the code is in that must not use ctx
        self.evicted = False
        self.scope = scope  # the innermost that the code is in
        self.heard: set[Scope] = set()  # whose cancel was raised in it, or in code that had begun it
        self._be_ready = be_ready
        self._is_ready = False
        self.root_ids = self.ids = CallIds(call_id)
        self.host: Host | None = None  # of coroutines, where the code is made of them
        self._code: greenlet | None = None
        self._driver: greenlet | None = None
        self._calls_after_eviction = 0

    # For whoever drives it

    @property
    def has_begun(self) -> bool:
        return self._code is not None

    @property
    def place(self) -> Place:
        """Where the suspended code is. Asked for when somebody wants to know: a replay passes many places."""
        assert self._code is not None
        return caller(self._code.gr_frame) if self.host is None else self.host.place()

    def begin(self, main: Callable[[], None]) -> None:
        """From now on there is code; `resume` lets it run."""
        self._code = greenlet(main)
        self.is_alive = True
        self.be_ready()

    def be_ready(self) -> None:
        """It can go on: it gets a turn, however many reasons there are for that."""
        if not self._is_ready:
            self._is_ready = True
            self._be_ready(self)

    def resume(self) -> None:
        """Let the code run until it waits, or ends."""
        assert self._code is not None
        self._is_ready = False
        self._driver = getcurrent()
        self._code.parent = self._driver
        self._code.switch()
        self.is_alive = not self._code.dead and self.problem is None

    def close(self) -> None:
        """Unwind the code."""
        self.evicted, self.is_alive = True, False
        while self._code:  # begun, and not at its end
            self._driver = getcurrent()
            self._code.parent = self._driver
            self._code.throw(RunEvicted)
            if self._calls_after_eviction > MAX_CALLS_AFTER_EVICTION:
                # Code that catches everything in a loop cannot be unwound. Were it collected, it would be resumed.
                _UNSTOPPABLE.append(self._code)
                break
        self._code = None
        if self.host is not None:
            self.host.close()

    # For the code's own greenlet

    @property
    def is_running(self) -> bool:
        return getcurrent() is self._code

    def enter(self, scope: Scope) -> None:
        self.scope = scope

    def leave(self, scope: Scope) -> None:
        assert scope.parent is not None
        self.scope = scope.parent
        self.heard.discard(scope)
        scope.end()

    @property
    def coming_call_id(self) -> str:
        return self.ids.coming

    def next_call_id(self) -> str:
        self.check_caller()
        return self.ids.next()

    def wait_for(self, wait: Wait) -> None:
        """Suspend the code until somebody resumes it."""
        self.wait = wait
        try:
            self._suspend()
            self.check_caller()
        finally:
            self.wait = None

    def park(self, problem: DurableError) -> NoReturn:
        """Leave the code where it is, for good; whoever drives it raises *problem*."""
        self.problem = problem
        self.leave_off()

    def leave_off(self) -> NoReturn:
        """Leave the code where it is, for good."""
        self._suspend()
        raise RunEvicted

    def check_caller(self) -> None:
        """Raises `DurableError` when it is not the code itself that calls, `RunEvicted` when that is being unwound."""
        if self.evicted:
            self._calls_after_eviction += 1
            if self._calls_after_eviction > MAX_CALLS_AFTER_EVICTION:
                self._suspend()
            raise RunEvicted
        if self.without_ctx:
            raise DurableError(f"ctx was used inside {self.without_ctx}")
        if getcurrent() is not self._code:
            raise DurableError(
                "ctx was used outside its workflow's own code (from a thread, a callback or another workflow). "
                "Only the workflow function itself, and what it calls, may use it."
            )

    def _suspend(self) -> None:
        assert self._driver is not None
        if self.host is None:
            self._driver.switch()
        else:
            with self.host.aside():
                self._driver.switch()


_UNSTOPPABLE: list[greenlet] = []
