"""What a look at the server finds. Permissions and roles are in test_connection.py."""

from __future__ import annotations

import time

import pytest

from durable_core.ports import Finding, Level
from durable_redis_queue import RedisTaskQueue
from tests.redis_queue.actions import STREAM, claim
from tests.redis_servers import PrivateServer, RedisServer, private_server


def findings(queue: RedisTaskQueue) -> dict[str, Finding]:
    return {finding.subject: finding for finding in queue.diagnose()}


def test_server_that_does_well_has_no_problem(server: RedisServer, queue: RedisTaskQueue) -> None:
    found = findings(queue)
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert " ms" in found["Redis connection"].message
    with server.client() as client:
        info = client.info("server")
        assert info.get("valkey_version", info["redis_version"]) in found["Redis version"].message
        assert not list(client.scan_iter(match="*probe*"))


def test_valkey_is_called_by_its_name() -> None:
    with private_server("valkey") as own:
        found = findings(RedisTaskQueue(own.url))
    assert found["Redis version"].message.startswith("Valkey ")
    assert {finding.level for finding in found.values()} == {Level.OK}


def test_server_that_does_not_answer_is_a_problem_and_no_error() -> None:
    (finding,) = RedisTaskQueue("redis://127.0.0.1:1").diagnose()
    assert (finding.level, finding.subject) == (Level.PROBLEM, "Redis connection")
    assert finding.hint


@pytest.mark.parametrize(
    ("policy", "maxmemory", "level"),
    [
        ("noeviction", "0", Level.OK),
        ("noeviction", "50mb", Level.OK),
        ("allkeys-lru", "0", Level.WARNING),
        ("allkeys-lru", "50mb", Level.PROBLEM),
        ("allkeys-random", "50mb", Level.PROBLEM),
        ("volatile-lru", "0", Level.WARNING),
        ("volatile-lru", "50mb", Level.WARNING),
    ],
)
def test_eviction(policy: str, maxmemory: str, level: Level) -> None:
    with private_server(maxmemory=maxmemory, maxmemory_policy=policy) as own:
        finding = findings(RedisTaskQueue(own.url))["Redis eviction"]
    assert finding.level is level
    assert policy in finding.message
    assert ("noeviction" in finding.hint) == (level is not Level.OK)


def test_server_that_is_nearly_full_is_a_warning(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    with own.client() as client:
        client.config_set("maxmemory", int(1.05 * client.info("memory")["used_memory"]))
        assert findings(queue)["Redis memory"].level is Level.WARNING
        client.config_set("maxmemory", "100kb")
        found = findings(queue)
    assert found["Redis memory"].level is Level.WARNING
    assert found["Redis commands"].level is Level.PROBLEM
    assert "raise its maxmemory" in found["Redis commands"].hint


def test_persistence_is_told_with_what_it_is_worth(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    assert "Runs are not lost" in findings(queue)["Redis persistence"].message
    with own.client() as client:
        client.config_set("appendonly", "yes")
    assert findings(queue)["Redis persistence"].message == "append-only file is on"


@pytest.mark.parametrize(("skew", "level"), [(0.5, Level.OK), (90, Level.WARNING), (-90, Level.WARNING)])
def test_clock(own: PrivateServer, monkeypatch: pytest.MonkeyPatch, skew: float, level: Level) -> None:
    here = time.time
    monkeypatch.setattr("durable_redis_queue.diagnosis.time.time", lambda: here() - skew)
    finding = findings(RedisTaskQueue(own.url))["Redis clock"]
    assert finding.level is level
    assert level is Level.OK or f"90.0 s {'ahead of' if skew > 0 else 'behind'} this host" in finding.message


def test_unreadable_entries_are_a_warning(queue: RedisTaskQueue, server: RedisServer, prefix: str) -> None:
    with server.client() as client:
        client.zadd(f"{{{prefix}}}:streams", {"run:0:default": 0})
        client.xadd(f"{{{prefix}}}:{STREAM}", {"a": "b"})
    assert claim(queue) == []
    finding = findings(queue)["Redis dead entries"]
    assert finding.level is Level.WARNING
    assert f"{{{prefix}}}:dead" in finding.hint


def test_silent_denial_of_info_is_a_warning(own: PrivateServer) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER", "blind", "on", "nopass", "~*", "+@all", "-info")
    found = findings(RedisTaskQueue(own.url, username="blind", password="x"))
    assert found["Redis server"].level is Level.WARNING
    assert found["Redis permissions"].level is Level.OK
