"""The server: how it is reached, and what its errors become."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.exceptions import RedisClusterException  # no RedisError
from redis.retry import Retry

from durable_core.errors import ConfigurationError, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ACL = "Its ACL denies a command or a key: the README of durable-redis-queue lists what is needed."
HINTS = {  # what an error's text or type has in it: what to do
    "used memory > 'maxmemory'": "It is full: raise its maxmemory, or find out what else fills it.",
    "NoPermissionError": ACL,
    "NOPERM": ACL,
    "ACL failure": ACL,
    "can't run this command": ACL,
    "READONLY": "It is a replica: name the primary.",
    "ReadOnlyError": "It is a replica: name the primary.",
    "MISCONF": "It cannot save to its disk, and takes no writes until it can.",
    "MovedError": "It is part of a cluster: set cluster=True.",
    "MOVED ": "It is part of a cluster: set cluster=True.",
    "Cluster mode is not enabled": "It is no cluster: set cluster=False.",
    "AuthenticationError": "Check username and password.",
    "CERTIFICATE_VERIFY_FAILED": "Name its CA in ssl_ca_certs, and a host that its certificate is made out to.",
    "unknown command": "Redis 6.2 or newer is needed, or Valkey.",
    "Unknown Redis command": "Redis 6.2 or newer is needed, or Valkey.",
}


class Server:
    """One Redis or Valkey, or a cluster; made without touching the network.

    *settings* are keywords of redis-py's connections. Each process makes its own client, so a child of a fork has no
    part in its parent's sockets and locks.
    """

    def __init__(
        self, url: str, *, cluster: bool, username: str | None, password: str | None, settings: Mapping[str, Any]
    ) -> None:
        parse: Any = parse_url  # redis-py gives it no type
        try:
            place: dict[str, Any] = parse(url)
        except ValueError:
            # Its message may quote a part of the password, where a "/" in that was not escaped.
            place = {}
        if not place or (cluster and "path" in place):
            form = "redis://host:6379/0 or rediss://host:6379/0" + ("" if cluster else ", or unix:///path?db=0")
            raise ConfigurationError(f"url of the Redis queue must look like {form}; escape what is special in it")
        if cluster and place.get("db"):
            raise ConfigurationError("a Redis cluster has no databases but 0: leave the number out of the url")
        for name, option in (("username", username), ("password", password)):
            if option is not None and name in place:
                raise ConfigurationError(f"the {name} of the Redis queue stands in its url and in its options")
        is_tls = url.startswith("rediss://")
        if surplus := [] if is_tls else [name for name in settings if name.startswith("ssl_")]:
            raise ConfigurationError(f"{', '.join(surplus)}: for TLS, the url of the Redis queue begins with rediss://")
        if is_tls:
            settings = {"ssl_check_hostname": True, **settings}  # older versions of redis-py do not by themselves
        given = {"username": username, "password": password}
        given = {name: value for name, value in given.items() if value is not None}
        self._url = url
        self._is_cluster = cluster
        self._settings = {
            **settings,
            **given,
            "decode_responses": True,
            "encoding_errors": "backslashreplace",  # what strangers wrote must not raise
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        # A connection that broke is made again at once; more than that is for the caller to decide.
        self._repeat: Retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
        self._secret = str(password or place.get("password") or "")
        self.name = _shown(url.split(":", 1)[0], {**place, **given})
        self._own = _Own()

    def run(self, script: str, key: str, args: Sequence[str | int] = (), *, repeatable: bool = True) -> Any:
        """What a script answers. One that is not *repeatable* is not sent again when its reply was lost."""
        with self.reached():
            client, scripts = self._client()
            if script not in scripts:
                scripts[script] = client.register_script(script)

            def call() -> Any:
                return scripts[script](keys=[key], args=args)

            return self._repeat.call_with_retry(call, lambda _: None) if repeatable else call()

    def node(self, key: str) -> Any:
        """A client of the very server that has *key*."""
        client, _ = self._client()
        if self._is_cluster:
            return client.get_redis_connection(client.get_node_from_key(key))
        return client

    def connection(self, key: str) -> Any:
        """A connection of the caller's own to the server that has *key*; the caller disconnects it."""
        connection = self.node(key).connection_pool.make_connection()
        connection.connect()
        return connection

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Errors of the driver come out as `QueueUnavailable`, without the password."""
        try:
            yield
        except (redis.RedisError, RedisClusterException, OSError) as error:
            refused = isinstance(error, redis.ResponseError)
            raise QueueUnavailable(f"Redis at {self.name}: {self.told(error)}", refused=refused) from error

    def told(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        if self._secret:
            for form in (self._secret, quote(self._secret, safe="")):
                text = text.replace(form, "***")
        signs = f"{type(error).__name__} {text}"
        hint = next((hint for sign, hint in HINTS.items() if sign in signs), "")
        return f"{text.rstrip('.')}. {hint}".rstrip()

    def _client(self) -> tuple[Any, dict[str, Any]]:
        """A client, and the scripts that it knows."""
        own = self._own
        if own.process != os.getpid():
            own = self._own = _Own()
        with own.lock:
            if own.client is None:
                make: Any = RedisCluster if self._is_cluster else redis.Redis
                own.client = make.from_url(self._url, **self._settings)
            return own.client, own.scripts


class _Own:
    """What one process has. The lock may be held by another thread at the moment of a fork, so it is replaced too."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.client: Any = None
        self.scripts: dict[str, Any] = {}


def _shown(scheme: str, place: Mapping[str, Any]) -> str:
    """The url without its password."""
    who = str(place.get("username") or "")
    if place.get("password"):
        who += ":***"
    who = f"{who}@" if who else ""
    if "path" in place:
        return f"{scheme}://{who}{place['path']}?db={place.get('db', 0)}"
    return f"{scheme}://{who}{place.get('host', 'localhost')}:{place.get('port', 6379)}/{place.get('db', 0)}"
