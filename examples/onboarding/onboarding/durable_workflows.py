"""What happens to somebody who signs up, from the first e-mail to the first invoice."""

from django_durable import WaitTimeout, register
from onboarding.durable_activities import charge, create_account, import_contacts, send_email, set_state

DAY = 24 * 3600  # seconds


@register.workflow
def onboard_user(ctx, user_id: int, nudge_after: float = 3 * DAY, trial: float = 14 * DAY) -> dict:
    """Welcome a user, wait for a click (and nudge once), import contacts, sit out the trial, send the first bill.

    *nudge_after* and *trial* are seconds.
    """
    address = ctx.run_activity(create_account, user_id)
    ctx.run_activity(send_email, user_id, "welcome")
    ctx.logger.info("%s was welcomed", address)

    try:
        click = ctx.wait_signal("user_clicked", timeout=nudge_after)
    except WaitTimeout:
        ctx.run_activity(send_email, user_id, "nudge")
        try:
            click = ctx.wait_signal("user_clicked", timeout=nudge_after)
        except WaitTimeout:
            ctx.run_activity(set_state, user_id, "dormant")
            return {"user": address, "outcome": "dormant"}

    imported = ctx.run_activity(import_contacts, user_id)
    ctx.sleep(trial)
    invoice = ctx.run_workflow(bill_first_month, user_id=user_id, cents=900)
    return {"user": address, "outcome": "customer", "click": click, "imported": imported, "invoice": invoice}


@register.workflow
def bill_first_month(ctx, user_id: int, cents: int) -> int:
    """The number of the invoice. A workflow of its own, so that it can be started without an onboarding too."""
    invoice = ctx.run_activity(charge, user_id, cents)
    ctx.run_activity(set_state, user_id, "customer")
    ctx.run_activity(send_email, user_id, "receipt")
    return invoice


@register.query(onboard_user)
def progress(execution) -> dict:
    """How far a run is: `manage.py durable_status ID --query progress`."""
    done = execution.activities.filter(status="COMPLETED").order_by("finished_at")
    return {"done": list(done.values_list("activity_name", flat=True)), "waiting_for": execution.waiting_for}
