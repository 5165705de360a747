"""Hearing of entries: at once, when they are due, and again after an outage."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest

from durable_core.ports import new_id
from durable_redis_queue import RedisTaskQueue
from durable_redis_queue import watcher as watcher_module
from tests.redis_queue.actions import Bell, an_entry, claim, enqueue, fake_server, listening, refs
from tests.redis_servers import Client, PrivateServer, RedisServer, private_server
from tests.waiting import wait_until

ELSEWHERE = """
import sys
from durable_core.ports import Entry, EntryKind, new_id
from durable_redis_queue import RedisTaskQueue
RedisTaskQueue(sys.argv[1], prefix=sys.argv[2]).enqueue([Entry(EntryKind.RUN, new_id(), "default")])
"""


def blocked(client: Client) -> list[dict[str, str]]:
    """The connections that wait for something to come."""
    return [found for found in client.client_list() if found["cmd"].startswith("xread") and "b" in found["flags"]]


def test_entry_of_another_process_rings(server: RedisServer, queue: RedisTaskQueue, prefix: str) -> None:
    with listening(queue) as bell:
        subprocess.run([sys.executable, "-c", ELSEWHERE, server.url, prefix], check=True)
        assert bell.answers(5)
    assert len(claim(queue)) == 1


def test_bell_rings_within_milliseconds(queue: RedisTaskQueue) -> None:
    with listening(queue) as bell:
        latencies = []
        for _ in range(20):
            begun = time.perf_counter()
            enqueue(queue)
            assert bell.answers(5)
            latencies.append(time.perf_counter() - begun)
    assert sorted(latencies)[10] < 0.05  # a third of a millisecond on an idle machine


def test_bell_is_quiet_when_nothing_comes(queue: RedisTaskQueue) -> None:
    with listening(queue) as bell:
        enqueue(queue)
        assert bell.answers(5)
        assert not bell.answers(0.3)
        queue.complete(claim(queue))
        assert not bell.answers(0.1)


def test_delayed_entry_rings_when_it_is_due(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    with own.client() as client, listening(queue) as bell:
        wait_until(lambda: blocked(client))
        begun = time.monotonic()
        queue.enqueue([an_entry()], delay=timedelta(seconds=0.4))
        while not claim(queue):
            assert bell.answers(3)
        assert 0.4 <= time.monotonic() - begun < 1.5  # it would be 5 s if nobody had counted


def test_entry_released_with_a_delay_rings_when_it_is_due(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    entries = enqueue(queue)
    with own.client() as client, listening(queue) as bell:
        wait_until(lambda: blocked(client))
        queue.release(claim(queue), delay=timedelta(seconds=0.2))
        while not (claims := claim(queue)):
            assert bell.answers(3)
        assert refs(claims) == refs(entries)


def test_released_entry_rings(queue: RedisTaskQueue) -> None:
    worker = new_id()
    enqueue(queue, 2)
    first, second = claim(queue, worker)
    with listening(queue) as bell:
        queue.release([first])
        assert bell.answers(5)
        queue.complete([second])
        enqueue(queue, 1)
        assert bell.answers(5)
        claim(queue, worker)
        queue.release_dead([worker])
        assert bell.answers(5)


def test_watch_ends_at_once(own: PrivateServer) -> None:
    with own.client() as client, listening(RedisTaskQueue(own.url)):
        wait_until(lambda: blocked(client))
        begun = time.monotonic()
    assert time.monotonic() - begun < 1


def test_watch_of_a_server_that_is_away_ends_at_once() -> None:
    with RedisTaskQueue("redis://127.0.0.1:1/0").watch(lambda: None):
        begun = time.monotonic()
    assert time.monotonic() - begun < 1


def test_watcher_comes_back_after_its_connection_was_killed(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    with listening(queue) as bell, own.client() as client:
        (watching,) = wait_until(lambda: blocked(client))
        client.client_kill_filter(_id=watching["id"])
        assert bell.answers(5)  # whatever came meanwhile was not heard, so it looks
        enqueue(queue)
        assert bell.answers(5)


def test_server_that_is_away_is_complained_of_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watcher_module, "RECONNECT", (0.01, 0.01))
    attempts = []

    def hang_up(data: bytes) -> bytes:
        attempts.append(data)
        return b""

    def complaints() -> int:
        return len([record for record in caplog.records if "no wake-ups" in record.message])

    with fake_server(hang_up) as port:
        with RedisTaskQueue(f"redis://127.0.0.1:{port}").watch(lambda: None):
            wait_until(lambda: len(attempts) > 5)
        assert complaints() == 1
        monkeypatch.setattr(watcher_module, "LOG_INTERVAL", 0.0)
        with RedisTaskQueue(f"redis://127.0.0.1:{port}").watch(lambda: None):
            wait_until(lambda: complaints() > 3)


def test_bell_is_heard_after_everything_was_forgotten(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    with listening(queue) as bell, own.client() as client:
        enqueue(queue)
        assert bell.answers(5)
        client.flushall()
        enqueue(queue)
        assert bell.answers(5)


def test_clock_set_back_on_an_emptied_server_does_not_deafen(
    own: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "LONGEST_BLOCK", 0.2)
    queue = RedisTaskQueue(own.url)
    with own.client() as client:
        client.xadd("{durable}:wake", {"due": ""}, id=f"{2**45}-0")
        with listening(queue) as bell:
            client.flushall()
            enqueue(queue)
            assert bell.answers(5)


def test_server_that_falls_silent_is_noticed(own: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "LONGEST_BLOCK", 0.1)
    monkeypatch.setattr(watcher_module, "PATIENCE", 0.2)
    queue = RedisTaskQueue(own.url, socket_timeout=0.2, socket_connect_timeout=0.2)
    with listening(queue) as bell, own.client() as client:
        wait_until(lambda: not bell.answers(0.3))
        client.client_pause(600)
        assert bell.answers(5)


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"maxmemory": "50mb", "maxmemory_policy": "allkeys-lru"}, True),
        ({"maxmemory": "50mb", "maxmemory_policy": "volatile-ttl"}, False),
        ({"maxmemory": "50mb", "maxmemory_policy": "noeviction"}, False),
        ({"maxmemory_policy": "allkeys-random"}, False),
    ],
)
def test_worker_on_a_server_that_evicts_is_warned(
    settings: dict[str, Any], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "durable.queue")
    with private_server(**settings) as own, listening(RedisTaskQueue(own.url)):
        pass
    assert [record.levelno for record in caplog.records] == ([logging.WARNING] if warns else [])
    assert ("maxmemory-policy allkeys-lru" in caplog.text) == warns


def test_wake_that_raises_ends_nothing(queue: RedisTaskQueue, caplog: pytest.LogCaptureFixture) -> None:
    bell = Bell()

    def ring() -> None:
        bell.ring()
        if bell.count == 1:
            raise LookupError("of the caller")

    with queue.watch(ring):
        wait_until(lambda: bell.count > 1)
    assert "of the caller" in caplog.text
