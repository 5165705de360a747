"""Ids of everything that is kept."""

from __future__ import annotations

import os
from contextlib import contextmanager
from random import Random
from time import time_ns
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): sorted by its time of birth, so that indexes grow at one end.

    Its 12 bits behind the milliseconds are their fraction (the RFC's method 3), about 0.25 us.
    """
    millis, rest = divmod(_clock(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = _entropy.getrandbits(62)
    return UUID(int=(millis & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


@contextmanager
def ids_from(clock: Callable[[], int], entropy: Random) -> Iterator[None]:
    """New ids of this process are made of these, for a simulation that is to be repeatable. *clock*: nanoseconds."""
    global _clock, _entropy
    before = _clock, _entropy
    _clock, _entropy = clock, entropy
    try:
        yield
    finally:
        _clock, _entropy = before


_clock: Callable[[], int] = time_ns
# A generator of our own: a project may seed the global one. A child process must not go on with its parent's.
_entropy = Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _entropy.seed(os.urandom(32)))


def human_task_id_of(run_id: UUID, call_id: str) -> UUID:
    """Of the question that a run asks by a call: the same, in the same way."""
    return uuid5(run_id, f"ask {call_id}")


def child_id_of(run_id: UUID, call_id: str) -> UUID:
    """Of the child that a run starts by a call: a replay, or a second worker, can only mean the same one."""
    return uuid5(run_id, call_id)
