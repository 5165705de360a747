"""What the suite of all queues does not ask: what lies in Redis, who may have it, and what is cleared away."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import re
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import redis
from redis.crc import key_slot

from durable_core.errors import ConfigurationError
from durable_core.ports import Diagnosable, Entry, EntryKind, new_id, private_queue
from durable_redis_queue import RedisTaskQueue
from durable_redis_queue import queue as queue_module
from durable_redis_queue import watcher as watcher_module
from tests.redis_queue.actions import HOUR, STREAM, an_entry, claim, enqueue, refs, totals
from tests.redis_servers import Client, RedisServer, private_server
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier


README = Path(__file__).parents[2] / "packages" / "durable-redis-queue" / "README.md"
MOMENT = 0.2  # seconds of a lease or preference that a test waits for


@pytest.fixture
def short(server: RedisServer, prefix: str) -> RedisTaskQueue:
    """A queue whose leases are over in a moment, and nobody's preference counts for longer than that."""
    return RedisTaskQueue(server.url, prefix=prefix, lease=MOMENT, preference=MOMENT)


def consumers(client: Client, prefix: str) -> dict[str, int]:
    """Entries that are pending, by consumer."""
    return {found["name"]: found["pending"] for found in client.xinfo_consumers(f"{{{prefix}}}:{STREAM}", "durable")}


# Keys


def test_all_keys_of_a_queue_are_in_one_slot(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    worker = new_id()
    enqueue(queue, 2, preferred=new_id())
    enqueue(queue, 2, queue="{mail} * ?", priority=-7, kind=EntryKind.ACTIVITY)
    queue.enqueue([Entry(EntryKind.RUN, new_id(), "late")], delay=HOUR)
    client.xadd(f"{{{prefix}}}:{STREAM}", {"ref": "forged"})
    queue.release(claim(queue, worker), delay=HOUR)
    keys = [str(key) for key in client.scan_iter(match=f"*{prefix}*")]
    assert sorted({key.split(":")[1] for key in keys}) == ["d", "dead", "kept", "s", "streams", "swept", "wake"]
    assert {key_slot(key.encode()) for key in keys} == {key_slot(prefix.encode())}


def test_entries_hold_ids_and_nothing_else(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    preferred = new_id()
    (entry,) = enqueue(queue, preferred=preferred)
    [(_, fields)] = client.xrange(f"{{{prefix}}}:{STREAM}")
    assert fields == {"ref": entry.ref.hex, "preferred": preferred.hex, "deliveries": "0"}


def test_queues_with_different_prefixes_do_not_meet(server: RedisServer, queue: RedisTaskQueue) -> None:
    with server.namespace() as other:
        enqueue(queue)
        assert claim(RedisTaskQueue(server.url, prefix=other)) == []


@pytest.mark.parametrize("prefix", ["", "{a}", "a b", "*", "a\n"])
def test_prefix_that_would_spoil_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisTaskQueue(prefix=prefix)


@pytest.mark.parametrize("name", ["", " ", "{x}:y", "été %2F", "a\nb", "\udc80", "*" * 300])
def test_any_text_names_a_queue(queue: RedisTaskQueue, name: str) -> None:
    entries = enqueue(queue, queue=name)
    assert [stats.queue for stats in queue.stats()] == [name]
    assert claim(queue, exclude=[name]) == []
    claims = claim(queue, queues=[name])
    assert (refs(claims), claims[0].entry.queue) == (refs(entries), name)


@pytest.mark.parametrize("priority", [-32768, 32767])
def test_extreme_priorities_are_kept(queue: RedisTaskQueue, priority: int) -> None:
    enqueue(queue, priority=priority)
    assert [found.entry.priority for found in claim(queue)] == [priority]


# Order


def drained(queue: RedisTaskQueue) -> list[UUID]:
    """All that is ready, a few at a time: what is first must be known among more than are taken."""
    order = []
    while claims := claim(queue, limit=3):
        order += refs(claims)
    return order


def test_age_counts_across_queues_within_one_millisecond(queue: RedisTaskQueue) -> None:
    entries = [Entry(EntryKind.RUN, new_id(), f"q{number * 7 % 5}") for number in range(40)]
    queue.enqueue(entries)
    assert drained(queue) == refs(entries)


def test_age_counts_across_calls_within_one_millisecond(queue: RedisTaskQueue) -> None:
    entries = [entry for number in range(60) for entry in enqueue(queue, queue=f"q{(60 - number) % 7}")]
    assert drained(queue) == refs(entries)


def test_entry_that_comes_back_has_its_old_place(queue: RedisTaskQueue) -> None:
    entries = enqueue(queue, 3)
    first = claim(queue, limit=1)
    late = enqueue(queue, queue="other")
    queue.release(first)
    assert refs(claim(queue)) == refs(entries + late)


def test_clock_that_was_set_back_stops_nothing(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    seconds, _ = client.time()
    future = f"{(seconds + 3600) * 1000}-0"
    ahead = an_entry()
    fields = {"ref": ahead.ref.hex, "preferred": new_id().hex, "deliveries": 0}
    enqueue(queue)
    queue.complete(claim(queue))
    client.xadd(f"{{{prefix}}}:{STREAM}", fields, id=future)
    entries = enqueue(queue, 2)
    assert refs(claim(queue)) == refs(entries)
    wait_until(lambda: refs(claim(queue)) == [ahead.ref])  # its preference does not last for an hour


# Claims


def test_shortest_delay_is_none_too_short(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    queue.enqueue([an_entry()], delay=timedelta(microseconds=1))
    assert client.zcard(f"{{{prefix}}}:d:run:0:default") == 1


def test_lost_claim_completes_nothing_for_the_same_worker_either(short: RedisTaskQueue) -> None:
    worker = new_id()
    enqueue(short)
    lost = claim(short, worker)
    current = wait_until(lambda: claim(short, worker))
    short.complete(lost)
    assert totals(short) == (0, 1, 0)
    short.complete(current)
    assert totals(short) == (0, 0, 0)


def test_what_a_worker_looked_at_and_left_counts_no_delivery(queue: RedisTaskQueue) -> None:
    """With several streams, more is read than is taken."""
    for number in range(12):
        enqueue(queue, queue=f"q{number % 3}")
    counts = []
    while claims := claim(queue, limit=2):
        counts += [found.deliveries for found in claims]
    assert counts == [1] * 12


def test_deliveries_are_counted_through_a_delay(queue: RedisTaskQueue) -> None:
    enqueue(queue)
    queue.release(claim(queue))
    queue.release(claim(queue), delay=timedelta(milliseconds=1))
    claims = wait_until(lambda: claim(queue))
    assert claims[0].deliveries == 3
    queue.release(claims)
    assert claim(queue)[0].deliveries == 4


def test_twins_with_different_delays_are_both_kept(queue: RedisTaskQueue) -> None:
    entry = an_entry()
    queue.enqueue([entry, entry], delay=timedelta(milliseconds=1))
    queue.enqueue([entry], delay=HOUR)
    assert refs(wait_until(lambda: claim(queue))) == [entry.ref, entry.ref]
    assert totals(queue) == (0, 2, 1)


def test_thousands_are_enqueued_claimed_released_and_completed_at_once(queue: RedisTaskQueue) -> None:
    entries = enqueue(queue, 2500)
    claims = claim(queue, limit=2500)
    assert refs(claims) == refs(entries)
    queue.release(claims)
    assert totals(queue) == (2500, 0, 0)
    queue.complete(claim(queue, limit=2500))
    assert totals(queue) == (0, 0, 0)


def test_unbounded_limit_is_no_problem(queue: RedisTaskQueue) -> None:
    enqueue(queue)
    assert len(claim(queue, limit=10**9)) == 1


def work_through(url: str, prefix: str, begun: Barrier, answer: Queue[list[str]]) -> None:
    queue, worker = RedisTaskQueue(url, prefix=prefix), new_id()
    found: list[str] = []
    while claims := claim(queue, worker, limit=7):
        if not found:
            begun.wait(30)  # or one might have done everything before the other was there
        found += [str(ref) for ref in refs(claims)]
        queue.complete(claims)
    answer.put(found)


def test_processes_side_by_side_claim_every_entry_once(server: RedisServer, queue: RedisTaskQueue, prefix: str) -> None:
    entries = enqueue(queue, 1000) + enqueue(queue, 1000, queue="mail")
    spawn = multiprocessing.get_context("spawn")
    begun, answer = spawn.Barrier(2), spawn.Queue()
    workers = [spawn.Process(target=work_through, args=(server.url, prefix, begun, answer)) for _ in range(2)]
    for worker in workers:
        worker.start()
    parts = [answer.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(parts)
    assert sorted(parts[0] + parts[1]) == sorted(str(ref) for ref in refs(entries))


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a child that does *work*, and is killed when that takes too long."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_child_of_a_fork_uses_a_connection_of_its_own() -> None:
    with private_server() as own, own.client() as client:
        queue = RedisTaskQueue(own.url)
        entries = enqueue(queue, 3)
        before = {found["id"] for found in client.client_list()}
        assert in_child(lambda: (claim(queue, limit=1), claim(queue, limit=1))) == 0
        assert refs(claim(queue)) == refs(entries[2:])
        assert totals(queue) == (0, 3, 0)
        assert {found["id"] for found in client.client_list()} >= before  # it did not end its parent's


def test_child_of_a_fork_does_not_wait_for_a_thread_that_is_not_there(
    queue: RedisTaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_being_made, go_on = threading.Event(), threading.Event()
    make = redis.Redis.from_url

    def make_slowly(*args: Any, **options: Any) -> Any:
        is_being_made.set()
        assert go_on.wait(30)
        return make(*args, **options)

    def work() -> None:
        monkeypatch.undo()
        enqueue(queue)

    monkeypatch.setattr(redis.Redis, "from_url", make_slowly)
    thread = threading.Thread(target=enqueue, args=[queue])
    thread.start()
    assert is_being_made.wait(30)
    try:
        assert in_child(work) == 0
    finally:
        go_on.set()
        thread.join()
    assert len(claim(queue)) == 2


# Preferred workers


def test_entry_set_aside_is_found_by_the_worker_it_prefers(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    worker = new_id()
    first, second = enqueue(queue, preferred=worker), enqueue(queue)
    assert refs(claim(queue)) == refs(second)
    assert consumers(client, prefix)[f"for:{worker.hex}"] == 1
    assert totals(queue) == (1, 1, 0)
    claims = claim(queue, worker)
    assert (refs(claims), claims[0].deliveries) == (refs(first), 1)
    assert client.zcard(f"{{{prefix}}}:kept") == 0


def test_entry_set_aside_is_anybodys_when_the_preference_is_over(short: RedisTaskQueue) -> None:
    entries = enqueue(short, preferred=new_id())
    assert claim(short) == []
    claims = wait_until(lambda: claim(short))
    assert (refs(claims), claims[0].deliveries) == (refs(entries), 1)


def test_entry_set_aside_for_a_dead_worker_is_anybodys_at_once(
    queue: RedisTaskQueue, client: Client, prefix: str
) -> None:
    dead = new_id()
    entries = enqueue(queue, preferred=dead)
    assert claim(queue) == []
    assert queue.release_dead([dead]) == []  # it had not claimed it
    assert refs(claim(queue)) == refs(entries)
    assert f"for:{dead.hex}" not in consumers(client, prefix)


def test_entry_set_aside_is_not_lost_with_the_list_of_such_entries(
    short: RedisTaskQueue, client: Client, prefix: str
) -> None:
    entries = enqueue(short, preferred=new_id())
    assert claim(short) == []
    client.delete(f"{{{prefix}}}:kept")
    assert refs(wait_until(lambda: claim(short))) == refs(entries)


def test_many_entries_of_another_worker_do_not_hide_the_one_behind_them(queue: RedisTaskQueue) -> None:
    worker = new_id()
    kept, plain = enqueue(queue, 2500, preferred=worker), enqueue(queue)
    found = [claim(queue, limit=1) for _ in range(3)]  # some thousand in one go, so that nobody else waits long
    assert [refs(claims) for claims in found] == [[], [], refs(plain)]
    assert refs(claim(queue, worker, limit=2500)) == refs(kept)


def test_preference_does_not_come_back_after_a_delay(queue: RedisTaskQueue) -> None:
    worker = new_id()
    entries = enqueue(queue, preferred=worker)
    queue.release(claim(queue, worker), delay=timedelta(milliseconds=1))
    assert refs(wait_until(lambda: claim(queue), patience=0.5)) == refs(entries)


# Dead workers, private queues


def test_consumer_of_a_dead_worker_goes_and_its_entries_stay(
    queue: RedisTaskQueue, client: Client, prefix: str
) -> None:
    dead, alive = new_id(), new_id()
    entries = enqueue(queue, 2500)
    held = claim(queue, alive, limit=100)
    claim(queue, dead, limit=5000)
    assert refs(queue.release_dead([dead])) == refs(entries[100:])
    assert consumers(client, prefix) == {alive.hex: 100, "free": 2400}
    assert refs(claim(queue, new_id(), limit=5000)) == refs(entries[100:])
    queue.complete(held)


def test_claim_whose_lease_was_over_is_not_the_dead_workers_any_more(
    short: RedisTaskQueue, client: Client, prefix: str
) -> None:
    dead = new_id()
    entries = enqueue(short)
    claim(short, dead)
    key = f"{{{prefix}}}:{STREAM}"
    wait_until(lambda: client.xpending_range(key, "durable", "-", "+", 1, idle=round(1000 * MOMENT)))
    assert short.release_dead([dead]) == []
    assert refs(claim(short)) == refs(entries)


def test_entry_that_a_dead_worker_held_in_its_private_queue_counts_as_delivered(queue: RedisTaskQueue) -> None:
    dead = new_id()
    enqueue(queue, queue=private_queue(dead))
    claim(queue, dead, queues=[private_queue(dead)])
    assert len(queue.release_dead([dead])) == 1
    assert [found.deliveries for found in claim(queue)] == [2]


def test_delayed_entries_of_a_private_queue_move_too(queue: RedisTaskQueue) -> None:
    dead = new_id()
    entries = [Entry(EntryKind.ACTIVITY, new_id(), private_queue(dead), 3) for _ in range(2)]
    queue.enqueue(entries[:1], delay=HOUR)
    queue.enqueue(entries[1:])
    queue.release(claim(queue, dead, queues=[private_queue(dead)]), delay=timedelta(milliseconds=150))
    assert queue.release_dead([dead]) == []
    assert [(stats.queue, stats.delayed) for stats in queue.stats()] == [("default", 2)]
    (found,) = wait_until(lambda: claim(queue))
    assert (found.entry, found.deliveries) == (entries[1]._replace(queue="default"), 2)


def test_private_queue_of_a_dead_worker_leaves_nothing_behind(
    queue: RedisTaskQueue, client: Client, prefix: str
) -> None:
    dead = new_id()
    enqueue(queue, queue=private_queue(dead))
    queue.complete(claim(queue, dead, queues=[private_queue(dead)]))
    queue.release_dead([dead])
    assert client.exists(f"{{{prefix}}}:streams") == 0
    assert not list(client.scan_iter(match=f"{{{prefix}}}:s:*"))


def test_private_queues_of_the_living_stay(queue: RedisTaskQueue) -> None:
    alive = new_id()
    enqueue(queue, queue=private_queue(alive))
    queue.release_dead([new_id()])
    assert [stats.queue for stats in queue.stats()] == [private_queue(alive)]


# What is cleared away


def test_memory_does_not_grow_with_the_work_done() -> None:
    def pass_through(count: int) -> None:
        enqueue(queue, count)
        queue.complete(claim(queue, worker, limit=count))

    def keys() -> list[str]:
        return sorted(set(client.keys()) - {"{durable}:swept"})  # which expires

    with private_server(slowlog_log_slower_than="-1") as own, own.client() as client:
        queue, worker = RedisTaskQueue(own.url), new_id()
        pass_through(1000)
        keys_before, before = keys(), client.info("memory")["used_memory"]
        for _ in range(20):
            pass_through(1000)
        assert keys() == keys_before
        assert client.info("memory")["used_memory"] - before < 50_000
        assert client.xlen("{durable}:" + STREAM) == 0


@pytest.fixture
def quick_clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLEAR_EVERY", "EMPTY_FOR", "IDLE_FOR"):
        monkeypatch.setattr(queue_module, name, MOMENT)
    monkeypatch.setattr(watcher_module, "LONGEST_BLOCK", MOMENT)


def test_what_was_used_a_moment_ago_is_not_cleared_away(
    queue: RedisTaskQueue, client: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "CLEAR_EVERY", MOMENT)
    monkeypatch.setattr(watcher_module, "LONGEST_BLOCK", MOMENT)
    worker = new_id()
    enqueue(queue)
    queue.complete(claim(queue, worker))
    client.zadd(f"{{{prefix}}}:streams", {"run:0:of no stream": 0})
    with queue.watch(lambda: None):
        wait_until(lambda: client.zrange(f"{{{prefix}}}:streams", 0, -1) == ["run:0:default"])
    assert consumers(client, prefix) == {worker.hex: 0}


@pytest.mark.usefixtures("quick_clearing")
def test_streams_that_stay_empty_are_cleared_away(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    enqueue(queue, queue=private_queue(new_id()))
    queue.complete(claim(queue, queues=[stats.queue for stats in queue.stats()]))
    queue.enqueue([Entry(EntryKind.RUN, new_id(), "late")], delay=HOUR)
    entries = enqueue(queue, queue="full")
    with queue.watch(lambda: None):
        wait_until(lambda: client.zrange(f"{{{prefix}}}:streams", 0, -1) == ["run:0:full", "run:0:late"])
    assert not [key for key in client.scan_iter(match=f"*{prefix}*") if "local" in str(key)]
    assert refs(claim(queue)) == refs(entries)


@pytest.mark.usefixtures("quick_clearing")
def test_consumers_of_workers_that_left_are_cleared_away(queue: RedisTaskQueue, client: Client, prefix: str) -> None:
    left, holds = new_id(), new_id()
    enqueue(queue, 3)
    queue.complete(claim(queue, left, limit=1))
    claim(queue, holds, limit=1)
    with queue.watch(lambda: None):
        wait_until(lambda: left.hex not in consumers(client, prefix))
    assert consumers(client, prefix) == {holds.hex: 1}


# The object


def test_queue_is_made_without_a_server() -> None:
    queue = RedisTaskQueue("redis://127.0.0.1:1/0")
    assert isinstance(queue, Diagnosable)
    queue.enqueue([])
    queue.complete([])
    queue.release([])
    assert queue.release_dead([]) == []
    assert queue.claim(new_id(), {}, queues=(), exclude=()) == []


def test_readme_tells_every_option() -> None:
    table = re.findall(r"^\| (`.*?) \|", README.read_text().split("## Options")[1].split("##")[0], re.MULTILINE)
    told = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(told) == sorted(inspect.signature(RedisTaskQueue).parameters)


@pytest.mark.parametrize("options", [{"lease": 0}, {"lease": -1}, {"preference": -1}, {"lease": float("nan")}])
def test_durations_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RedisTaskQueue(**options)  # type: ignore[arg-type] # these are all numbers


def test_durations_may_be_timedeltas(server: RedisServer, prefix: str) -> None:
    queue = RedisTaskQueue(server.url, prefix=prefix, lease=timedelta(seconds=MOMENT), preference=timedelta())
    entries = enqueue(queue, preferred=new_id())
    assert refs(claim(queue)) == refs(entries)
    assert refs(wait_until(lambda: claim(queue))) == refs(entries)
