"""durable_queue_setup: make or upgrade what the queue keeps in its server."""

from __future__ import annotations

from typing import Any

from django_durable.engine import engine
from django_durable.management.shared import DurableCommand
from durable_core.hints import backend_of
from durable_core.ports import NeedsSetup


class Command(DurableCommand):
    help = "Make or upgrade what the chosen queue keeps in its server, such as a table. `migrate` does it too."

    def run(self, **options: Any) -> None:
        made = engine()
        backend = backend_of(made.queue)
        name = made.conf.queue_backend
        done = backend.setup() if isinstance(backend, NeedsSetup) else []
        if options["verbosity"] > 0:
            for sentence in done or [f"nothing to do for queue backend {name!r}"]:
                self.stdout.write(sentence)
