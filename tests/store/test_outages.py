"""What the port says when the database does not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError

from django_durable.store import DjangoHistoryStore
from durable_core.errors import ConfigurationError, StoreUnavailable
from durable_core.ports import NewRun, WorkerInfo, new_id
from durable_core.testing.contracts.builders import a_run
from tests.servers import Postgres
from tests.store.databases import registered


def kill(alias: str) -> None:
    """End this thread's connection from the server's side."""
    settings = connections[alias].settings_dict
    pid = connections[alias].connection.info.backend_pid
    server = Postgres(
        host=settings["HOST"],
        port=int(settings["PORT"]),
        user=settings["USER"],
        password=settings["PASSWORD"],
        name="postgres",
    )
    server.execute(f"SELECT pg_terminate_backend({pid}, 5000)")


def test_lost_connection_is_opened_again(postgres: str) -> None:
    store, run = DjangoHistoryStore(postgres), a_run()
    store.create([run])
    kill(postgres)
    with pytest.raises(StoreUnavailable) as caught:
        store.get(run.id)
    assert caught.value.ambiguous  # a single statement commits by itself
    assert store.get(run.id) is not None


@pytest.mark.parametrize("begins", ["statement", "transaction"])
def test_connection_is_checked_when_django_is_told_to_check_its_own(postgres: str, begins: str) -> None:
    """The server was restarted between two requests, and CONN_HEALTH_CHECKS is on."""
    store, run = DjangoHistoryStore(postgres), a_run()
    store.create([run])
    kill(postgres)
    connection: Any = connections[postgres]
    connection.health_check_enabled, connection.close_at = True, None  # CONN_MAX_AGE = None
    connection.close_if_unusable_or_obsolete()  # as a request begins
    try:
        if begins == "transaction":
            with store.transaction():
                pass
        assert store.get(run.id) is not None
    finally:
        connection.health_check_enabled = False


def test_connection_lost_before_a_worker_signs_off_is_an_outage(postgres: str) -> None:
    """Its connection has settings of its own, which are taken back then."""
    store, worker = DjangoHistoryStore(postgres), WorkerInfo(id=new_id(), host="host", pid=1, queues=())
    store.add_worker(worker)
    kill(postgres)
    with pytest.raises(StoreUnavailable):
        store.remove_worker(worker.id)
    store.remove_worker(worker.id)


def test_connection_lost_before_the_commit_wrote_nothing(postgres: str) -> None:
    store, run = DjangoHistoryStore(postgres), a_run()
    store.create([a_run()])

    def work() -> None:
        with store.transaction():
            store.create([run])
            kill(postgres)
            store.create([a_run()])

    with pytest.raises(StoreUnavailable) as caught:
        work()
    assert not caught.value.ambiguous
    assert store.get(run.id) is None


def test_connection_lost_at_the_commit_is_ambiguous(postgres: str) -> None:
    store, run = DjangoHistoryStore(postgres), a_run()
    store.create([a_run()])

    def work() -> None:
        with store.transaction():
            store.create([run])
            kill(postgres)

    with pytest.raises(StoreUnavailable) as caught:
        work()
    assert caught.value.ambiguous
    assert store.get(run.id) is None


def test_missing_tables_are_an_outage(postgres: str) -> None:
    """A worker that starts before `migrate` has run waits for it."""
    settings = connections[postgres].settings_dict
    with registered({**settings, "NAME": "postgres"}) as empty:
        store = DjangoHistoryStore(empty)
        with pytest.raises(StoreUnavailable, match="workflowexecution"):
            store.get(a_run().id)


def test_other_databases_are_refused() -> None:
    with (
        registered({"ENGINE": "django.db.backends.dummy", "NAME": "x"}) as alias,
        pytest.raises(ConfigurationError, match="PostgreSQL and SQLite"),
    ):
        DjangoHistoryStore(alias).now()


def test_error_of_the_caller_passes_through(store: DjangoHistoryStore) -> None:
    with pytest.raises(LookupError), store.transaction():
        raise LookupError


def test_error_in_the_callers_transaction_leaves_it_usable(alias: str, store: DjangoHistoryStore) -> None:
    before, inside, after = a_run(), a_run(), a_run()

    def fail() -> None:
        with store.transaction():
            store.create([inside])
            raise LookupError

    with transaction.atomic(alias):
        store.create([before])
        with pytest.raises(LookupError):
            fail()
        store.create([after])
    assert store.load([before.id, inside.id, after.id]).keys() == {before.id, after.id}


def test_taken_workflow_id_leaves_the_callers_transaction_usable(alias: str, store: DjangoHistoryStore) -> None:
    runs: list[NewRun] = [a_run(workflow_id="one"), a_run(workflow_id="one"), a_run()]
    with transaction.atomic(alias):
        created = [store.create([run])[0].created for run in runs]
    assert created == [True, False, True]
    assert store.get(runs[2].id) is not None


def test_broken_transaction_of_the_caller_is_his_to_end(alias: str, store: DjangoHistoryStore) -> None:
    with transaction.atomic(alias):
        transaction.set_rollback(True, using=alias)
        with pytest.raises(TransactionManagementError):
            store.create([a_run()])


@pytest.mark.promise("P5")
def test_time_is_the_databases(postgres: str) -> None:
    store = DjangoHistoryStore(postgres)
    for _ in range(200):
        read = store.now()
        with connections[postgres].cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() >= %s", [read])
            assert cursor.fetchone() == (True,)


def test_clock_of_the_worker_is_not_asked(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Fast:
            return super().now(tz) + timedelta(hours=1)

    store, right = DjangoHistoryStore(postgres), datetime.now(UTC)
    monkeypatch.setattr("django_durable.store.database.datetime", Fast)
    assert abs(store.now() - right) < timedelta(minutes=1)
