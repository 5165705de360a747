"""Activities of the scenarios. Each says in its ledger what it did."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from django_durable import RetryPolicy, activity_heartbeat, current_activity, register

from . import ledger

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
def gated(key: str, value: Any = None) -> Any:
    """Its effect happens first, then it waits for the test."""
    ledger.note(key, f"attempt {current_activity().attempt}")
    ledger.pass_gate(key)
    return value


@register.activity(retry_policy=ONCE)
def fails(message: str = "boom", kind: str = "ValueError") -> None:
    raise {"ValueError": ValueError, "KeyError": KeyError, "SystemExit": SystemExit}[kind](message)


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
