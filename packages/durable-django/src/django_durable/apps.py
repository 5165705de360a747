"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DurableConfig(AppConfig):
    name = "django_durable"
    label = "django_durable"
    verbose_name = "Django Durable"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Imports workflows and activities. Reads no settings and no database: `migrate` runs before there are tables."""
        from django_durable import checks, registration

        checks.connect()
        registration.autodiscover()
