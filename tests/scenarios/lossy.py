"""A queue that loses every second entry it is given, and delivers every third twice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

from django_durable.queue import DatabaseTaskQueue
from durable_core.ports import Entry


class LossyQueue(DatabaseTaskQueue):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.transactional = False  # so the engine looks after what it has enqueued
        self._count = count()

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        for entry in entries:
            number = next(self._count)
            if number % 2:
                super().enqueue([entry] * (2 if number % 3 else 1), delay=delay)
