"""What `durable_doctor` is told."""

from __future__ import annotations

import psycopg
import pytest

from durable_core.ports import Finding, Level
from durable_pg_queue import PostgresTaskQueue
from tests.pg_queue.conftest import NOWHERE
from tests.pg_queue.stores import Connections
from tests.servers import Postgres
from tests.waiting import wait_until


def found(queue: PostgresTaskQueue) -> dict[str, Finding]:
    return {finding.subject: finding for finding in queue.diagnose()}


def test_all_is_well(queue: PostgresTaskQueue) -> None:
    findings = found(queue)
    assert list(findings) == ["queue", "queue durability", "queue table", "queue vacuum", "queue wake-ups"]
    # The tests' own server runs without fsync.
    assert {f.level for name, f in findings.items() if name != "queue durability"} == {Level.OK}
    assert "PostgreSQL" in findings["queue"].message
    assert "durable_queue has" in findings["queue table"].message


def test_server_that_is_away_is_a_problem() -> None:
    (finding,) = PostgresTaskQueue(NOWHERE).diagnose()
    assert finding.level is Level.PROBLEM
    assert "127.0.0.1" in finding.message


def test_missing_table_is_a_problem(blank: Postgres) -> None:
    queue = PostgresTaskQueue(blank.url)
    finding = queue.diagnose()[-1]
    assert finding.level is Level.PROBLEM
    assert "durable_queue_setup" in finding.message
    queue.close()


def test_old_snapshot_is_told(other: Postgres, queue: PostgresTaskQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_pg_queue.diagnosis.OLD", 0)
    with psycopg.connect(other.url, application_name="report") as raw:
        raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        raw.execute("SELECT FROM durable_queue")
        # The oldest is told, which may be one of another test on this server for as long as that takes.
        wait_until(lambda: "report" in found(queue)["queue vacuum"].message, "ours to be the oldest")
        assert found(queue)["queue vacuum"].level is Level.WARNING


def test_dead_rows_are_told(blank: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_pg_queue.diagnosis.DEAD_ROWS", 100)
    queue = PostgresTaskQueue(blank.url)
    queue.setup()
    with psycopg.connect(blank.url, autocommit=True) as raw:
        raw.execute(
            "INSERT INTO durable_queue (kind, ref, queue, priority, ready_at, rings) "
            "SELECT 'run', gen_random_uuid(), 'default', 0, now(), false FROM generate_series(1, 500)"
        )
        raw.execute("DELETE FROM durable_queue")
        raw.execute("SELECT pg_stat_force_next_flush()")
        finding = found(queue)["queue table"]
    assert finding.level is Level.WARNING
    assert "500 dead" in finding.message
    queue.close()


def test_autovacuum_that_is_off_is_a_problem(queue: PostgresTaskQueue, other: Postgres) -> None:
    with psycopg.connect(other.url, autocommit=True) as raw:
        raw.execute("ALTER TABLE durable_queue SET (autovacuum_enabled = false)")
        try:
            assert found(queue)["queue table"].level is Level.PROBLEM
        finally:
            raw.execute("ALTER TABLE durable_queue RESET (autovacuum_enabled)")


def test_commits_that_may_be_lost_matter_where_they_are_the_stores(other: Postgres) -> None:
    with Connections(other.url) as connections:
        connections.raw.execute("SET synchronous_commit = off")
        queue = PostgresTaskQueue(connection=connections.shared)
        assert found(queue)["queue durability"].level is Level.WARNING
