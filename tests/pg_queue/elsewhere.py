"""Postgres queues as another process makes them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from django.db import connections

from django_durable.store import DjangoHistoryStore
from durable_pg_queue import PostgresTaskQueue
from tests.store.databases import registered

_until_the_end = ExitStack()


def joined(*, settings: dict[str, Any], **options: Any) -> PostgresTaskQueue:
    """In the store's database. As with any Django, connections are closed before a fork."""
    alias = _until_the_end.enter_context(registered(settings))
    os.register_at_fork(before=connections.close_all)
    return PostgresTaskQueue(connection=DjangoHistoryStore(alias).connection(), **options)


def apart(*, url: str, **options: Any) -> PostgresTaskQueue:
    """In a database of its own. Nothing is done for a fork: that is the queue's own affair."""
    return PostgresTaskQueue(url, **options)
