"""The store and the queue on Django's databases pass the suites that all backends pass."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.db import connections

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import DjangoHistoryStore
from durable_core.execution import TaskStatus
from durable_core.testing import (
    ConcurrentStoreContract,
    Elsewhere,
    HistoryStoreContract,
    TransactionalQueueContract,
)
from tests.store.databases import column, database, empty, registered, session

if TYPE_CHECKING:
    from collections.abc import Iterator


class OnDjango:
    """Real time, and a database that is emptied before each case."""

    vendor: str
    alias: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _database(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with database(cls.vendor, tmp_path_factory) as cls.alias:
            yield

    @pytest.fixture(autouse=True)
    def _nothing_in_it(self) -> None:
        empty(self.alias)

    def session(self) -> AbstractContextManager[None]:
        return session(self.alias)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)


class StoreOnDjango(OnDjango):
    def make_store(self) -> DjangoHistoryStore:
        return DjangoHistoryStore(self.alias)

    def read_waiting_for(self, run_id: UUID) -> str | None:
        text: str | None = column(self.alias, "workflowexecution", "waiting_for", run_id)
        return text

    def read_task_status(self, task_id: UUID) -> TaskStatus:
        return TaskStatus(column(self.alias, "activitytask", "status", task_id))


class TestStoreOnSqlite(StoreOnDjango, HistoryStoreContract):
    vendor = "sqlite"


class TestStoreOnPostgres(StoreOnDjango, ConcurrentStoreContract):
    vendor = "postgres"


class QueueOnDjango(StoreOnDjango, TransactionalQueueContract):
    lease = 1.0
    preference = 0.5
    nowhere: dict[str, Any]  # what makes settings of a database those of one that does not answer

    def make_queue(self) -> DatabaseTaskQueue:
        return DatabaseTaskQueue(
            self.alias, lease=timedelta(seconds=self.lease), preference=timedelta(seconds=self.preference)
        )

    def make_queue_without_server(self) -> DatabaseTaskQueue:
        return DatabaseTaskQueue(self.absent)

    @pytest.fixture(autouse=True)
    def _absent(self, _database: None) -> Iterator[None]:
        with registered({**connections[self.alias].settings_dict, **self.nowhere}) as self.absent:
            yield

    def elsewhere(self) -> Elsewhere:
        settings = connections[self.alias].settings_dict
        arguments = {"settings": settings, "lease": self.lease, "preference": self.preference}
        return Elsewhere("tests.store.elsewhere:database_queue", arguments)


class TestQueueOnSqlite(QueueOnDjango):
    vendor = "sqlite"
    nowhere = {"NAME": "/no/such/folder/durable.sqlite3"}


class TestQueueOnPostgres(QueueOnDjango):
    vendor = "postgres"
    nowhere = {"HOST": "127.0.0.1", "PORT": "1"}
