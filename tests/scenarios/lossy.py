"""A queue that loses every second entry it is given, and delivers every third twice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

from django_durable.queue import DatabaseTaskQueue
from django_durable.store import base, mail, schedule
from durable_core.ports import Entry
from durable_core.worker import loop, runs

SOON = timedelta(seconds=0.4)
for module in (base, mail, schedule, loop, runs):
    module.REDELIVERY = SOON  # type: ignore[attr-defined] # so that a test need not wait 30 s


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
