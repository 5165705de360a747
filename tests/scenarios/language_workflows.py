"""One run that goes through what has a commit of its own and is not in `everything`: it is killed everywhere."""

from __future__ import annotations

from typing import Any

from django_durable import ActivityError, CompleteLater, RetryPolicy, current_activity, register
from tests.project.app.models import Order

from . import ledger
from .crash_workflows import AT_ONCE, mark


@register.activity(retry_policy=AT_ONCE, transactional=True)
def order_once(key: str, value: Any) -> Any:
    """Another attempt that commits would leave another row."""
    Order.objects.create(number=f"{key}-{current_activity().attempt}")
    return value


@register.activity(retry_policy=AT_ONCE)
def leave_to_others(key: str) -> None:
    current = current_activity()
    ledger.note(key, f"{current.attempt} {current.completion_token(60)}")
    raise CompleteLater


@register.activity(retry_policy=AT_ONCE, executor="process")
def mark_in_a_process(key: str, value: Any) -> Any:
    ledger.note(key)
    return value


@register.activity(retry_policy=AT_ONCE)
def tell(key: str, value: Any) -> Any:
    """What it publishes, its next attempts do not publish again."""
    current_activity().publish(value)
    ledger.note(key)
    return value


@register.activity(retry_policy=RetryPolicy(initial_interval=0.01, non_retryable_error_types=("ValueError",)))
def refuse(key: str) -> None:
    ledger.note(key)
    raise ValueError("never")


@register.workflow
def speaks(ctx, key):
    """It waits for a person who answers, for one who completes an activity, and for an update, all at once."""
    updates: list[int] = []

    def add(amount):
        updates.append(ctx.run_activity(mark, f"{key}-updated", amount))
        return sum(updates)

    ctx.on_update("add", add)
    ctx.publish("begins")
    found = [ctx.run_local_activity(mark, f"{key}-local", "local")]
    parts = [
        ctx.start_activity(order_once, key, "ordered"),
        ctx.start_activity(leave_to_others, f"{key}-left"),
        ctx.start_activity(mark_in_a_process, f"{key}-process", "in a process"),
        ctx.start_activity(tell, f"{key}-told", "told"),
        ctx.start_ask("Is it good?", form=["yes", "no"], assignee="ann"),
    ]
    found += ctx.gather(*parts)
    ctx.sleep(0.05)
    ctx.wait_until(lambda: updates and ctx.all_handlers_finished())
    try:
        with ctx.saga() as saga:
            saga.run(mark, f"{key}-done", f"{key}-undone", undo=mark)  # which gets what it returned
            ctx.run_activity(refuse, f"{key}-refused")
    except ActivityError as error:
        found.append(error.message)
    ctx.publish("ends")
    return found


SPOKEN = ["local", "ordered", "completed", "in a process", "told", "yes", "never"]
EFFECTS = ("updated", "local", "left", "process", "told", "done", "undone", "refused")
