"""The Postgres queue passes the suites that all queues pass: in the store's database, and in another one."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from django_durable.store import DjangoHistoryStore
from durable_core.testing import Elsewhere, TaskQueueContract, TransactionalQueueContract
from durable_core.testing.contracts.queue_entries import EntryCases
from durable_core.testing.contracts.queue_processes import ProcessCases
from durable_core.testing.contracts.queue_watch import WatchCases
from durable_pg_queue import PostgresTaskQueue
from tests.pg_queue.conftest import NOWHERE
from tests.store.databases import registered, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Postgres


class OnPostgres:
    lease = 0.8
    preference = 0.4
    delay = 0.15

    @property
    def options(self) -> dict[str, Any]:
        return {"lease": self.lease, "preference": self.preference}

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)


class TestJoined(OnPostgres, TransactionalQueueContract):
    """On the store's own connection."""

    @pytest.fixture(autouse=True)
    def _databases(self, alias: str) -> Iterator[None]:
        self.alias = alias
        absent = {**connections[alias].settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
        with registered(absent) as self.absent:
            yield

    def session(self) -> AbstractContextManager[None]:
        return session(self.alias)

    def make_store(self) -> DjangoHistoryStore:
        return DjangoHistoryStore(self.alias)

    def make_queue(self) -> PostgresTaskQueue:
        return PostgresTaskQueue(connection=DjangoHistoryStore(self.alias).connection(), **self.options)

    def make_queue_without_server(self) -> PostgresTaskQueue:
        return PostgresTaskQueue(connection=DjangoHistoryStore(self.absent).connection())

    def elsewhere(self) -> Elsewhere:
        settings = connections[self.alias].settings_dict
        return Elsewhere("tests.pg_queue.elsewhere:joined", {"settings": settings, **self.options})


class OnItsOwn(OnPostgres):
    notify = True

    @pytest.fixture(autouse=True)
    def _database(self, other: Postgres) -> Iterator[None]:
        self.url = other.url
        self.queue = PostgresTaskQueue(self.url, notify=self.notify, **self.options)
        yield
        self.queue.close()

    def make_queue_without_server(self) -> PostgresTaskQueue:
        return PostgresTaskQueue(NOWHERE)

    def elsewhere(self) -> Elsewhere:
        arguments = {"url": self.url, "notify": self.notify, **self.options}
        return Elsewhere("tests.pg_queue.elsewhere:apart", arguments)


class TestOtherDatabase(OnItsOwn, TaskQueueContract):
    """On connections of its own."""


class TestPolling(OnItsOwn, EntryCases, ProcessCases, WatchCases):
    """Without LISTEN and NOTIFY, nothing but the wake-ups is missing; claims do not know of them."""

    notify = False
