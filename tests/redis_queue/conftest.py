"""One Redis for all processes of a run; each test has keys of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durable_redis_queue import RedisTaskQueue
from tests.redis_servers import Client, PrivateServer, RedisServer, private_server, redis_server
from tests.servers import run_directory


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(shared=run_directory(tmp_path_factory)) as server:
        yield server


@pytest.fixture
def prefix(server: RedisServer) -> Iterator[str]:
    with server.namespace() as prefix:
        yield prefix


@pytest.fixture
def queue(server: RedisServer, prefix: str) -> RedisTaskQueue:
    return RedisTaskQueue(server.url, prefix=prefix)


@pytest.fixture
def client(server: RedisServer) -> Iterator[Client]:
    """For looking at what the queue has written, and for meddling with it."""
    with server.client(encoding_errors="replace") as client:
        yield client


@pytest.fixture
def own() -> Iterator[PrivateServer]:
    """A server to be harmed."""
    with private_server() as server:
        yield server
