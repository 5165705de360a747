"""What a store shares of its database, without a store: a connection for each thread, and transactions on it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from durable_core.ports import StoreConnection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Connections:
    """Closed at the end of the block."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = threading.local()
        self._all: list[psycopg.Connection[Any]] = []

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_: object) -> None:
        for raw in self._all:
            raw.close()

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The calling thread's."""
        if not hasattr(self._own, "raw"):
            self._own.raw = psycopg.connect(self._url, autocommit=True, prepare_threshold=None)  # as Django's are
            self._all.append(self._own.raw)
        raw: psycopg.Connection[Any] = self._own.raw
        return raw

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with self.raw.transaction():
            yield self.raw

    @contextmanager
    def _use(self) -> Iterator[psycopg.Connection[Any]]:
        yield self.raw

    @property
    def shared(self) -> StoreConnection:
        return StoreConnection(
            vendor="postgresql", use=self._use, parameters=lambda: psycopg.conninfo.conninfo_to_dict(self._url)
        )
