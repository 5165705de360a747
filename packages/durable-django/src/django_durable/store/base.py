"""What the parts of the store share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from django_durable.store.database import Database
from django_durable.store.sql import Statements


class Part:
    """A part of `DjangoHistoryStore`."""

    db: Database
    redelivery: timedelta  # after which unread mail wakes its run again

    @cached_property
    def sql(self) -> Statements:
        return Statements(self.db.dialect)
