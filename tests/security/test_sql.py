"""Names are values: they are stored as they are or refused by a typed error, and never become a part of a statement."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_durable import cancel_workflow, query_workflow, remote_workflow, send_signal, start_workflow
from django_durable.engine import engine
from django_durable.models import HistoryEvent, WorkflowExecution
from durable_core.errors import ConfigurationError
from durable_pg_queue import PostgresTaskQueue
from durable_pg_queue.schema import SCHEMA, Names
from durable_redis_queue.keys import Keys
from tests.servers import postgres, run_directory

MARK = "m4rk"
HOSTILE = [
    "'; DROP TABLE django_durable_mail; --",
    '"; DELETE FROM django_durable_workflowexecution; --',
    "%s %(name)s %% %",
    "' || pg_sleep(9) || '",
    "\\' OR 1=1 --",
    "$$; SELECT 1; $$",
    "{table} {0} {{",
    "\n\t\r\x01\x7f",
    "e\u0301 \U0001f4a9 \u202e",
    "x" * (200 - len(MARK)),
]
REFUSED = ["a\x00b", "\ud800", "x" * 201, ""]


def tables(alias: str) -> dict[str, int]:
    """Rows of each table."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT COUNT(*) FROM "{table}"')
            found[table] = cursor.fetchone()[0]
        return found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_name_is_stored_as_it_is(alias: str, text: str) -> None:
    name = MARK + text
    statements: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    before = tables(alias)
    payload: dict[str, Any] = {name: name}
    with connections[alias].execute_wrapper(note):
        handle = start_workflow(remote_workflow(name, queue=name, workflow_id=name), **payload)
        again = start_workflow(remote_workflow(name, queue=name, workflow_id=name), **payload)
        send_signal(handle, name, {name: [name]})
        assert query_workflow(handle)["workflow_name"] == name
        assert name in {stats.queue for stats in engine().queue.stats()}
        assert cancel_workflow(handle, reason=name)
    assert again == handle
    assert len(statements) > 10
    assert not [sql for sql in statements if MARK in sql]
    row = WorkflowExecution.objects.using(alias).get()
    assert (row.workflow_name, row.workflow_id, row.queue, row.input) == (name, name, name, {name: name})
    end = HistoryEvent.objects.using(alias).get(type="workflow_canceled")
    assert end.details["reason"] == name
    assert tables(alias).keys() == before.keys()


@pytest.mark.parametrize("text", REFUSED)
def test_name_that_no_database_could_hold_is_refused(alias: str, text: str) -> None:
    handle = start_workflow(remote_workflow("waits", queue="q"))
    before = tables(alias)
    for options in ({"queue": text}, {"queue": "q", "workflow_id": text}):
        with pytest.raises(ConfigurationError):
            start_workflow(remote_workflow("waits", **options))
    with pytest.raises(ConfigurationError):
        start_workflow(remote_workflow(text, queue="q"))
    with pytest.raises(ConfigurationError):
        send_signal(handle, text)
    assert tables(alias) == before


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", MARK * 1000])
def test_reason_may_be_any_text(alias: str, text: str) -> None:
    handle = start_workflow(remote_workflow("waits", queue="q"))
    assert cancel_workflow(handle, reason=text)
    assert HistoryEvent.objects.using(alias).get(type="workflow_canceled").details["reason"] == text
    assert handle.execution.error


# Options of queues that are parts of names


@settings(max_examples=100, derandomize=True, deadline=None)
@given(table=st.text(max_size=70), schema=st.none() | st.text(max_size=70))
@example(table="durable_queue; --", schema=None)
@example(table="durable_queue", schema='x"; DROP SCHEMA public; --')
@example(table="durable_queue", schema="%s")
@example(table="durable_queue", schema="a\x00b")
@example(table="durable_queue", schema="\ud800")
@example(table="durable_queue", schema="$$")
def test_names_of_the_postgres_queue_are_plain_or_refused(table: str, schema: str | None) -> None:
    try:
        names = Names(table, schema)
    except ConfigurationError:
        return
    assert set(names.table) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert not set(names.schema or "") & set("\"'$\\{}%\x00\n")
    names.quoted.encode()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(prefix=st.text(max_size=30))
@example(prefix="x}:{y")
@example(prefix="*")
@example(prefix="durable\n")
def test_prefix_of_the_redis_queue_is_plain_or_refused(prefix: str) -> None:
    try:
        keys = Keys(prefix)
    except ConfigurationError:
        return
    assert keys.root == f"{{{prefix}}}:"
    assert not set(prefix) & set("{}*?[]\\ \n\x00")


@pytest.mark.parametrize("schema", ["; DROP SCHEMA public; --", "Ünïcode schema", "(SELECT 1)", "-- x"])
def test_schema_with_an_odd_name_works(tmp_path_factory: pytest.TempPathFactory, schema: str) -> None:
    assert SCHEMA.fullmatch(schema)
    with postgres(shared=run_directory(tmp_path_factory)) as server, server.database() as fresh:
        queue = PostgresTaskQueue(fresh.url, schema=schema)
        try:
            queue.setup()
            assert queue.stats() == []
            [(found,)] = fresh.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'durable_queue'")
            assert found == schema
        finally:
            queue.close()
