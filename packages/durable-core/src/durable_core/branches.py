"""All strands of a run's code, and whose turn it is.

They take turns on one thread: each runs until it waits. Who goes on first is decided by what was done first, so by the
log and the code alone, and a replay has the same turns.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from durable_core.branch import Branch
from durable_core.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable_core.errors import DurableError


class Branches:
    def __init__(self) -> None:
        self._ready: deque[Branch] = deque()
        self._looking: dict[Branch, None] = {}  # they wait for a condition that others may make true
        self._others: dict[Branch, None] = {}  # alive, in the order in which they were begun
        self._gone_on = 0  # how often a condition was found to hold
        self.run = Scope(None)
        self.main = Branch(None, self.run, self._ready.append)
        self.current = self.main  # whose turn it is, or was last

    def __iter__(self) -> Iterator[Branch]:
        """Those that are alive, the oldest first."""
        if self.main.is_alive:
            yield self.main
        yield from self._others

    @property
    def problem(self) -> DurableError | None:
        """Why the code can never go on."""
        return self.current.problem

    def spawn(self, call_id: str) -> Branch:
        """Another strand, to be begun. It is shielded, or canceled already, as its parent is."""
        branch = Branch(call_id, Scope(self.current.scope), self._ready.append)
        branch.heard |= self.current.heard
        self._others[branch] = None
        return branch

    def begin_update(self, call_id: str) -> Branch:
        """A strand that nobody in the code has asked for, to be begun."""
        branch = Branch(call_id, Scope(self.run), self._ready.append)
        self._others[branch] = None
        return branch

    def look(self, branch: Branch) -> None:
        """From now on *branch* gets a turn whenever something has happened, to look at its condition."""
        self._looking[branch] = None

    def look_away(self, branch: Branch) -> None:
        """It goes on, and what it does may be what others look for."""
        del self._looking[branch]
        self._gone_on += 1

    def go_on(self, has_ended: Callable[[], bool]) -> None:
        """Let the code run until every strand waits for something that is not there, or the run *has_ended*."""
        while self._ready and not has_ended():
            self._resume(self._ready.popleft())
            if self.current.problem is not None:
                return
            if self._looking and not self._ready:
                self._look_around(has_ended)

    def _look_around(self, has_ended: Callable[[], bool]) -> None:
        """Let those that wait for a condition look at it, again and again if what they do may change what they see."""
        before = -1
        while before != self._gone_on and not self._ready:
            before = self._gone_on
            for branch in list(self._looking):
                if has_ended() or self.current.problem is not None:
                    return
                if branch in self._looking:
                    self._resume(branch)

    @contextmanager
    def nobodys_turn(self, inside: str) -> Iterator[None]:
        """Code runs that is no strand of the run's, and must not use ctx: *inside* says what it is."""
        before, self.current = self.current, Branch(None, Scope(None), lambda branch: None)
        self.current.without_ctx = inside
        try:
            yield
        finally:
            self.current = before

    def drop(self, branch: Branch) -> None:
        """Unwind one that nobody waits for any more, in another's turn."""
        before, self.current = self.current, branch
        branch.close()
        self.current = before
        self._others.pop(branch, None)
        if branch in self._ready:
            self._ready.remove(branch)

    def close(self) -> None:
        """Unwind all code, the youngest strand first."""
        for branch in [*reversed(self._others), self.main]:
            self.current = branch
            branch.close()
        self._others.clear()
        self._ready.clear()

    def _resume(self, branch: Branch) -> None:
        self.current = branch
        branch.resume()
        if not branch.is_alive:
            self._others.pop(branch, None)
