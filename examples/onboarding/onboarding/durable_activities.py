"""What touches the world. Each may run more than once for one call, so each is written to have its effect once."""

import time

from django_durable import RetryPolicy, activity_heartbeat, current_activity, register
from onboarding import mail
from onboarding.models import Account, Contact, Invoice

CONTACTS = 8  # in everybody's address book
IMPORT_SECONDS = 0.5  # that one contact takes: long enough to be killed in the middle


@register.activity
def create_account(user_id: int) -> str:
    account, _ = Account.objects.get_or_create(pk=user_id, defaults={"address": f"user-{user_id}@example.com"})
    return account.address


@register.activity(retry_policy=RetryPolicy(initial_interval=0.5, maximum_attempts=5), start_to_close=30)
def send_email(user_id: int, template: str) -> str:
    """Hand an e-mail to the provider, under a key that is the same in every attempt of this call."""
    me = current_activity()
    mail.deliver(me.idempotency_key, user_id, template, me.attempt)
    return template


@register.activity(heartbeat_timeout=10)
def import_contacts(user_id: int) -> dict:
    """Import the address book, and go on where a dead attempt's last heartbeat was."""
    me = current_activity()
    done = me.heartbeat_details or 0
    for number in range(done + 1, CONTACTS + 1):
        time.sleep(IMPORT_SECONDS)
        # The heartbeat may be older than the last row, so a row may be there already.
        Contact.objects.get_or_create(account_id=user_id, number=number, defaults={"attempt": me.attempt})
        me.publish({"done": number, "of": CONTACTS}, stream="import", number=number - 1)
        activity_heartbeat(number)
    return {"contacts": CONTACTS, "attempt": me.attempt, "began_behind": done}


@register.activity(retry_policy=RetryPolicy(non_retryable_error_types=["ValueError"]))
def charge(user_id: int, cents: int) -> int:
    """Charge the customer once; the number of the invoice."""
    if cents <= 0:
        raise ValueError(f"cannot charge {cents} cents")  # trying again would not help
    invoice, _ = Invoice.objects.get_or_create(
        key=current_activity().idempotency_key, defaults={"account_id": user_id, "cents": cents}
    )
    return invoice.pk


@register.activity
def set_state(user_id: int, state: str) -> None:
    Account.objects.filter(pk=user_id).update(state=state)
