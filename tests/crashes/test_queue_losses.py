"""The queue's server loses what it had, in mid-flight: that costs time, and no run."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from django_durable import send_signal
from tests.crashes.proof import assert_sound, until_begun
from tests.redis_servers import private_server
from tests.scenarios import ledger
from tests.sites import BACKENDS, database_of, entered, site_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.harness import WorkerProcess
    from tests.redis_servers import PrivateServer
    from tests.sites import Site

QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5, "REDELIVERY": 0.5}
STEPS = 12
# In one step, so that it tells what was lost: how many entries were there.
FLUSH = """
local entries = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TYPE', key).ok == 'stream' then entries = entries + redis.call('XLEN', key) end
end
redis.call('FLUSHALL')
return entries
"""


@dataclass
class Flight:
    """Runs under way, of every kind that a queue has entries for."""

    site: Site
    redis: PrivateServer
    workers: list[WorkerProcess]
    key: str
    queue: str
    runs: list[Any]
    waiting: list[Any]

    def until_step(self, number: int) -> None:
        """Runs are in the middle of their work; each loss comes at another place."""
        wait_until(
            lambda: any(len(ledger.effects(f"{self.key}-{n}")) >= number for n in range(len(self.runs))),
            f"step {number}",
        )

    def land(self) -> None:
        """All of them come to their end, and everything was done once."""
        for number, handle in enumerate(self.waiting):
            send_signal(handle, "word", number)
        assert [handle.result(timeout=60) for handle in self.waiting] == list(range(len(self.waiting)))
        assert [handle.result(timeout=60) for handle in self.runs] == [1] * len(self.runs)
        for handle in [*self.runs, *self.waiting]:
            assert_sound(self.site, handle)
        for number in range(len(self.runs)):
            assert len(ledger.effects(f"{self.key}-{number}")) == STEPS
            assert len(ledger.effects(f"{self.key}-{number}-child")) == 1
        for worker in self.workers:
            assert worker.process.poll() is None, worker.said
            assert "Traceback" not in worker.said


@pytest.fixture(params=BACKENDS)
def take_off(request, tmp_path_factory, queue, key) -> Callable[[], AbstractContextManager[Flight]]:
    """Brings runs under way on a Redis that a test may harm."""

    @contextmanager
    def take_off() -> Iterator[Flight]:
        with private_server() as redis, database_of(request.param, tmp_path_factory) as (alias, url):
            options = {"url": redis.url, "socket_timeout": 1, "socket_connect_timeout": 1}
            durable = {**QUICK, "QUEUE": {"BACKEND": "redis", "OPTIONS": options}}
            # One slot: activities go through the queue, most of them.
            serve = ("--queue-name", queue, "--threads", "1")
            with (
                entered(site_of(request.param, alias, url, tmp_path_factory, durable)) as site,
                site.project.worker(*serve) as one,
                site.project.worker(*serve) as other,
            ):
                waiting = [site.start(site.on_queue("word_then_mark", queue), key=f"{key}-word-{n}") for n in range(3)]
                for handle in waiting:
                    site.until_waiting(handle, "signal")
                runs = [site.start(site.on_queue("chain", queue), key=f"{key}-{n}", n=STEPS) for n in range(10)]
                yield Flight(site, redis, [one, other], key, queue, runs, waiting)

    return take_off


@pytest.mark.promise("P9")
def test_flushall_in_mid_flight_loses_no_run(take_off):
    late = []
    with take_off() as flight, flight.redis.client() as client:
        unserved = f"{flight.queue}-unserved"  # until all is lost: the other entries may have been taken already
        for step in (2, 4, 6):
            flight.until_step(step)
            late.append(flight.site.start(flight.site.on_queue("marks", unserved), key=f"{flight.key}-late-{step}"))
            assert client.eval(FLUSH, 0) >= 1
        with flight.site.project.worker("--queue-name", unserved):
            assert [handle.result(timeout=60) for handle in late] == [1, 1, 1]
            flight.land()


@pytest.mark.promise("P9")
def test_restart_of_redis_without_persistence_loses_no_run(take_off):
    with take_off() as flight:
        flight.until_step(3)
        flight.redis.kill()
        for worker in flight.workers:
            wait_until(lambda: "the queue does not answer" in worker.said, "the worker to notice")  # noqa: B023
        # Who starts a run or sends a signal meanwhile is told nothing of it: both are in the store.
        late = flight.site.start(flight.site.on_queue("marks", flight.queue), key=f"{flight.key}-late")
        send_signal(flight.waiting[0], "word", 0)
        flight.redis.start()
        assert late.result(timeout=60) == 1
        assert flight.waiting.pop(0).result(timeout=60) == 0
        flight.land()
        for worker in flight.workers:
            wait_until(lambda: "the queue answers again" in worker.said, "the worker to say so")  # noqa: B023


@pytest.mark.promise("P9")
def test_lost_group_costs_time_only(take_off):
    late: list[Any] = []
    with take_off() as flight, flight.redis.client() as client:

        def lost_groups():
            # Another run, so that there is a stream that somebody reads: the others may be over when the test is slow.
            late.append(
                flight.site.start(flight.site.on_queue("marks", flight.queue), key=f"{flight.key}-late-{len(late)}")
            )
            streams = list(client.scan_iter(match="{durable}:*", _type="stream", count=1000))
            return [
                client.xgroup_destroy(stream, group["name"]) for stream in streams for group in groups(client, stream)
            ]

        for step in (2, 6):
            flight.until_step(step)
            wait_until(lost_groups, "a group to lose")
        assert [handle.result(timeout=60) for handle in late] == [1] * len(late)
        flight.land()


def groups(client: Any, stream: str) -> list[Any]:
    import redis

    try:
        found: list[Any] = client.xinfo_groups(stream)
    except redis.ResponseError:  # it was empty, and went in between
        return []
    return found


@pytest.mark.promise("P9")
def test_redis_that_is_full_costs_time_only(take_off):
    with take_off() as flight, flight.redis.client() as client:
        flight.until_step(2)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")  # less than it has: it takes nothing more
        late = flight.site.start(flight.site.on_queue("marks", flight.queue), key=f"{flight.key}-late")
        wait_until(
            lambda: any("the queue refuses something" in worker.said for worker in flight.workers), "a worker to notice"
        )
        client.config_set("maxmemory", "0")
        assert late.result(timeout=60) == 1
        flight.land()


@pytest.mark.promise("P9")
def test_worker_starts_while_redis_is_away(take_off):
    with take_off() as flight:
        flight.until_step(1)
        flight.redis.kill()
        with flight.site.project.worker("--queue-name", flight.queue) as third:
            wait_until(lambda: "the queue does not answer" in third.said, "the new worker to notice")
            flight.redis.start()
            until_begun(f"{flight.key}-0", 4)
            flight.land()
