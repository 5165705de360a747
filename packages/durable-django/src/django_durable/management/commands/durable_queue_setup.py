"""durable_queue_setup: make or upgrade what the queue keeps in its server."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable.engine import engine
from django_durable.management.shared import DurableCommand
from django_durable.refill import refill
from durable_core.hints import backend_of
from durable_core.ports import NeedsSetup


class Command(DurableCommand):
    help = "Make or upgrade what the chosen queue keeps in its server, such as a table. `migrate` does it too."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--refill",
            action="store_true",
            help="also give every open run and queued activity an entry again: after a change of the queue",
        )

    def run(self, **options: Any) -> None:
        made = engine()
        backend = backend_of(made.queue)
        name = made.conf.queue_backend
        done = backend.setup() if isinstance(backend, NeedsSetup) else []
        done = done or [f"nothing to set up for queue backend {name!r}"]
        if options["refill"]:
            runs, activities = refill()
            done.append(f"workers will look at {runs:,} runs and {activities:,} activities")
        if options["verbosity"] > 0:
            for sentence in done:
                self.stdout.write(sentence)
