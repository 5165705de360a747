"""The store and the queue on Django's databases pass the suites that all backends pass."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from django_durable.store import DjangoHistoryStore
from durable_core.execution import TaskStatus
from durable_core.testing.contracts.store import ConcurrentStoreContract, HistoryStoreContract
from tests.store.databases import column, database, empty, session

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

    def session(self) -> AbstractContextManager[None]:
        return session(self.alias)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)


class StoreOnDjango(OnDjango):
    def make_store(self) -> DjangoHistoryStore:
        empty(self.alias)
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
