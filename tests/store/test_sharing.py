"""A project's code in a transaction that it shares with the store."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from django_durable.engine import around_activity
from django_durable.store import DjangoHistoryStore
from durable_core.errors import TransactionConflict, TransactionRefused
from durable_core.ports import NewRun
from durable_core.testing.contracts.builders import a_run

CREATE = "CREATE TABLE IF NOT EXISTS written_elsewhere (n int)"


def test_write_to_another_database_is_refused_and_a_read_is_not(sqlite: str, postgres: str) -> None:
    for here, elsewhere in ((sqlite, postgres), (postgres, sqlite)):
        store, run = DjangoHistoryStore(here), a_run()

        def write(store: DjangoHistoryStore = store, run: NewRun = run, elsewhere: str = elsewhere) -> None:
            with store.shared_transaction(), connections[elsewhere].cursor() as cursor:
                store.create([run])
                cursor.execute("SELECT count(*) FROM django_durable_worker")
                with transaction.atomic(using=elsewhere):
                    cursor.execute("SELECT 1")
                    cursor.execute(CREATE)

        with pytest.raises(TransactionRefused, match=f"wrote to database '{elsewhere}'; its transaction is one of"):
            write()
        assert store.get(run.id) is None
        with connections[elsewhere].cursor() as cursor:  # afterwards it is nobody's business
            cursor.execute(CREATE)
            cursor.execute("DROP TABLE written_elsewhere")


def test_error_behind_the_commit_is_told_and_undoes_nothing(store: DjangoHistoryStore, caplog: Any) -> None:
    run, alias = a_run(), store.db.alias

    def fail() -> None:
        raise ValueError("no mail today")

    with caplog.at_level(logging.ERROR, "durable.worker"), store.shared_transaction():
        store.create([run])
        transaction.on_commit(fail, using=alias)
    assert store.get(run.id) is not None
    assert "a function given to on_commit() failed: ValueError" in caplog.text
    assert not connections[alias].in_atomic_block


def test_error_before_the_commit_is_raised(store: DjangoHistoryStore) -> None:
    run = a_run()

    def fail() -> None:
        with store.shared_transaction():
            store.create([run])
            raise OperationalError("not of a transaction beside it")

    with pytest.raises(OperationalError):
        fail()
    assert store.get(run.id) is None


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_conflict_of_transactions_is_told_from_other_errors(postgres: str, state: str) -> None:
    store, run = DjangoHistoryStore(postgres), a_run()

    def fail() -> None:
        with store.shared_transaction(), connections[postgres].cursor() as cursor:
            store.create([run])
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'others' USING ERRCODE = '{state}'; END $$")

    with pytest.raises(TransactionConflict, match="was undone"):
        fail()
    assert store.get(run.id) is None


def test_database_that_is_locked_is_a_conflict(sqlite: str) -> None:
    other = connections[sqlite].copy()
    store = DjangoHistoryStore(sqlite)
    with connections[sqlite].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
    try:
        other.connect()
        other.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransactionConflict, match="could not begin"), store.shared_transaction():
            raise AssertionError("begun")
    finally:
        other.close()
        with connections[sqlite].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 5000")


def test_no_activity_finds_a_transaction_that_another_has_left_open(alias: str) -> None:
    run = a_run()
    with around_activity():
        transaction.atomic(using=alias).__enter__()
        DjangoHistoryStore(alias).create([run])
    assert not connections[alias].in_atomic_block
    with around_activity():
        assert DjangoHistoryStore(alias).get(run.id) is None
