"""Activities in processes of their own, and a workflow that runs one beside an ordinary one."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import resource
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from django_durable import CompleteLater, activity_heartbeat, current_activity, register
from django_durable.conf import conf
from django_durable.models import ActivityTask

from . import ledger
from .durable_activities import ONCE, QUICK_RETRY, echo


@register.activity(executor="process", retry_policy=ONCE)
def own_row_in_a_process() -> list[Any]:
    """What the database says about this very attempt, while it runs, and where that is."""
    row = ActivityTask.objects.using(conf().database).get(pk=current_activity().id)
    return [row.status, row.attempt, os.getppid(), os.getpgrp() == os.getpid()]


@register.activity(executor="process", retry_policy=ONCE)
def sees_settings() -> list[Any]:
    return [str(connection.settings_dict["NAME"]), sys.path, logging.getLogger("durable").getEffectiveLevel()]


@register.activity(executor="process", retry_policy=QUICK_RETRY)
def spins_in_a_process(key: str) -> int:
    """In C, without ever letting go of the interpreter; the second attempt returns. It has started a program, too."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if ledger.note(key, f"{os.getpgrp()} {program.pid}") < 2:
        re.match(r"(a+)+$", "a" * 64 + "b")
    program.kill()
    return current_activity().attempt


@register.activity(executor="process", retry_policy=QUICK_RETRY)
def takes_too_much_memory(key: str) -> int:
    if ledger.note(key) == 1:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
        bytearray(1 << 30)
    bytearray(1 << 28)  # what limited the last one is gone with it
    return current_activity().attempt


@register.activity(executor="process", retry_policy=QUICK_RETRY)
def dies_with_details(key: str) -> Any:
    current = current_activity()
    for number in range(3):
        current.publish(number)
    if ledger.note(key, current.idempotency_key) == 1:
        activity_heartbeat({"row": 7})
        ledger.pass_gate(key)
        os._exit(1)
    return [current.attempt, current.heartbeat_details]


@register.activity(executor="process", retry_policy=QUICK_RETRY, heartbeat_timeout=2)
def silent_in_a_process(key: str) -> int:
    if ledger.note(key) == 1:
        re.match(r"(a+)+$", "a" * 64 + "b")
    return current_activity().attempt


@register.activity(executor="process", retry_policy=QUICK_RETRY)
def beats_in_a_process(key: str) -> None:
    """For ever; how it was left is an effect of its own."""
    ledger.note(key)
    try:
        while True:
            activity_heartbeat()
            time.sleep(0.01)
    except BaseException as error:
        ledger.note(key, type(error).__name__)
        raise


@register.activity(executor="process", retry_policy=QUICK_RETRY)
def gated_in_a_process(key: str, gate: str, value: Any = None) -> Any:
    ledger.note(key, f"attempt {current_activity().attempt}")
    ledger.pass_gate(gate)
    return value


@register.activity(executor="process")
def always_crashes(key: str) -> None:
    ledger.note(key)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@register.activity(executor="process", retry_policy=ONCE)
def left_to_others(key: str) -> None:
    ledger.note(key, current_activity().completion_token(60))
    raise CompleteLater


@register.activity(executor="process", retry_policy=ONCE)
def half_in_a_process(amount: Decimal, when: date) -> Decimal:
    assert type(when) is date
    print("half of it, said", flush=True)
    return amount / 2


@register.workflow
def runs_in_processes(ctx, name, args=(), n=1):
    return ctx.gather(*[ctx.start_activity(name, *args) for _ in range(n)])


@register.workflow
def halves(ctx) -> list[Any]:
    half = ctx.run_activity(half_in_a_process, Decimal("3.50"), date(2026, 1, 2))
    return [str(half), type(half).__name__]


@register.workflow
def spins_beside(ctx, key):
    spinning = ctx.start_activity(spins_in_a_process.using(start_to_close=1), key)
    beside = [ctx.run_activity(echo, number) for number in range(5)]
    ledger.note(f"{key}-beside")
    return [beside, ctx.wait(spinning)]
