"""What the settings may say, and what is said about what they may not."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from durable_core.errors import ConfigurationError
from durable_core.ports import Diagnosable, NeedsSetup, StoreConnection, TaskQueue
from durable_pg_queue import PostgresTaskQueue

DSN = "postgresql://app:s3cr3t@db.example.com:5433/queue?sslmode=require"


def store(vendor: str = "postgresql", raw: object = None) -> StoreConnection:
    return StoreConnection(vendor=vendor, use=lambda: nullcontext(raw), parameters=dict)


def test_queue_is_all_that_is_asked_of_it() -> None:
    queue = PostgresTaskQueue(DSN)
    assert isinstance(queue, TaskQueue)
    assert isinstance(queue, NeedsSetup)
    assert isinstance(queue, Diagnosable)


def test_database_of_its_own_is_joined_to_nothing() -> None:
    assert not PostgresTaskQueue(DSN).transactional
    assert not PostgresTaskQueue(DSN, connection=store()).transactional
    assert not PostgresTaskQueue(DSN, connection=store("sqlite")).transactional
    assert PostgresTaskQueue(connection=store()).transactional


def test_password_is_masked() -> None:
    for dsn in (DSN, "host=db.example.com password=s3cr3t user=app", "postgresql:///x?user=app&password=s3cr3t"):
        shown = repr(PostgresTaskQueue(dsn))
        assert "s3cr3t" not in shown
        assert "user=app" in shown


@pytest.mark.parametrize("dsn", ["postgres//app:s3cr3t@db/queue", "postgresql://app:s3cr3t@db/queue?nonsense=1"])
def test_dsn_that_is_none_is_told_without_the_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="should look like postgresql://") as caught:
        PostgresTaskQueue(dsn)
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


def test_store_in_another_kind_of_database_is_told_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r'a sqlite database.*"dsn": "postgresql://'):
        PostgresTaskQueue(connection=store("sqlite"))


def test_without_any_database_it_is_told_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match='"dsn": "postgresql://'):
        PostgresTaskQueue()


def test_older_driver_of_the_store_is_told() -> None:
    queue = PostgresTaskQueue(connection=store(raw=object()))
    with pytest.raises(ConfigurationError, match="psycopg 3"):
        queue.stats()


@pytest.mark.parametrize("option", ["lease", "preference"])
@pytest.mark.parametrize("value", [0, -1, "60", None, True, timedelta(0), float("nan")])
def test_times_are_seconds(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f'option "{option}".*should be seconds'):
        PostgresTaskQueue(DSN, **{option: value})


def test_times_may_be_timedeltas() -> None:
    assert PostgresTaskQueue(DSN, lease=timedelta(minutes=1))._lease == PostgresTaskQueue(DSN, lease=60)._lease == 60.0
