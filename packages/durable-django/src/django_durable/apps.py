"""The Django app."""

from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

COMMAND = "python manage.py durable_queue_setup"


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
    """After `migrate` of the durable database: what the chosen queue keeps for itself.

    Never raises what the queue has to complain of: apps behind this one have their turn after it, and tables do not
    wait for a server that is away.
    """
    from django.core.exceptions import ImproperlyConfigured

    from django_durable.conf import conf
    from django_durable.engine import engine
    from durable_core.errors import DurableError
    from durable_core.hints import backend_of
    from durable_core.ports import NeedsSetup

    try:
        if conf().database != using:
            return
        queue = backend_of(engine().queue)
        done = queue.setup() if isinstance(queue, NeedsSetup) else []
    except ImproperlyConfigured:
        return  # `check` says what is wrong
    except DurableError as error:
        print(f"  The queue is not set up: {error}\n  Once that is mended: {COMMAND}", file=sys.stderr)  # noqa: T201
        return
    if verbosity > 0:
        for sentence in done:
            print(f"  {sentence}", file=kwargs.get("stdout", sys.stdout))
