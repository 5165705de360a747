"""Runs that were started in a transaction which is still open: no worker sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections, transaction

from django_durable.engine import engine
from durable_core.errors import DurableError
from durable_core.options import as_timedelta

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from durable_core.options import Duration


@dataclass(frozen=True, slots=True)
class _Uncommitted:
    """Stands among a transaction's callbacks for as long as runs that it started are nobody else's to see.

    Django drops it when the transaction, or the savepoint, is rolled back.
    """

    run_ids: frozenset[UUID]

    def __call__(self) -> None:
        """Committed: nothing is to be done."""


def mark_uncommitted(created: Sequence[UUID]) -> None:
    connection = connections[engine().conf.database]
    if created and connection.in_atomic_block:
        transaction.on_commit(_Uncommitted(frozenset(created)), using=connection.alias)


def check_wait_can_end(run_id: UUID, timeout: Duration | None) -> None:
    """Raises `DurableError` inside of a transaction that keeps workers from what is waited for."""
    made = engine()
    connection = connections[made.conf.database]
    if not connection.in_atomic_block:
        return
    if any(_started_by(callback[1], run_id) for callback in connection.run_on_commit):
        raise DurableError(
            f"The transaction that started run {run_id} is still open, so no worker sees the run, and waiting for it "
            "would never end. Wait after the atomic block (ATOMIC_REQUESTS makes each view one), or use run_workflow()."
        )
    looks_once = as_timedelta(timeout, what="timeout") == timedelta()
    if connection.vendor == "sqlite" and not looks_once and not made.client.find(run_id).status.is_closed:
        raise DurableError(
            "A transaction is open, and on SQLite it neither sees what workers write nor lets them write: waiting "
            f"for run {run_id} would never end. Wait after the atomic block, or look once with timeout=0."
        )


def _started_by(callback: object, run_id: UUID) -> bool:
    return isinstance(callback, _Uncommitted) and run_id in callback.run_ids
