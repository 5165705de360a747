"""What the SQL of the two databases differs in; everything else is written once, in `sql`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from django.db import Error
    from django.db.backends.base.base import BaseDatabaseWrapper


Query = tuple[str, "Sequence[Any]"]  # a statement, and its parameters (or its rows, for `execute_many`)


class Dialect(Protocol):
    """Fragments of SQL, and how the driver is called."""

    among: str  # after a column: "is one of the ids in this parameter"
    own: str  # end of a SELECT: lock the rows as their writer, waiting for others
    own_free: str  # the same, without those that others hold
    hold: str  # end of a SELECT: keep others from closing the run, without keeping them from doing this too
    hold_free: str  # the same, without those that others hold
    instant: str  # a parameter that is an instant
    by_now: str  # a parameter that is a lower bound of the time; the time itself, where the database is asked anyway
    uuid: str  # a parameter that is an id
    notify: str  # statement that wakes who listens on a channel, once the transaction commits; "" where there is none
    without_waiting: str  # an expression: let this transaction's commit not wait for the disk; "" where there is none
    peeks: bool  # whether to look before a write that may find nothing to do
    clock: str  # statement that tells the time; "" where the host's is the one

    def one_of(self, query: str) -> str:
        """After a column: "is one of the values that *query* finds", which are few, whatever the planner believes."""

    def insert(self, table: str, columns: Mapping[str, str], *, conflict: str = "") -> str:
        """For `execute_many`: insert rows whose values stand in the order of *columns* (name: Postgres type)."""

    def update(self, table: str, columns: Mapping[str, str], change: str, where: str = "", *, lock: str = "") -> str:
        """For `execute_many`: change the rows whose key is the first of *columns*; the others are ``v.name``.

        *lock* (own or own_free): lock them first, in the order of their ids.
        """

    def delete(self, table: str, columns: Mapping[str, str]) -> str:
        """For `execute_many`: delete the rows that have all of these values."""

    def text_of(self, instant: datetime) -> str: ...

    def key(self, of: UUID) -> Any:
        """An id as rows have it."""

    def ids(self, ids: list[str]) -> str:
        """A parameter for *among*."""

    def texts(self, texts: list[str]) -> Any:
        """The same, for texts that may hold anything."""

    def fetch(self, raw: Any, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    def fetch_all(self, raw: Any, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]: ...

    def execute(self, raw: Any, sql: str, params: Sequence[Any]) -> None: ...

    def execute_many(self, raw: Any, sql: str, rows: Sequence[tuple[Any, ...]]) -> int: ...

    def execute_all(self, raw: Any, changes: Sequence[Query]) -> None:
        """Several of `execute_many`, of which no two touch the same row."""

    def settle(self, connection: BaseDatabaseWrapper, *, worker: bool) -> None:
        """Before a unit of work. *worker*: this connection does nothing but the work of a worker."""

    def beginning(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Around the begin of a transaction: see that it is the right kind."""

    def looking(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """A transaction that sees one moment, takes no lock that writers wait for, and cannot write."""

    def is_outage(self, error: Error) -> bool:
        """Whether to try again later; otherwise it is a mistake."""

    def is_lost(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        """Whether the connection is dead."""
