"""Backends as another process makes them, for the cases of the suites that start some."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from django.db import connections

from django_durable.queue import DatabaseTaskQueue
from tests.store.databases import registered

_until_the_end = ExitStack()


def database_queue(*, settings: dict[str, Any], lease: float, preference: float) -> DatabaseTaskQueue:
    """On the database of these settings. As with any Django, connections are closed before a fork."""
    alias = _until_the_end.enter_context(registered(settings))
    os.register_at_fork(before=connections.close_all)
    return DatabaseTaskQueue(alias, lease=timedelta(seconds=lease), preference=timedelta(seconds=preference))
