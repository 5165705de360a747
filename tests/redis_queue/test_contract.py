"""The queue passes the suite that all queues pass: on Redis, and on a cluster of two Valkey servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from durable_core.testing.contracts import TaskQueueContract
from durable_core.testing.processes import Elsewhere
from durable_redis_queue import RedisTaskQueue
from tests.redis_servers import RedisServer, private_cluster

AWAY = "redis://127.0.0.1:1/0"  # nobody listens there


class OnRedis(TaskQueueContract):
    """Real time."""

    lease = 0.6
    preference = 0.3
    delay = 0.15
    url: str
    prefix: str
    is_cluster = False

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def options(self) -> dict[str, Any]:
        durations = {"lease": self.lease, "preference": self.preference}
        return {"url": self.url, "prefix": self.prefix, "cluster": self.is_cluster, **durations}

    def make_queue(self) -> RedisTaskQueue:
        return RedisTaskQueue(**self.options())

    def elsewhere(self) -> Elsewhere:
        return Elsewhere("durable_redis_queue:RedisTaskQueue", self.options())

    def make_queue_without_server(self) -> RedisTaskQueue:
        return RedisTaskQueue(**{**self.options(), "url": AWAY})


class TestRedis(OnRedis):
    @pytest.fixture(autouse=True)
    def _nothing_in_it(self, server: RedisServer, prefix: str) -> None:
        self.url, self.prefix = server.url, prefix


class TestValkeyCluster(OnRedis):
    is_cluster = True

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _cluster(cls) -> Iterator[None]:
        with private_cluster("valkey") as nodes:
            cls.url = nodes[0].url
            yield

    @pytest.fixture(autouse=True)
    def _nothing_in_it(self, request: pytest.FixtureRequest) -> None:
        self.prefix = f"case-{abs(hash(request.node.name))}"  # some live on one server, some on the other
