"""The other side of tests/core/test_process_executor.py: a process with these activities, and no Django."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from durable_core.activity import activity_heartbeat, current_activity
from durable_core.definitions import Registry
from durable_core.errors import ActivityCanceled, CompleteLater, StoreUnavailable
from durable_core.retry import RetryPolicy
from durable_core.worker.serving import Workshop, serve

registry = Registry()
process = registry.activity(executor="process")


def command(function: str = "main") -> list[str]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from tests.core.process_child import {function}; {function}()"
    return [sys.executable, "-c", code]


def main() -> None:
    serve(lambda: Workshop(registry, 1000, {}, lambda: None))


def broken() -> None:
    settings: dict[str, Any] = {}
    serve(lambda: Workshop(registry, 1000, settings["settings"], lambda: None))


def silent() -> None:
    sys.exit(5)


@process
def add(a: int, b: int = 1) -> int:
    return a + b


@process
def pid() -> int:
    return os.getpid()


@process
def knows() -> list[Any]:
    """What it is told of itself."""
    current = current_activity()
    told = [str(current.id), str(current.execution_id), current.name, current.attempt]
    return [*told, current.idempotency_key, current.heartbeat_details, threading.current_thread().name]


@process
def fails() -> None:
    try:
        raise KeyError("cause")
    except KeyError as cause:
        error = ValueError("no \ud800")
        error.next_retry_delay = 5  # type: ignore[attr-defined]
        raise error from cause


@registry.activity(executor="process", retry_policy=RetryPolicy(retry_if=lambda error: "again" in str(error)))
def fails_with(text: str) -> None:
    raise ValueError(text)


@process
def unstorable() -> object:
    return object()


@process
def too_long() -> str:
    return "x" * 2000


@process
def exits() -> None:
    sys.exit(2)


@process
def interrupts_itself() -> None:
    raise KeyboardInterrupt


@process
def short_of_memory() -> None:
    raise MemoryError


@process
def deaf() -> None:
    with suppress(ActivityCanceled):
        activity_heartbeat(os.getpid())
    threading.Event().wait()


@process
def polite() -> None:
    activity_heartbeat(os.getpid())
    while True:
        activity_heartbeat()
        time.sleep(0.001)


@process
def beats() -> bool:
    activity_heartbeat()
    return True


@process
def looks_only() -> bool:
    with suppress(ActivityCanceled):  # it may come while this is said
        activity_heartbeat("begun")
    while not current_activity().canceled:
        time.sleep(0.001)
    try:
        activity_heartbeat()
    except ActivityCanceled:
        return True
    return False


@process
def dies(how: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), 9)
        case "garbage":
            os.write(int(sys.argv[-2]), b"\0\0\0\2{}")
            threading.Event().wait()
        case "forked":  # and what is left holds the pipe open
            if os.fork() == 0:
                os.setsid()
                time.sleep(5)
            os._exit(3)


@process
def publishes() -> None:
    current_activity().publish("a")
    current_activity().publish({"b": 1}, stream="other", number=4)


@process
def left(seconds: float, *, is_given_away: bool = True) -> str:
    if is_given_away:
        try:
            current_activity().completion_token(seconds)
        except StoreUnavailable:
            return "away"
    raise CompleteLater
