"""The table is made, upgraded, and missed in words that say what to do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from django.db import transaction

from django_durable.store import DjangoHistoryStore
from durable_core.errors import ConfigurationError
from durable_core.ports import Entry, EntryKind, new_id
from durable_pg_queue import PostgresTaskQueue, schema
from tests.servers import Postgres

LIMITS = {EntryKind.RUN: 5, EntryKind.ACTIVITY: 5}


def an_entry() -> Entry:
    return Entry(EntryKind.RUN, new_id(), "default")


def works(queue: PostgresTaskQueue) -> bool:
    entry = an_entry()
    queue.enqueue([entry])
    claims = queue.claim(new_id(), LIMITS, queues=(), exclude=())
    queue.complete(claims)
    queue.close()
    return [claim.entry for claim in claims] == [entry] and queue.stats() == []


def asked(database: Postgres, question: str) -> object:
    with psycopg.connect(database.url) as raw:
        row = raw.execute(question.encode()).fetchone()
        assert row is not None
        return row[0]


def test_setup_says_what_it_made_and_has_nothing_to_do_afterwards(blank: Postgres) -> None:
    queue = PostgresTaskQueue(blank.url)
    assert queue.setup() == ["Made the queue's table public.durable_queue (version 1)."]
    assert queue.setup() == []
    assert works(queue)
    queue.close()


def test_two_may_set_up_at_once(blank: Postgres) -> None:
    queues = [PostgresTaskQueue(blank.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(PostgresTaskQueue.setup, queues))
    assert sorted(len(sentences) for sentences in said) == [0, 0, 0, 1]
    for queue in queues:
        queue.close()


def test_upgrade_takes_the_steps_that_are_missing(blank: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = PostgresTaskQueue(blank.url)
    queue.setup()
    entry = an_entry()
    queue.enqueue([entry])
    first = schema.statements_of(1)
    steps = {1: first, 2: "ALTER TABLE {table} ADD COLUMN two int", 3: "ALTER TABLE {table} ADD COLUMN three int"}
    monkeypatch.setattr(schema, "statements_of", steps.__getitem__)
    monkeypatch.setattr(schema, "VERSION", 3)
    newer = PostgresTaskQueue(blank.url)
    with pytest.raises(
        ConfigurationError, match=r"durable_queue .* has version 1, and 3 is needed.*durable_queue_setup"
    ):
        newer.stats()
    assert newer.setup() == ["Upgraded the queue's table public.durable_queue from version 1 to 3."]
    assert newer.setup() == []
    newer.claim(worker := new_id(), LIMITS, queues=(), exclude=())
    assert newer.release_dead([worker]) == [entry]
    (claim,) = newer.claim(new_id(), LIMITS, queues=(), exclude=())
    newer.close()

    monkeypatch.undo()  # a process of the older release, which goes on during the deployment
    queue.complete([claim])
    assert works(queue)
    older = PostgresTaskQueue(blank.url)
    assert older.setup() == []
    assert works(older)
    older.close()


def test_step_that_fails_leaves_nothing(blank: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = PostgresTaskQueue(blank.url)
    monkeypatch.setattr(schema, "statements_of", lambda _: "CREATE TABLE {table} (x int); SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        queue.setup()
    assert asked(blank, "SELECT to_regclass('durable_queue')") is None
    monkeypatch.undo()
    assert len(queue.setup()) == 1
    queue.close()


def test_missing_table_is_told_with_what_to_do(blank: Postgres) -> None:
    queue = PostgresTaskQueue(blank.url)
    calls = (
        lambda: queue.enqueue([an_entry()]),
        lambda: queue.claim(new_id(), LIMITS, queues=(), exclude=()),
        lambda: queue.release_dead([new_id()]),
        queue.stats,
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match=r"no table durable_queue.*durable_queue_setup.*setup\(\)"):
            call()
    queue.setup()  # while the process runs
    assert works(queue)
    queue.close()


def test_table_that_was_dropped_while_we_run_is_told_too(blank: Postgres) -> None:
    queue = PostgresTaskQueue(blank.url)
    queue.setup()
    assert works(queue)
    with psycopg.connect(blank.url) as raw:
        raw.execute("DROP TABLE durable_queue CASCADE")
        raw.execute("DROP FUNCTION durable_queue_enqueue")
    with pytest.raises(ConfigurationError, match="gone, or too old"):
        queue.stats()
    with pytest.raises(ConfigurationError, match="durable_queue_setup"):
        queue.stats()
    queue.close()


def test_missing_table_does_not_break_the_callers_transaction(alias: str) -> None:
    queue = PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection(), table="not_made")
    store = DjangoHistoryStore(alias)
    with transaction.atomic(alias):
        with pytest.raises(ConfigurationError, match="no table not_made"):
            queue.enqueue([an_entry()])
        assert store.get(new_id()) is None


def test_table_of_somebody_else_is_left_alone(blank: Postgres) -> None:
    with psycopg.connect(blank.url) as raw:
        raw.execute("CREATE TABLE durable_queue (id int)")
    queue = PostgresTaskQueue(blank.url)
    for call in (queue.setup, queue.stats):
        with pytest.raises(ConfigurationError, match="comment does not say that it is the queue's"):
            call()
    queue.close()


def test_names_may_be_chosen(blank: Postgres) -> None:
    default, named = PostgresTaskQueue(blank.url), PostgresTaskQueue(blank.url, schema="User-1", table="order")
    assert default.setup() == ["Made the queue's table public.durable_queue (version 1)."]
    assert named.setup() == ["Made the queue's table User-1.order (version 1)."]
    default.enqueue([an_entry()])
    assert works(named)
    assert [stats.ready for stats in default.stats()] == [1]
    default.close()
    named.close()


@pytest.mark.parametrize("name", ["", "Queue", "a.b", 'x"; DROP TABLE y; --', "1st", "q" * 46])
def test_table_has_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r'option "table".*small letters'):
        PostgresTaskQueue("", table=name)


@pytest.mark.parametrize("name", ["", 'x"; DROP TABLE y; --', "x'y", "$$", "{table}", "q" * 64])
def test_schema_has_a_name_that_can_be_quoted(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r'option "schema".*name of a schema'):
        PostgresTaskQueue("", schema=name)


def test_upgrade_finds_the_table_where_the_search_path_does(blank: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = PostgresTaskQueue(blank.url)
    queue.setup()
    with psycopg.connect(blank.url) as raw:
        raw.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER")  # comes before "public" from now on
    monkeypatch.setattr(schema, "statements_of", lambda _: "ALTER TABLE {table} ADD COLUMN two int")
    monkeypatch.setattr(schema, "VERSION", 2)
    assert queue.setup() == ["Upgraded the queue's table public.durable_queue from version 1 to 2."]
    assert works(queue)


def test_setup_joins_a_transaction_of_the_stores_connection(alias: str) -> None:
    queue = PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection(), table="tried")
    with transaction.atomic(alias):
        assert len(queue.setup()) == 1
        transaction.set_rollback(True, using=alias)
    with pytest.raises(ConfigurationError, match="no table tried"):
        queue.stats()


def test_user_without_rights_is_told_which(other: Postgres) -> None:
    with psycopg.connect(other.url) as raw:
        raw.execute("DROP ROLE IF EXISTS durable_stranger")
        raw.execute("CREATE ROLE durable_stranger LOGIN PASSWORD 'x'")
    stranger = PostgresTaskQueue(replace(other, user="durable_stranger", password="x").url)
    with pytest.raises(ConfigurationError, match=r"may not use.*INSERT.*durable_queue_bell"):
        stranger.enqueue([an_entry()])
    with psycopg.connect(other.url) as raw:
        raw.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON durable_queue TO durable_stranger")
        raw.execute("GRANT SELECT, UPDATE ON SEQUENCE durable_queue_bell TO durable_stranger")
    assert works(stranger)
    stranger.close()
    with psycopg.connect(other.url) as raw:
        raw.execute("DROP OWNED BY durable_stranger")
        raw.execute("DROP ROLE durable_stranger")


def test_vacuum_is_told_that_this_is_a_queue(other: Postgres) -> None:
    options = asked(other, "SELECT reloptions FROM pg_class WHERE relname = 'durable_queue'")
    assert isinstance(options, list)
    assert {"fillfactor=45", "autovacuum_vacuum_scale_factor=0", "vacuum_truncate=off"} <= set(options)


def test_functions_leave_the_planner_no_choice(other: Postgres) -> None:
    """And keep it from compiling, which for them takes a hundred times as long as running."""
    with psycopg.connect(other.url) as raw:
        rows = raw.execute("SELECT proname, proconfig FROM pg_proc WHERE proname LIKE 'durable_queue%'").fetchall()
    settings = {name.removeprefix("durable_queue_"): config for name, config in rows}
    for name in ("enqueue", "claim", "survey", "complete", "release"):
        assert {"enable_seqscan=off", "enable_sort=off", "jit=off"} <= set(settings[name])
