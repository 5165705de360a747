"""The processes of activities with ``executor="process"``: how one is started in a Django project, and set up there.

A fresh interpreter, not a fork: it has no connection, no lock and no thread of its worker's. It loads the settings and
all apps, as the worker did when it started.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durable_core.worker.serving import Workshop

CODE = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from django_durable.child import main; main(given)"
)


def command() -> list[str]:
    """The command line of such a process, but for the pipes to its worker. In the worker."""
    from django.db import connections

    given = {
        "path": sys.path,
        "level": logging.getLogger("durable").getEffectiveLevel(),
        # A test runner has moved the project to other databases, and those of the settings must not be written to.
        "databases": {alias: str(entry["NAME"]) for alias, entry in connections.settings.items()},
    }
    return [sys.executable, "-c", CODE, json.dumps(given)]


def main(given: dict[str, Any]) -> None:
    """The whole life of such a process."""
    from durable_core.worker.serving import serve

    serve(lambda: _set_up(given))


def _set_up(given: dict[str, Any]) -> Workshop:
    import django
    from django.conf import ENVIRONMENT_VARIABLE
    from django.core.exceptions import ImproperlyConfigured

    if not os.environ.get(ENVIRONMENT_VARIABLE):
        raise ImproperlyConfigured(
            f"{ENVIRONMENT_VARIABLE} is not set: a process of its own can only load settings that are a module."
        )
    django.setup()

    from django.db import connections

    from django_durable.engine import around_activity, engine, release_thread
    from django_durable.logs import log_to_stderr
    from durable_core.definitions import register
    from durable_core.worker.serving import Workshop

    for alias, name in given["databases"].items():
        if alias in connections.settings and str(connections.settings[alias]["NAME"]) != name:
            connections.settings[alias]["NAME"] = name
    log_to_stderr(given["level"])
    made = engine()
    calls = {"around": around_activity, "hooks": made.hooks}
    return Workshop(register, made.conf.max_payload, calls, release_thread)
