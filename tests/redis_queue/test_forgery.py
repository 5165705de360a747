"""What strangers write under the queue's keys is kept aside or passed over, and nobody stumbles over it."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from durable_core.ports import new_id
from durable_redis_queue import RedisTaskQueue
from tests.redis_queue.actions import STREAM, claim, enqueue, refs, totals
from tests.redis_servers import Client

ID = uuid4().hex
FORGED: list[dict[Any, Any]] = [
    {"payload": "rm -rf /"},
    {"ref": "", "preferred": "", "deliveries": "0"},
    {"ref": "not-an-id", "preferred": "", "deliveries": "0"},
    {"ref": ID.upper()[:31] + "G", "preferred": "", "deliveries": "0"},
    {"ref": ID, "preferred": "everybody", "deliveries": "0"},
    {"ref": ID, "preferred": "", "deliveries": "-1"},
    {"ref": ID, "preferred": "", "deliveries": "9" * 400},
    {"ref": ID, "preferred": ""},
    {b"\xff\xfe": b"\x80\x02}q\x00.", b"ref": b"\xff" * 32},
    {"ref": "x" * 1_000_000},
]


@pytest.fixture
def stream(prefix: str) -> str:
    return f"{{{prefix}}}:{STREAM}"


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_entry_that_nobody_can_read_is_kept_aside_and_told_once(
    queue: RedisTaskQueue,
    client: Client,
    prefix: str,
    stream: str,
    forged: dict[Any, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = enqueue(queue)
    client.xadd(stream, forged)
    after = enqueue(queue)
    assert refs(claim(queue, limit=2)) == refs(before + after)  # it takes nobody's place
    assert claim(queue) == []
    told = [record for record in caplog.records if "unreadable entry" in record.message]
    assert [record.levelno for record in told] == [logging.ERROR]
    assert len(told[0].message) < 2000
    assert totals(queue) == (0, 2, 0)
    assert [stats.dead for stats in queue.stats()] == [1]
    [(_, stone)] = client.xrange(f"{{{prefix}}}:dead")
    assert stone["stream"] == STREAM[2:]
    assert client.memory_usage(f"{{{prefix}}}:dead") < 5000


def test_queue_with_nothing_but_unreadable_entries_is_in_the_numbers(
    queue: RedisTaskQueue, client: Client, stream: str
) -> None:
    enqueue(queue)
    queue.complete(claim(queue))
    client.xadd(stream, {"a": "b"})
    assert claim(queue) == []
    (stats,) = queue.stats()
    assert (stats.queue, stats.ready, stats.claimed, stats.delayed, stats.dead) == ("default", 0, 0, 0, 1)


def test_unreadable_entries_kept_aside_do_not_grow_for_ever(
    queue: RedisTaskQueue, client: Client, prefix: str, stream: str
) -> None:
    enqueue(queue)
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(1500):
            pipeline.xadd(stream, {"a": "b"})
        pipeline.execute()
    assert len(claim(queue)) == 1
    assert client.xlen(f"{{{prefix}}}:dead") == 1000
    assert client.xlen(stream) == 1


def test_unreadable_entry_of_a_dead_workers_private_queue_is_kept_aside(
    queue: RedisTaskQueue, client: Client, prefix: str
) -> None:
    dead = new_id()
    entries = enqueue(queue, 2, queue=f"local:{dead.hex}")
    client.xadd(f"{{{prefix}}}:s:run:0:local:{dead.hex}", {"a": "b"})
    assert queue.release_dead([dead]) == []
    assert refs(claim(queue)) == refs(entries)
    assert client.xlen(f"{{{prefix}}}:dead") == 1


def test_delayed_entry_that_nobody_can_read_is_kept_aside(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    entries = enqueue(queue)
    client.zadd(f"{{{prefix}}}:d:run:0:default", {"soon": 1, f"{ID} x 0 1-1": 2, f"{ID}  zero 1-1": 3})
    assert refs(claim(queue)) == refs(entries)
    assert client.xlen(f"{{{prefix}}}:dead") == 3
    assert totals(queue) == (0, 1, 0)


@pytest.mark.parametrize("name", ["", "default", "timer:0:default", "run:x:default", "run:0", "RUN:0:default"])
def test_stream_that_is_none_of_the_queues_is_passed_over(
    queue: RedisTaskQueue, client: Client, prefix: str, name: str
) -> None:
    entries = enqueue(queue)
    client.zadd(f"{{{prefix}}}:streams", {name: 0})
    client.xadd(f"{{{prefix}}}:s:{name}", {"ref": ID, "preferred": "", "deliveries": "0"})
    assert [stats.queue for stats in queue.stats()] == ["default"]
    assert refs(claim(queue)) == refs(entries)


def test_mark_of_a_kept_entry_that_nobody_can_read_is_dropped(
    queue: RedisTaskQueue, client: Client, prefix: str
) -> None:
    entries = enqueue(queue)
    client.zadd(f"{{{prefix}}}:kept", {"nonsense": 1, "run:0:default 1-1": 1, "run:0:absent 1-1": 1})
    assert refs(claim(queue)) == refs(entries)
    assert client.zcard(f"{{{prefix}}}:kept") == 0


def test_mark_of_a_kept_entry_frees_no_claim(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    enqueue(queue)
    (held,) = claim(queue)
    client.zadd(f"{{{prefix}}}:kept", {f"{STREAM[2:]} {held.handle.id}": 1})
    assert claim(queue) == []
    assert totals(queue) == (0, 1, 0)


@pytest.mark.parametrize("key", [f"{STREAM[0]}:run:0:mail", "d:run:0:mail"])
def test_key_that_holds_something_else_spoils_its_own_queue_only(
    queue: RedisTaskQueue, client: Client, prefix: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    enqueue(queue, queue="mail")
    entries = enqueue(queue)
    client.set(f"{{{prefix}}}:{key}", "not a stream")
    assert set(refs(claim(queue))) >= set(refs(entries))
    assert "holds something else" in caplog.text
    assert queue.stats()
    assert queue.release_dead([new_id()]) == []


@pytest.mark.parametrize("key", ["wake", "dead"])
def test_helping_key_that_holds_something_else_stops_nothing(
    queue: RedisTaskQueue, client: Client, prefix: str, stream: str, key: str
) -> None:
    client.set(f"{{{prefix}}}:{key}", "not a stream")
    entries = enqueue(queue)
    client.xadd(stream, {"a": "b"})
    claims = claim(queue)
    assert refs(claims) == refs(entries)
    queue.release(claims)
    assert totals(queue) == (1, 0, 0)
