"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


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
