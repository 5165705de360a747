"""Workflows and activities that are killed, paused and raced; what they do is in the ledger, in no transaction."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import time
from typing import Any

from django_durable import ActivityError, RetryPolicy, WaitTimeout, activity_heartbeat, current_activity, register

from . import ledger
from .release import CODE

AT_ONCE = RetryPolicy(initial_interval=0.01, maximum_interval=0.05)
FIXED = 3  # the code in which these are mended
TWICE = RetryPolicy(initial_interval=0.01, maximum_attempts=2)


@register.activity(retry_policy=AT_ONCE)
def mark(key: str, value: Any = None) -> Any:
    ledger.note(key, str(value))
    return value


@register.activity(retry_policy=AT_ONCE)
def falters(key: str, value: Any = None) -> Any:
    """Fails when it is called first, after its effect."""
    if ledger.note(key) == 1:
        raise ConnectionError("the first attempt always fails")
    return value


@register.activity(retry_policy=AT_ONCE)
def held(key: str, begun: str = "") -> int:
    """Waits for the test; answers which attempt it was."""
    ledger.note(key, f"attempt {current_activity().attempt}")
    ledger.pass_gate(key)
    return current_activity().attempt


@register.workflow
def marks(ctx, key):
    return ctx.run_activity(mark, key, 1)


@register.workflow
def everything(ctx, key):
    """One of each thing that can be in flight when a worker dies.

    Where there is one slot for activities, the second of them goes through the queue.
    """
    first, queued = ctx.start_activity(mark, f"{key}-first", 1), ctx.start_activity(mark, f"{key}-queued", 2)
    found = [ctx.wait_activity(first), ctx.wait_activity(queued)]
    found.append(ctx.run_activity(falters, f"{key}-falters", 3))
    ctx.sleep(0.05)
    ctx.set_event("stage", "waits")
    found.append(ctx.wait_signal("word"))
    ctx.set_event("stage", "goes on")
    ctx.publish("goes on")
    found.append(ctx.run_workflow(marks, key=f"{key}-child"))
    found.append(ctx.run_activity(mark, f"{key}-last", 4))
    return found


EVERYTHING = [1, 2, 3, "signaled", 1, 4]


@register.workflow
def decided_by_two(ctx, key):
    """Its code does not go on before two processes are at it: both then have a decision to commit."""
    ledger.meet(f"{key}-decided", 2)
    return [ctx.run_activity(mark, f"{key}-one", 1), ctx.run_activity(mark, f"{key}-two", 2)]


@register.workflow
def chain(ctx, key, n=5):
    """Steps of every kind that writes."""
    for number in range(n):
        ctx.run_activity(mark, key, number)
    ctx.sleep(0.01)
    return ctx.run_workflow(marks, key=f"{key}-child")


@register.workflow
def holds(ctx, key):
    """An activity that the test holds, and one behind it."""
    attempt = ctx.run_activity(held, key)
    ctx.run_activity(mark, f"{key}-after", attempt)
    return attempt


@register.workflow
def holds_one(ctx, key):
    return ctx.run_activity(held, key)


# Races


@register.workflow
def one_word(ctx):
    return ctx.wait_signal("word")


@register.workflow
def word_then_mark(ctx, key):
    return ctx.run_activity(mark, key, ctx.wait_signal("word"))


@register.activity(retry_policy=AT_ONCE)
def takes(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@register.workflow
def hurries(ctx, seconds):
    return ctx.run_activity(takes, seconds)


@register.activity(retry_policy=AT_ONCE)
def passes(key: str) -> str:
    """Waits for the test, and leaves word when it goes on."""
    ledger.pass_gate(key)
    ledger.note(f"{key}-passed")
    return "passed"


@register.workflow
def waits_at_gate(ctx, key):
    return ctx.run_activity(passes, key)


@register.workflow
def child_of_race(ctx):
    return ctx.wait_signal("word")


@register.workflow
def waits_for_child(ctx, patience):
    """Its child closes before, while or after it waits; its patience may end at that moment too."""
    child = ctx.start_workflow(child_of_race)
    ctx.wait_signal("go")
    try:
        return ctx.wait_workflow(child, timeout=patience)
    except WaitTimeout:
        return "patience"


# Poison


@register.activity(retry_policy=AT_ONCE)
def kills_its_worker(key: str) -> None:
    ledger.note(key)
    os.kill(os.getpid(), signal.SIGKILL)


@register.workflow
def poisoned(ctx, key):
    try:
        ctx.run_activity(kills_its_worker, key)
    except ActivityError as error:
        return error.type_name
    return "survived"


@register.workflow
def kills_in_code(ctx, key):
    ctx.run_activity(mark, f"{key}-before", 1)
    ctx.wait_signal("word")
    ledger.note(key)
    if CODE < FIXED:
        os.kill(os.getpid(), signal.SIGKILL)
    return "mended"


@register.workflow
def never_yields(ctx, key):
    ctx.run_activity(mark, f"{key}-before", 1)
    ledger.note(key)
    while CODE < FIXED:
        pass
    return "mended"


# Deaths of all kinds


@register.activity(retry_policy=TWICE)
def ends_badly(key: str, how: str) -> None:
    ledger.note(key, how)
    match how:
        case "sys.exit":
            sys.exit(3)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "BaseException":
            raise BaseException("of the user's own")
        case "os._exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)


@register.workflow
def outlives(ctx, key, how):
    try:
        ctx.run_activity(ends_badly, key, how)
    except ActivityError as error:
        return [error.type_name, error.attempt]
    return None


@register.activity(retry_policy=TWICE, start_to_close=0.3)
def overruns(key: str) -> None:
    ledger.note(key)
    try:
        while True:
            time.sleep(0.005)
    finally:
        ledger.note(f"{key}-interrupted")


@register.activity(retry_policy=TWICE, heartbeat_timeout=0.5)
def falls_silent(key: str) -> Any:
    if ledger.note(key) == 1:
        activity_heartbeat({"at": 7})
        ledger.pass_gate(key)
    return current_activity().heartbeat_details


@register.activity(retry_policy=AT_ONCE)
def keeps_busy(key: str, seconds: float) -> int:
    """Busy in Python, in as many threads as there are calls, without ever waiting."""
    ledger.note(key)
    deadline = time.monotonic() + seconds
    random.seed(0)
    while time.monotonic() < deadline:
        sum(random.random() for _ in range(1000))
    return current_activity().attempt


@register.workflow
def limited(ctx, name, args):
    try:
        return ctx.run_activity(name, *args)
    except ActivityError as error:
        return [type(error).__name__, getattr(error, "kind", None)]


@register.workflow
def busy_threads(ctx, key, threads, seconds):
    handles = [ctx.start_activity(keeps_busy, key, seconds) for _ in range(threads)]
    return [ctx.wait_activity(handle) for handle in handles]


# Rolling deploy: a process with code 1 was deployed before these were written


if CODE > 1:

    @register.activity(retry_policy=AT_ONCE)
    def newly_written(key: str) -> int:
        ledger.note(key)
        return current_activity().attempt

    @register.workflow
    def newly_written_workflow(ctx, key):
        return ctx.run_activity(mark, key, "new")


@register.workflow
def orders_newly_written(ctx, key, queue):
    """Old code that meets this behind its first step needs no more than the activity's name."""
    activity = newly_written.using(queue=queue) if CODE > 1 else "newly_written"
    return ctx.run_activity(activity, key)
