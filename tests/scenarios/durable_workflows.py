"""Workflows of the scenarios: each is as small as what it shows."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from django_durable import (
    ActivityError,
    PayloadError,
    RetryPolicy,
    SideEffectError,
    UnknownActivityError,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowError,
    register,
)

from . import (  # noqa: F401 - registers more
    asking_workflows,
    async_activities,
    async_workflows,
    audited_workflows,
    canceling_workflows,
    composed_workflows,
    continued_workflows,
    crash_workflows,
    deployed_workflows,
    language_workflows,
    ledger,
    lived_workflows,
    local_workflows,
    messaged_workflows,
    process_activities,
    saga_workflows,
    sealed_workflows,
    telling_workflows,
    transactional_workflows,
    tree_workflows,
    typed_workflows,
)
from .durable_activities import (
    ERRORS,
    echo,
    effect,
    fails,
    gated,
    heartbeats_until_canceled,
    plain_types,
)


@register.workflow
def echoes(ctx, value=None):
    return ctx.run_activity(echo, value)


@register.workflow
def returns(ctx, value=None):
    return value


@register.workflow
def sequence(ctx, n):
    total = 0
    for number in range(n):
        total += ctx.run_activity(echo, number)
    return total


@register.workflow
def onboarding(ctx, key):
    """One of everything that the README promises."""
    welcome = ctx.run_activity(effect, f"{key}-welcome", "hello")
    ctx.sleep(0.05)
    clicked = ctx.wait_signal("clicked")
    last = ctx.run_activity(gated, f"{key}-gated", clicked)
    return [welcome, last]


# Values


@register.workflow
def same_values(ctx, key):
    """Notes what it gets whenever it gets it, so that each replay leaves a line."""
    value = ctx.side_effect(lambda: (1, {2: "x", None: ()}))
    handle = ctx.start_activity(plain_types)
    result = ctx.wait_activity(handle)
    ledger.note(key, repr([value, result]))
    result.append("mine")
    again = ctx.wait_activity(handle)
    sent = ctx.wait_signal("go")
    ledger.note(f"{key}-end", repr([value, again, sent]))
    return [value, again, sent]


@register.workflow
def chance(ctx, key):
    values = [ctx.random().random(), str(ctx.uuid4()), ctx.side_effect(random.random), ctx.now().isoformat()]
    ledger.note(key, repr(values))
    ctx.wait_signal("go")
    return [*values, ctx.random().random()]


@register.workflow
def clock(ctx):
    """[time, time] before and behind a call that is no wait, at each of its steps."""

    def moment():
        before = ctx.now()
        ctx.side_effect(lambda: time.sleep(0.002))
        return [before.isoformat(), ctx.now().isoformat()]

    moments = [moment()]
    ctx.run_activity(echo, 1)
    moments.append(moment())
    ctx.sleep(0.02)
    moments.append(moment())
    ctx.wait_signal("go")
    moments.append(moment())
    return moments


@register.workflow
def late_activity(ctx, key, patience=0.1):
    """Gives up a wait, and comes back to it."""
    handle = ctx.start_activity(gated, key, "late")
    try:
        first = ctx.wait_activity(handle, timeout=patience)
    except WaitTimeout:
        first = "timeout"
    go = ctx.wait_signal("go")
    return [first, go, ctx.wait_activity(handle)]


@register.workflow
def waits_for_answer(ctx, patience=None, name="answer"):
    try:
        return ["answer", ctx.wait_signal(name, timeout=patience)]
    except WaitTimeout as error:
        return ["timeout", str(error)]


@register.workflow
def sleeps(ctx, seconds):
    ctx.sleep(seconds)
    return "awake"


@register.workflow
def collects(ctx, names):
    """The payloads of these signals, one wait for each."""
    return [ctx.wait_signal(name) for name in names]


@register.workflow
def many_side_effects(ctx, n):
    for _ in range(n):
        ctx.side_effect(lambda: 0)
    return n


@register.workflow
def failing_side_effect(ctx):
    try:
        ctx.side_effect(lambda: 1 // 0)
    except SideEffectError as error:
        return [error.type_name, error.message]


@register.workflow
def logs(ctx, key):
    ctx.logger.warning("one line")
    ctx.run_activity(effect, key)
    ctx.wait_signal("go")
    ctx.logger.warning("the last line")


@register.workflow
def notes(ctx, key, text):
    ledger.note(key, text)


# Errors


@register.workflow
def raises(ctx, kind="ValueError", length=0):
    ctx.run_activity(echo, 1)
    try:
        raise KeyError("missing")
    except KeyError as cause:
        raise ERRORS[kind]("x" * length if length else "boom") from cause


@register.workflow
def raises_until_mended(ctx, key):
    ctx.run_activity(effect, key)
    if not ledger.is_open(key):
        raise RuntimeError("mend me")
    return "mended"


@register.workflow
def hands_over(ctx, what):
    """What happens at the call when arguments cannot be stored, or do not fit."""
    cycle: list[Any] = []
    cycle.append(cycle)
    bad = {"nan": float("nan"), "bytes": b"x", "cycle": cycle, "object": object(), "large": "x" * 1_000_001}
    try:
        match what:
            case "unknown":
                ctx.run_activity("ecko", 1)
            case "signature":
                ctx.run_activity(echo, 1, 2, three=3)
            case _:
                ctx.run_activity(echo, {"inside": [bad[what]]})
    except (PayloadError, UnknownActivityError, TypeError) as error:
        return [type(error).__name__, str(error)]


@register.workflow
def returns_bad(ctx, what):
    return {"set": {1, 2}, "nan": float("nan"), "bytes": b"x", "large": "x" * 1_000_001}[what]


@register.workflow
def careless(ctx, key):
    """Catches whatever it can, around each wait."""
    caught, value = [], None
    try:
        value = ctx.run_activity(effect, key, 7)
    except Exception as error:  # noqa: BLE001 - that is what is tested
        caught.append(repr(error))
    try:
        go = ctx.wait_signal("go")
    except:
        caught.append("bare")
        raise
    finally:
        caught.append("finally")
    return [value, go, caught]


# Activities


def _told(error):
    return {
        "class": type(error).__name__,
        "type_name": error.type_name,
        "bases": list(error.base_type_names),
        "message": error.message,
        "attempt": error.attempt,
        "kind": getattr(error, "kind", None),
        "cause": error.cause,
        "traceback": error.traceback,
    }


@register.workflow
def tries(ctx, name, args=(), policy=None, options=None):
    """One activity with these options; how it failed, if it did."""
    changes = dict(options or {})
    if policy is not None:
        changes["retry_policy"] = RetryPolicy(**policy)
    activity = register.find_activity(name)
    try:
        return {"result": ctx.run_activity(activity.using(**changes) if changes else activity, *args)}
    except ActivityError as error:
        return _told(error)


@register.workflow
def echo_gated(ctx, key):
    return ctx.run_activity(gated, key, 1)


@register.workflow
def kills_its_worker(ctx, key):
    ledger.note(key)
    os.kill(os.getpid(), signal.SIGKILL)


@register.workflow
def one_after_another(ctx, names):
    return [ctx.run_activity(name) for name in names]


@register.workflow
def two_failures(ctx):
    """Both are under way before either is waited for."""
    handles = [ctx.start_activity(fails, "one"), ctx.start_activity(fails, "two")]
    told = []
    for handle in handles:
        try:
            ctx.wait_activity(handle)
        except ActivityError as error:
            told.append(error.message)
    return told


# Cancellation


@register.workflow
def busy(ctx, key, elsewhere):
    """An activity that runs, one that is queued where no worker is, one that will be tried again tomorrow."""
    ctx.start_activity(heartbeats_until_canceled, key)
    ctx.start_activity(effect.using(queue=elsewhere), f"{key}-queued")
    ctx.start_activity(fails.using(retry_policy=RetryPolicy(initial_interval=50_000, maximum_interval=50_000)))
    ctx.wait_signal("never")


@register.workflow
def cleans_up(ctx, key, then="reraise"):
    try:
        ctx.wait_signal("go")
    except WorkflowCanceled as canceled:
        ctx.run_activity(effect, f"{key}-cleanup", canceled.reason)
        ctx.sleep(0.01)
        if then == "reraise":
            raise
        if then == "fail":
            raise ValueError("while cleaning up") from None
    else:
        try:
            ctx.run_activity(echo, "a wait behind the signal")
        except WorkflowCanceled:
            ctx.run_activity(effect, f"{key}-cleanup", "behind")
    return "cleaned"


@register.workflow
def shielded(ctx, key):
    with ctx.shield():
        ctx.run_activity(gated, key)
        ctx.run_activity(effect, f"{key}-inside")
    ctx.run_activity(effect, f"{key}-outside")


@register.workflow
def code_at_gate(ctx, key):
    """Its code, not an activity, waits for the test."""
    ledger.note(key)
    ledger.pass_gate(key)
    return ctx.wait_signal("go")


@register.workflow
def code_at_gates(ctx, key, waits):
    """Its code waits for the test before each of its waits, and before its end: it has read its mail by then."""
    told = []
    for number in range(waits):
        ledger.note(f"{key}-{number}")
        ledger.pass_gate(f"{key}-{number}")
        told.append(ctx.wait_signal("go"))
    ledger.note(f"{key}-end")
    ledger.pass_gate(f"{key}-end")
    return told


# Children


@register.workflow
def parent(ctx, child, given=None, options=None):
    definition = register.find_workflow(child).using(**(options or {}))
    try:
        return {"result": ctx.run_workflow(definition, **(given or {}))}
    except WorkflowError as error:
        return {"class": type(error).__name__, "message": str(error), "id": str(error.execution_id)}


@register.workflow
def late_parent(ctx):
    child = ctx.start_workflow("returns", value=7)
    ctx.wait_signal("go")
    return [ctx.wait_workflow(child), ctx.wait_workflow(child)]


@register.query(collects)
def names_of(execution, upper=False):
    names = ",".join(execution.input["names"])
    return names.upper() if upper else names
