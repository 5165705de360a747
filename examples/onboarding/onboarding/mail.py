"""The mail provider of this example. As real ones do, it delivers one key once, and is busy now and then."""

from onboarding.models import Email


class ProviderBusy(Exception):
    """Try again later."""


def deliver(key: str, user_id: int, template: str, attempt: int) -> None:
    if template == "welcome" and attempt == 1:
        raise ProviderBusy("try again later")  # so that you see a retry
    Email.objects.get_or_create(key=key, defaults={"account_id": user_id, "template": template, "attempt": attempt})
