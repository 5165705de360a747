"""The history store on Django's databases: `DjangoHistoryStore`.

runs      create, read            commits   decisions         workers   heartbeats
mail      letters to runs         tasks     attempts          schedule  what is due
messages  that have a key          auditing  all of a run, to be judged
people    who are asked
life      closed runs opened again

sql holds the statements of each, in terms of a dialect (sqlite, postgres); `database` runs them on the thread's own
connection; in `sharing`, a project's code shares a transaction with them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS

from django_durable.store.auditing import Audits
from django_durable.store.database import Database
from django_durable.store.life import Lives
from django_durable.store.sharing import shared_transaction
from durable_core.ports import REDELIVERY

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from durable_core.ports import StoreConnection


class DjangoHistoryStore(Audits, Lives):
    """`HistoryStore` on ``connections[alias]``, SQLite or Postgres. One object per process, for all its threads."""

    def __init__(self, alias: str = DEFAULT_DB_ALIAS, *, redelivery: timedelta = REDELIVERY) -> None:
        self.db = Database(alias)
        self.redelivery = redelivery

    def now(self) -> datetime:
        return self.db.now()

    def transaction(self) -> AbstractContextManager[None]:
        return self.db.transaction()

    def shared_transaction(self) -> AbstractContextManager[None]:
        return shared_transaction(self.db)

    def connection(self) -> StoreConnection:
        """For queues that can live in this database."""
        return self.db.shared()

    def in_transaction(self) -> bool:
        return self.db.in_transaction()


__all__ = ["DjangoHistoryStore"]
