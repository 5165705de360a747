"""The registry, and the import of the modules that fill it."""

from __future__ import annotations

from django.utils.module_loading import autodiscover_modules

from durable_core.definitions import register

MODULES = ("durable_workflows", "durable_activities")


def autodiscover() -> None:
    """Import these modules of every installed app.

    An app need not have them. What one of them raises when it is imported is raised here: a worker that lacks half of
    its workflows is worse than one that does not start. May be called again; modules are imported once.
    """
    autodiscover_modules(*MODULES)


__all__ = ["MODULES", "autodiscover", "register"]
