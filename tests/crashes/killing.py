"""A run of everything, workers that die at a crash point, and what has happened twice for that."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from django_durable import send_signal
from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.scenarios.crash_workflows import EVERYTHING
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.sites import Site

# Only one worker at a time lives here, so nobody is there to take a slow one for dead.
IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
QUEUES_BESIDE = ("postgres-with-other-postgres", "postgres-with-redis", "sqlite-with-redis")  # not in the store

# How often each effect happens when no process dies.
EXACTLY = {"first": 1, "queued": 1, "falters": 2, "child": 1, "last": 1}
MOST_REPEATED = 2  # effects of one death: of an outcome that was in memory, and of the attempt that had its thread


def start_everything(site: Site, queue: str, key: str) -> Any:
    handle = site.start(site.on_queue("everything", queue), key=key)
    send_signal(handle, "word", "signaled")
    return handle


def crowd(queue: str) -> list[str]:
    return ["--queue-name", queue, "--threads", "1"]  # one slot: the second activity waits in the queue


def die_at(point: str, site: Site, queue: str) -> None:
    """A worker works until it comes to this place."""
    with site.project.worker(*crowd(queue), DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said


def die_at_or_be_done(point: str, site: Site, queue: str, handle: Any) -> bool:
    """Whether a worker died at this place; where there was too little left to do, it did not come there."""
    with site.project.worker(*crowd(queue), DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:

        def is_over() -> bool:
            return doomed.process.poll() is not None or site.execution(handle).status == "COMPLETED"

        wait_until(is_over, f"a death at {point}, or the end of the run")
        return doomed.process.poll() == -signal.SIGKILL


def end_well(site: Site, queue: str, handle: Any) -> None:
    with site.project.worker(*crowd(queue), durable=IMPATIENT):
        assert handle.result(timeout=30) == EVERYTHING
        assert_sound(site, handle)


def repeated(key: str) -> dict[str, int]:
    """How often each effect has happened beyond what it must."""
    more = {name: len(ledger.effects(f"{key}-{name}")) - times for name, times in EXACTLY.items()}
    assert min(more.values()) >= 0, more
    return more
