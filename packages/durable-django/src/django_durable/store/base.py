"""What the parts of the store share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from django_durable.store.database import Database
from django_durable.store.sql import Statements

# Mail, and an attempt given back, have an entry in the queue already; only if that is lost must the scheduler look.
REDELIVERY = timedelta(seconds=30)
GRACE = timedelta(seconds=5)


class Part:
    """A part of `DjangoHistoryStore`."""

    db: Database

    @cached_property
    def sql(self) -> Statements:
        return Statements(self.db.dialect)
