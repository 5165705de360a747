"""A pooler of transactions, as PgBouncer is one: each transaction of a client goes to the next connection in turn.

Speaks just enough of the protocol to tell where a transaction ends. Notifications are not for anybody, as with
PgBouncer: they arrive at a connection that is nobody's just then.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from tests.servers import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT = 6432
SIZE = 3  # connections to the server


class _Lost(Exception):
    """The other side has closed."""


class Pooler:
    def __init__(self, server: Postgres, directory: Path) -> None:
        self.transactions = 0
        self.address = Postgres(
            host=str(directory), port=PORT, user=server.user, password=server.password, name=server.name
        )
        self._raws: list[psycopg.Connection[Any]] = [psycopg.connect(server.url, autocommit=True) for _ in range(SIZE)]
        self._turn = threading.Lock()  # one transaction at a time is enough
        self._clients: list[socket.socket] = []
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(directory / f".s.PGSQL.{PORT}"))
        self._door.listen()
        self._threads = [threading.Thread(target=self._welcome, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return self.address.url

    def close(self) -> None:
        for open_socket in (self._door, *self._clients):
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for open_socket in (self._door, *self._clients):
            open_socket.close()
        for raw in self._raws:
            raw.close()

    def _welcome(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=[client], daemon=True))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(_Lost, OSError):
            (length,) = struct.unpack("!I", _exactly(client, 4))
            _exactly(client, length - 4)  # version and parameters; everybody may come in
            client.sendall(_message(b"R", b"\0\0\0\0"))
            for name, value in (("server_version", "15.0"), ("client_encoding", "UTF8"), ("TimeZone", "UTC")):
                client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            client.sendall(_message(b"K", b"\0\0\0\1\0\0\0\1") + _message(b"Z", b"I"))
            while True:
                first = _read(client)
                if first[:1] == b"X":
                    return
                with self._turn:
                    self._raws.append(self._raws.pop(0))
                    self.transactions += 1
                    self._transaction(client, first)

    def _transaction(self, client: socket.socket, message: bytes) -> None:
        raw = self._raws[0]
        with socket.socket(fileno=socket.dup(raw.fileno())) as backend:
            backend.setblocking(True)
            while True:
                backend.sendall(message)
                if message[:1] in (b"Q", b"S") and _relay(backend, client) == b"I":
                    return
                message = _read(client)


def _relay(backend: socket.socket, client: socket.socket) -> bytes:
    """Pass on what the server answers; returns the state of the transaction."""
    while True:
        message = _read(backend)
        if message[:1] != b"A":
            client.sendall(message)
        if message[:1] == b"Z":
            return message[5:]


def _read(end: socket.socket) -> bytes:
    head = _exactly(end, 5)
    return head + _exactly(end, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(end: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = end.recv(count - len(parts))
        if not part:
            raise _Lost
        parts += part
    return parts


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


@contextmanager
def pooler(server: Postgres, directory: Path) -> Iterator[Pooler]:
    running = Pooler(server, directory)
    try:
        yield running
    finally:
        running.close()
