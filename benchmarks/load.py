"""Workflows offered at a steady pace, by a process of its own, whether or not anybody keeps up."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event
    from uuid import UUID

# Of a hundred starts. A parent has a child, which is a run too.
MIX = {"one_activity": 80, "sequence": 8, "naps": 5, "answered": 4, "parent": 2, "retried": 1}
GIVEN: dict[str, dict[str, Any]] = {"sequence": {"n": 3}, "naps": {"seconds": 1}, "answered": {"patience": 600}}
RUNS_PER_START = 1 + MIX["parent"] / sum(MIX.values())
DECK = [name for name, cards in MIX.items() for _ in range(cards)]  # the order of starts, again and again
random.Random(1).shuffle(DECK)
ANSWER_AFTER = 2.0  # seconds
PAUSE = 0.01  # seconds between two looks at the clock; what is due then is one transaction
AT_ONCE = 10  # starts in one transaction: a run waits for its end before anybody sees it


@dataclass(frozen=True, kw_only=True)
class Plan:
    starts: int
    per_second: float


def offer(plan: Plan, offered: Synchronized[int], stop: Event) -> None:
    """Start what is planned and answer those who ask; runs in a fresh process. *offered* counts the starts."""
    import django

    django.setup()
    from django.db import connections, transaction

    from django_durable import send_signal, start_workflow

    asking: deque[tuple[float, UUID]] = deque()
    begun = time.monotonic()
    started = 0
    try:
        while (started < plan.starts or asking) and not stop.is_set():
            now = time.monotonic()
            due = min(int((now - begun) * plan.per_second), plan.starts, started + AT_ONCE)
            with transaction.atomic():
                for number in range(started, due):
                    name = DECK[number % len(DECK)]
                    handle = start_workflow(name, **GIVEN.get(name, {}))
                    if name == "answered":
                        asking.append((now + ANSWER_AFTER, handle.id))
                while asking and asking[0][0] <= now:
                    send_signal(asking.popleft()[1], "answer", now)
            started = due
            offered.value = started
            if started >= int((time.monotonic() - begun) * plan.per_second):
                stop.wait(PAUSE)
    finally:
        connections.close_all()
