"""What the parts of the store share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from django_durable.store.database import Database
from django_durable.store.sql import Statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.ports import Letter


class Part:
    """A part of `DjangoHistoryStore`."""

    db: Database
    redelivery: timedelta  # after which unread mail wakes its run again
    seal_letter: Callable[[Letter], str] | None = None  # see `SealableStore`

    @cached_property
    def sql(self) -> Statements:
        return Statements(self.db.dialect)
