"""Parts of the code, as cancels see them.

A cancel ends the waits inside of the part that it is for, in all strands that are in there. A shield is a part that
cancels of what is around it do not reach; those of parts inside of it do their work there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.handles import Handle


class Scope:
    """The whole run, a branch, a shield, or what code has marked out."""

    __slots__ = ("_inside", "is_canceled", "is_over", "parent", "reason", "shields", "started")

    def __init__(self, parent: Scope | None, *, is_shield: bool = False) -> None:
        self.parent = parent  # None: the whole run
        self.shields: int = is_shield + (0 if parent is None else parent.shields)  # around it, itself included
        self.is_canceled = False
        self.reason = ""
        self.is_over = False
        self.started: dict[str, Handle] = {}  # in here and not in a part of it, by call_id
        self._inside: dict[Scope, None] = {}
        if parent is not None and parent.parent is not None:
            parent._inside[self] = None

    def holds(self, other: Scope) -> bool:
        """Whether *other* is a part of it, shielded or not."""
        part: Scope | None = other
        while part is not None and part is not self:
            part = part.parent
        return part is self

    def around(self) -> Iterator[Scope]:
        """All whose cancel reaches here, itself first."""
        part: Scope | None = self
        while part is not None and part.shields == self.shields:
            yield part
            part = part.parent

    def add(self, handle: Handle) -> None:
        """The code has started something here. Of the whole run nobody asks: what it has started ends with it."""
        if self.parent is not None:
            self.started[handle.call_id] = handle

    def reached(self) -> Iterator[Handle]:
        """What was started in here, but for what is behind a shield."""
        yield from self.started.values()
        for part in self._inside:
            if part.shields == self.shields:
                yield from part.reached()

    def end(self) -> None:
        """What was started in here is its parent's from now on, if it goes on."""
        self.is_over = True
        part = self
        while part.is_over and part.parent is not None and not part._inside:
            for handle in part.started.values():
                part.parent.add(handle)
            part.parent._inside.pop(part, None)
            part.started, part = {}, part.parent
