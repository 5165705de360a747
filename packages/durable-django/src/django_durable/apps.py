"""The Django app."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DurableConfig(AppConfig):
    name = "django_durable"
    label = "django_durable"
    verbose_name = "Django Durable"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import workflows and activities. No setting of ours and no database is read: `migrate` comes here too."""
        from django_durable import checks, registration

        checks.connect()
        registration.autodiscover()
        post_migrate.connect(_set_up_queue, sender=self, dispatch_uid="django_durable.queue_setup")


def _set_up_queue(using: str, verbosity: int, **kwargs: Any) -> None:
    """After `migrate` of the durable database: what the chosen queue keeps for itself."""
    from django.core.exceptions import ImproperlyConfigured

    from django_durable.conf import conf
    from django_durable.engine import engine
    from durable_core.hints import backend_of
    from durable_core.ports import NeedsSetup

    try:
        if conf().database != using:
            return
        queue = backend_of(engine().queue)
    except ImproperlyConfigured:
        return  # `check` says what is wrong, and migrating must go on without a queue
    if isinstance(queue, NeedsSetup):
        for sentence in queue.setup():
            if verbosity > 0:
                print(f"  {sentence}")  # noqa: T201 - as `migrate` reports what it does
