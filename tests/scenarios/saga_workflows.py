"""Workflows that undo what they have done."""

from __future__ import annotations

from django_durable import ActivityError, RetryPolicy, SagaError, register

from . import ledger
from .durable_activities import ONCE, QUICK_RETRY, fails, gated


@register.activity(retry_policy=QUICK_RETRY)
def books(key: str, what: str) -> str:
    ledger.note(key, f"books {what}")
    return f"{what}-number"


@register.activity(retry_policy=RetryPolicy(initial_interval=0.01, maximum_attempts=5))
def cancels_booking(key: str, number: str, fails_until: int = 0) -> None:
    count = ledger.note(f"{key}-{number}")
    if count < fails_until:
        raise ConnectionError(f"attempt {count}")
    ledger.note(key, f"cancels {number}")


@register.workflow
def books_a_journey(ctx, key, gate=None, fails_until=0):
    """The last step fails, or waits to be canceled."""

    def cancels(number):
        ctx.run_activity(cancels_booking, key, number, fails_until)

    with ctx.saga() as saga:
        for what in ("flight", "hotel", "car"):
            saga.run(books, key, what, undo=cancels)
        if gate is not None:
            saga.run(gated, gate, "tickets", undo=cancels)
        ctx.run_activity(fails.using(retry_policy=ONCE), "sold out")


@register.workflow
def cannot_undo(ctx, key):
    try:
        with ctx.saga() as saga:
            saga.run(books, key, "flight", undo=fails)
            saga.run(books, f"{key}-hotel", "hotel", undo=fails)
            ctx.run_activity(fails, "sold out")
    except SagaError as error:
        told = [*error.failures, error.__cause__]
        return [one.message for one in told if isinstance(one, ActivityError)]
