"""Whatever the server forgets, no method raises for it, and what is enqueued afterwards is served."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from durable_core.errors import QueueUnavailable
from durable_core.ports import new_id
from durable_redis_queue import RedisTaskQueue
from tests.redis_queue.actions import HOUR, STREAM, Bell, claim, enqueue, listening, refs, totals
from tests.redis_servers import PrivateServer, private_server
from tests.waiting import wait_until


@pytest.fixture
def queue(own: PrivateServer) -> RedisTaskQueue:
    return RedisTaskQueue(own.url)


def is_served(queue: RedisTaskQueue) -> bool:
    entries = enqueue(queue)
    found = claim(queue)
    queue.complete(found)
    return refs(found) == refs(entries)


@pytest.mark.parametrize("what", ["complete", "release", "release_later", "release_dead", "claim", "stats"])
def test_everything_may_be_forgotten_between_claim_and_what_follows(
    own: PrivateServer, queue: RedisTaskQueue, what: str
) -> None:
    worker = new_id()
    enqueue(queue, 2)
    claims = claim(queue, worker)
    with own.client() as client:
        client.flushall()
    match what:
        case "complete":
            queue.complete(claims)
        case "release":
            queue.release(claims)
        case "release_later":
            queue.release(claims, delay=HOUR)
        case "release_dead":
            assert queue.release_dead([worker]) == []
        case "claim":
            assert claim(queue) == []
        case _:
            assert queue.stats() == []
    assert totals(queue) == (0, 0, 0)
    assert is_served(queue)


def test_scripts_may_be_forgotten(own: PrivateServer, queue: RedisTaskQueue) -> None:
    assert is_served(queue)
    with own.client() as client:
        client.script_flush()
        assert is_served(queue)
        client.script_flush()
        enqueue(queue)
        claims = claim(queue)
        client.script_flush()
        queue.release(claims)
    assert totals(queue) == (1, 0, 0)


def test_lost_group_is_made_again_and_drops_nothing(
    own: PrivateServer, queue: RedisTaskQueue, caplog: pytest.LogCaptureFixture
) -> None:
    entries = enqueue(queue, 3)
    lost = claim(queue, limit=1)
    with own.client() as client:
        client.xgroup_destroy("{durable}:" + STREAM, "durable")
    with caplog.at_level(logging.WARNING, "durable.queue"):
        claims = claim(queue)
    assert refs(claims) == refs(entries)
    assert ["had lost its consumer group" in record.message for record in caplog.records] == [True]
    queue.complete(lost)  # another worker has that entry now
    assert totals(queue) == (0, 3, 0)
    queue.complete(claims)
    assert totals(queue) == (0, 0, 0)


def test_lost_group_does_not_fail_the_completion_of_its_claims(own: PrivateServer, queue: RedisTaskQueue) -> None:
    entries = enqueue(queue)
    lost = claim(queue)
    with own.client() as client:
        client.xgroup_destroy("{durable}:" + STREAM, "durable")
    queue.complete(lost)
    queue.release(lost)
    assert refs(claim(queue)) == refs(entries)


def test_lost_list_of_streams_is_made_again_by_the_next_entry(own: PrivateServer, queue: RedisTaskQueue) -> None:
    forgotten = enqueue(queue)
    with own.client() as client:
        client.delete("{durable}:streams")
    assert claim(queue) == []
    entries = enqueue(queue)
    assert refs(claim(queue)) == refs(forgotten + entries)


def test_group_begins_at_the_beginning_of_what_is_there(own: PrivateServer, queue: RedisTaskQueue) -> None:
    """An operator has put back the streams alone, out of a dump."""
    there = enqueue(queue, 2)
    with own.client() as client:
        client.delete("{durable}:streams")
        client.xgroup_destroy("{durable}:" + STREAM, "durable")
    entries = enqueue(queue)
    assert refs(claim(queue)) == refs(there + entries)


def test_stream_is_known_again_by_what_is_released_into_it(own: PrivateServer, queue: RedisTaskQueue) -> None:
    entries = enqueue(queue)
    claims = claim(queue)
    with own.client() as client:
        client.delete("{durable}:streams")
    queue.release(claims, delay=timedelta(milliseconds=1))
    assert refs(wait_until(lambda: claim(queue))) == refs(entries)


def test_lost_stream_costs_its_entries_only(own: PrivateServer, queue: RedisTaskQueue) -> None:
    enqueue(queue)
    other = enqueue(queue, queue="mail")
    with own.client() as client:
        client.delete("{durable}:" + STREAM)
    assert refs(claim(queue)) == refs(other)
    assert is_served(queue)


def test_entry_that_an_operator_deleted_under_a_claim_is_gone(own: PrivateServer, queue: RedisTaskQueue) -> None:
    worker = new_id()
    deleted, left = enqueue(queue, 2)
    claims = claim(queue, worker)
    with own.client() as client:
        client.xdel("{durable}:" + STREAM, claims[0].handle.id)
        assert refs(queue.release_dead([worker])) == [left.ref]
        assert refs(claim(queue)) == [left.ref]
        assert client.xpending("{durable}:" + STREAM, "durable")["pending"] == 1
    assert deleted.ref not in refs(claim(queue))


def test_restart_without_persistence_is_an_outage_and_then_a_fresh_start(
    own: PrivateServer, queue: RedisTaskQueue, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(queue) as bell:
        enqueue(queue)
        claims = claim(queue)
        own.kill()
        for call in (
            lambda: enqueue(queue),
            lambda: claim(queue),
            lambda: queue.complete(claims),
            lambda: queue.release(claims),
            lambda: queue.release_dead([new_id()]),
            queue.stats,
        ):
            with pytest.raises(QueueUnavailable, match=f"127.0.0.1:{own.port}"):
                call()
        wait_until(lambda: "no wake-ups" in caplog.text)
        bell.answers(0)
        own.start()
        assert bell.answers(10)  # whatever came meanwhile was not heard, so it looks
        queue.complete(claims)
        assert is_served(queue)
        wait_until(lambda: not bell.answers(0.2))
        enqueue(queue)
        assert bell.answers(5)
    complaints = [record for record in caplog.records if "no wake-ups" in record.message]
    assert len(complaints) == 1


def test_full_server_takes_no_entries_and_lets_go_of_those_it_has() -> None:
    with private_server(maxmemory_policy="noeviction") as own, own.client() as client:
        queue = RedisTaskQueue(own.url)
        worker = new_id()
        entries = enqueue(queue, 50, preferred=worker)
        queue.enqueue(entries[:1], delay=HOUR)
        client.config_set("maxmemory", "100kb")
        with pytest.raises(QueueUnavailable, match="full"):
            enqueue(queue)
        with pytest.raises(QueueUnavailable, match="full"):
            queue.enqueue(entries, delay=HOUR)
        assert claim(queue, new_id()) == []  # setting aside what others prefer must work too
        claims = claim(queue, worker)
        assert refs(claims) == refs(entries)
        queue.release(claims[:10])
        queue.complete(claims[10:])
        assert totals(queue) == (10, 0, 1)
        queue.release(claim(queue, worker, limit=1), delay=HOUR)
        assert totals(queue) == (9, 0, 2)
        with queue.watch((bell := Bell()).ring):
            assert bell.answers(5)
        client.config_set("maxmemory", "0")
        enqueue(queue)
        assert len(claim(queue)) == 10


def test_due_entry_stays_due_while_the_server_is_full() -> None:
    with private_server(maxmemory_policy="noeviction") as own, own.client() as client:
        queue = RedisTaskQueue(own.url)
        entries = enqueue(queue, 1)
        queue.complete(claim(queue))
        queue.enqueue(entries, delay=timedelta(milliseconds=100))
        client.config_set("maxmemory", "100kb")
        due = client.zrange("{durable}:d:run:0:default", 0, -1, withscores=True)[0][1]
        wait_until(lambda: client.time()[0] * 1000 + client.time()[1] / 1000 > due)
        assert claim(queue) == []
        assert totals(queue) == (0, 0, 1)
        client.config_set("maxmemory", "0")
        assert refs(claim(queue)) == refs(entries)
