from __future__ import annotations

import os
import signal
import threading
from typing import Any

from django_durable import RetryPolicy, current_activity, register, send_signal
from tests.project.app.models import Order

ONCE = RetryPolicy(maximum_attempts=1)


@register.activity
def place_order(number: str) -> int:
    return Order.objects.create(number=number).pk


@register.activity(retry_policy=ONCE)
def pay_order(number: str) -> None:
    """Fails on a number that is taken: a database error, which breaks a transaction on Postgres."""
    Order.objects.create(number=number, paid=True)


@register.activity(retry_policy=ONCE, transactional=True)
def book_order(number: str, fails: bool = False) -> str:
    Order.objects.create(number=number)
    if fails:
        raise ValueError("behind what it wrote")
    return number


@register.activity(queue="elsewhere")
def ship_order(number: str) -> str:
    return f"{number} is on its way"


@register.activity(retry_policy=RetryPolicy(maximum_attempts=3, initial_interval=0.05))
def flaky(fails: int) -> int:
    attempt = current_activity().attempt
    if attempt <= fails:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


@register.activity(retry_policy=ONCE)
def decline(reason: str) -> None:
    raise ValueError(reason)


@register.activity
def approve(execution_id: str, payload: Any) -> None:
    send_signal(execution_id, "approved", payload)


@register.activity
def where_am_i() -> list[int]:
    return [os.getpid(), threading.get_ident()]


@register.activity(retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=0.01))
def kill_worker_once() -> int:
    attempt = current_activity().attempt
    if attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt
