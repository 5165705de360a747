"""Activities whose writes commit with their outcome. Each leaves orders, whose numbers begin with its key."""

from __future__ import annotations

from contextlib import suppress

from django_durable import current_activity, register, start_workflow
from tests.project.app.models import Order

from . import ledger
from .durable_activities import ERRORS, QUICK_RETRY


def write_order(key: str) -> None:
    """A row for this attempt: a second one by the same attempt would be another row too."""
    number = Order.objects.filter(number__startswith=key).count()
    Order.objects.create(number=f"{key}-{number}-{current_activity().attempt}")


@register.activity(retry_policy=QUICK_RETRY, transactional=True)
def orders(key: str) -> int:
    write_order(key)
    return current_activity().attempt


@register.activity(retry_policy=QUICK_RETRY, transactional=True)
def orders_and_starts(key: str, fails_at: int = 0, error: str = "ValueError") -> int:
    """A row and a run: both, or neither."""
    attempt = current_activity().attempt
    write_order(key)
    start_workflow("returns", value=key)
    if attempt <= fails_at:
        raise ERRORS[error]("behind what it wrote")
    return attempt


@register.activity(retry_policy=QUICK_RETRY, transactional=True)
def orders_the_unstorable(key: str) -> object:
    write_order(key)
    return {1, 2}


@register.activity(retry_policy=QUICK_RETRY, transactional=True, start_to_close=0.2)
def orders_too_slowly(key: str) -> str:
    """The first attempt cannot be stopped, and comes to its end long after the second."""
    attempt = current_activity().attempt
    write_order(key)
    ledger.note(key, f"{attempt} has written")
    while attempt == 1 and not ledger.is_open(key):
        with suppress(BaseException):
            ledger.pass_gate(key)
    return f"attempt {attempt}"


@register.activity(retry_policy=QUICK_RETRY, transactional=True)
def pays_both(key: str, first: int, second: int) -> int:
    """Two of these lock each other's rows; the database undoes one."""
    Order.objects.filter(pk=first).update(paid=True)
    ledger.note(key, str(first))
    if len(ledger.effects(key)) < 3:
        while len(ledger.effects(key)) < 2:
            pass
    Order.objects.filter(pk=second).update(paid=True)
    return current_activity().attempt


@register.workflow
def buys(ctx, key):
    return [ctx.run_activity(orders, f"{key}-1"), ctx.run_activity(orders, f"{key}-2")]


@register.workflow
def pays_at_once(ctx, key, first, second):
    ways = [ctx.start_activity(pays_both, key, first, second), ctx.start_activity(pays_both, key, second, first)]
    return ctx.gather(*ways)
