"""Rows in memory, with transactions.

Rows are immutable; to change one is to put another in its place. Every change goes through `Table._set`,
which also keeps the groups and the due times, and the `Journal` remembers what stood there before. To roll
back is to go through the journal backwards with the same function, so no index can disagree with its rows.

One lock is held for as long as a transaction is open: nobody ever sees half of one, and they run one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_SLACK = 64  # outdated due times that are not worth sweeping


class Journal:
    """What to put back if the transaction fails, and what to call once it has not."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None  # thread that has the transaction
        self._undo: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._after: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. One inside another is part of it, and takes back only itself if it fails."""
        after: list[Callable[[], None]] = []
        with self._lock:
            outermost = self._owner is None
            self._owner = threading.get_ident()
            changes, calls = len(self._undo), len(self._after)
            try:
                yield
            except BaseException:
                self._roll_back(changes)
                del self._after[calls:]
                raise
            finally:
                if outermost:
                    self._owner = None
                    self._undo.clear()
                    after, self._after = self._after, []
        for call in after:  # outside the lock: it may want another one
            call()

    @property
    def changes(self) -> int:
        """Made so far by the transaction that is open."""
        return len(self._undo)

    def in_transaction(self) -> bool:
        return self._owner == threading.get_ident()

    def undo_with(self, function: Callable[..., None], *args: Any) -> None:
        """To be called, with all that came later undone already, if the transaction fails."""
        self._undo.append((function, args))

    def after_commit(self, call: Callable[[], None]) -> None:
        self._after.append(call)

    def _roll_back(self, length: int) -> None:
        while len(self._undo) > length:
            function, args = self._undo.pop()
            function(*args)


class Table(Generic[K, R]):
    """Rows by key; found also by group and by due time. Write only inside a transaction of the journal.

    *groups*: by name, which one a row is in (None: in none). *due_at*: when it needs attention (None: never).
    *when_set* is told of every row that comes to stand in the table, also when that is by undoing.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        groups: Mapping[str, Callable[[R], Hashable]] | None = None,
        due_at: Callable[[R], datetime | None] = lambda row: None,
        when_set: Callable[[R], None] = lambda row: None,
    ) -> None:
        self._journal = journal
        self._rows: dict[K, R] = {}
        self._group_of = groups or {}
        self._groups: dict[tuple[str, Hashable], dict[K, None]] = {}
        self._due_at = due_at
        self._when_set = when_set
        # A row that is due has its time in the heap; what else is in there is outdated, and dropped when met.
        self._heap: list[tuple[datetime, int, K]] = []
        self._tick = count()  # equal times come out as they went in

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, key: K) -> R | None:
        return self._rows.get(key)

    def put(self, key: K, row: R) -> None:
        self._journal.undo_with(self._set, key, self._rows.get(key))
        self._set(key, row)

    def remove(self, key: K) -> None:
        self._journal.undo_with(self._set, key, self._rows.get(key))
        self._set(key, None)

    def group(self, name: str, value: Hashable) -> list[R]:
        return [self._rows[key] for key in self._groups.get((name, value), ())]

    def next_due(self) -> datetime | None:
        while self._heap and not self._is_current(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, limit: int | None = None) -> list[R]:
        """Rows whose time has come, the earliest first; *limit* of None means all."""
        found: dict[K, tuple[datetime, int, K]] = {}
        while self._heap and self._heap[0][0] <= now and (limit is None or len(found) < limit):
            entry = heappop(self._heap)
            if self._is_current(entry):
                found.setdefault(entry[2], entry)
        for entry in found.values():  # still due unless the caller says otherwise
            heappush(self._heap, entry)
        return [self._rows[key] for key in found]

    def _set(self, key: K, new: R | None) -> None:
        old = self._rows.pop(key, None) if new is None else self._rows.get(key)
        if new is not None:
            self._rows[key] = new
            self._when_set(new)
        for name, group_of in self._group_of.items():
            self._regroup(name, key, None if old is None else group_of(old), None if new is None else group_of(new))
        due_at = None if new is None else self._due_at(new)
        if due_at is not None and (old is None or self._due_at(old) != due_at):
            heappush(self._heap, (due_at, next(self._tick), key))
            if len(self._heap) > _SLACK + 4 * len(self._rows):
                self._heap = [entry for entry in self._heap if self._is_current(entry)]
                heapify(self._heap)

    def _regroup(self, name: str, key: K, old: Hashable, new: Hashable) -> None:
        if old == new:
            return
        if old is not None:
            members = self._groups[name, old]
            del members[key]
            if not members:
                del self._groups[name, old]
        if new is not None:
            self._groups.setdefault((name, new), {})[key] = None

    def _is_current(self, entry: tuple[datetime, int, K]) -> bool:
        row = self._rows.get(entry[2])
        return row is not None and self._due_at(row) == entry[0]
