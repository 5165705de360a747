"""The queue and the store of this package, registered through the hooks that any plugin uses."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core.hooks import hookimpl

if TYPE_CHECKING:
    from django_durable.queue import DatabaseTaskQueue
    from django_durable.store import DjangoHistoryStore
    from durable_core.hooks import Register


@hookimpl
def durable_register_queues(register: Register) -> None:
    register("database", _queue, doc="In the store's own database and its transactions. SQLite and Postgres.")


@hookimpl
def durable_register_stores(register: Register) -> None:
    register("django", _store, doc="The database of DURABLE['DATABASE'].")


def _queue(*, notify: bool = True) -> DatabaseTaskQueue:
    from django_durable.conf import conf
    from django_durable.queue import DatabaseTaskQueue

    return DatabaseTaskQueue(conf().database, notify=notify)


def _store() -> DjangoHistoryStore:
    from django_durable.conf import conf
    from django_durable.store import DjangoHistoryStore

    chosen = conf()
    return DjangoHistoryStore(chosen.database, redelivery=timedelta(seconds=chosen.redelivery))
