"""Activities of the scenarios. Each says in its ledger what it did."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from django.db import OperationalError, connection

from django_durable import CompleteLater, RetryPolicy, activity_heartbeat, current_activity, register
from django_durable.models import ActivityTask

from . import ledger
from .release import CODE

QUICK_RETRY = RetryPolicy(initial_interval=0.01, maximum_interval=0.05)
ONCE = RetryPolicy(maximum_attempts=1)


@register.activity(retry_policy=QUICK_RETRY)
def echo(value: Any) -> Any:
    return value


@register.activity(retry_policy=QUICK_RETRY)
def effect(key: str, value: Any = None) -> Any:
    ledger.note(key, str(value))
    return value


@register.activity(retry_policy=QUICK_RETRY)
def effect_anew(key: str, value: Any = None) -> Any:
    """What a newer release calls instead."""
    ledger.note(key, str(value))
    return value


@register.activity(retry_policy=QUICK_RETRY)
def gated(key: str, value: Any = None) -> Any:
    """Its effect happens first, then it waits for the test."""
    ledger.note(key, f"attempt {current_activity().attempt}")
    ledger.pass_gate(key)
    return value


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class TryLater(Exception):
    """A service that says when to come back."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.next_retry_delay = 500


ERRORS = {
    error.__name__: error
    for error in (
        *(ValueError, KeyError, SystemExit, KeyboardInterrupt, GeneratorExit, Unspeakable, TryLater),
        OperationalError,
    )
}


@register.activity(retry_policy=ONCE)
def fails(message: str = "boom", kind: str = "ValueError") -> None:
    try:
        raise ConnectionError("the first cause")
    except ConnectionError as cause:
        raise ERRORS[kind](message) from cause


@register.activity(retry_policy=ONCE)
def fails_at_length(length: int) -> None:
    raise ValueError("x" * length)


@register.activity(retry_policy=RetryPolicy(maximum_attempts=0, retry_if=lambda error: "again" in str(error)))
def fails_if_asked(key: str, message: str) -> None:
    ledger.note(key)
    raise ValueError(message)


@register.activity(retry_policy=ONCE)
def plain_types() -> object:
    return (1, {2: "x", None: ()})


@register.activity(retry_policy=QUICK_RETRY)
def own_row() -> list[object]:
    """What the database says about this very attempt, while it runs."""
    me = current_activity()
    row = ActivityTask.objects.get(pk=me.id)
    return [row.status, row.attempt, me.attempt, str(me.execution_id) == str(row.execution_id)]


@register.activity(retry_policy=QUICK_RETRY)
def looks_around() -> dict[str, bool]:
    """What it finds of the thread's connection, before it uses it."""
    found = {"connected": connection.connection is not None, "in_atomic_block": connection.in_atomic_block}
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return found


@register.activity(retry_policy=ONCE)
def breaks_its_connection() -> str:
    """Leaves the thread with a connection that is dead."""
    connection.ensure_connection()
    connection.connection.close()  # behind Django's back
    return "broken"


@register.activity(retry_policy=ONCE)
def will_not_stop(key: str) -> None:
    """Ignores every interruption, until the test opens its gate."""
    ledger.note(key, "begun")
    while not ledger.is_open(key):
        with suppress(BaseException):
            time.sleep(0.01)
    ledger.note(key, "ended")


@register.activity(retry_policy=QUICK_RETRY)
def outlives_its_limit(key: str) -> str:
    """The first attempt comes back with a result long after another was begun."""
    attempt = current_activity().attempt
    if attempt == 1:
        ledger.note(key, "1 begun")
        ledger.pass_gate(f"{key}-1")
        ledger.note(key, "1 ended")
        return "stale"
    ledger.note(key, f"{attempt} begun")
    ledger.pass_gate(f"{key}-2")
    return "current"


if CODE >= 2:

    @register.activity(retry_policy=ONCE)
    def new_activity() -> str:
        """What workers of the release before do not have."""
        return "new"


@register.activity(retry_policy=QUICK_RETRY)
def fails_before(key: str, successes_at: int) -> int:
    """Succeeds at this attempt."""
    count = ledger.note(key)
    if count < successes_at:
        raise ConnectionError(f"attempt {count}")
    return count


@register.activity(retry_policy=RetryPolicy(maximum_attempts=3, initial_interval=0.01))
def exits(key: str, how: str) -> None:
    ledger.note(key)
    if how == "sys.exit":
        sys.exit(3)
    if how == "os._exit":
        os._exit(3)
    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise KeyboardInterrupt


@register.activity(retry_policy=QUICK_RETRY)
def dies_once(key: str) -> int:
    count = ledger.note(key)
    if count == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return current_activity().attempt


@register.activity(retry_policy=ONCE)
def spins_on(key: str) -> None:
    """Says what stopped it."""
    ledger.note(key, "begun")
    try:
        while True:
            time.sleep(0.005)
    except BaseException as error:
        ledger.note(key, type(error).__name__)
        raise


@register.activity(retry_policy=QUICK_RETRY)
def unserialisable(key: str) -> object:
    ledger.note(key)
    return {"bad": {1, 2}}


@register.activity(retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01), start_to_close=0.3)
def spins(key: str) -> None:
    """Runs past its start_to_close, in Python code."""
    ledger.note(key)
    while True:
        time.sleep(0.005)


@register.activity(retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01), heartbeat_timeout=0.4)
def silent(key: str) -> str:
    """Forgets its heartbeats in the first attempt only."""
    first = ledger.note(key) == 1
    if first:
        activity_heartbeat({"at": 7})
        ledger.pass_gate(key)
    return f"{current_activity().heartbeat_details}"


@register.activity(retry_policy=ONCE)
def votes(key: str) -> str:
    """What the test has noted for it: yes or no; it waits for that."""
    while True:
        activity_heartbeat()
        for line in ledger.effects(key):
            if line.endswith("no"):
                raise ValueError("no")
            return key
        time.sleep(0.01)


@register.activity(retry_policy=QUICK_RETRY)
def heartbeats_until_canceled(key: str) -> None:
    ledger.note(key, "begun")
    while True:
        try:
            activity_heartbeat({"alive": True})
        except Exception as error:
            ledger.note(key, type(error).__name__)
            raise
        time.sleep(0.01)


@register.activity(retry_policy=QUICK_RETRY)
def asks_others(key: str, expires: float = 3600, dies_first: bool = False) -> None:
    """Whoever reads the ledger may complete it."""
    ledger.note(key, current_activity().completion_token(expires))
    if dies_first and current_activity().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    raise CompleteLater
