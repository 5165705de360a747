"""durable_queue: what stands in the queues."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django_durable.engine import engine
from django_durable.management.shared import DurableCommand, table
from django_durable.wording import span_in_words
from durable_core.hints import backend_of

COLUMNS = ("queue", "ready", "oldest", "claimed", "delayed", "dead")


class Command(DurableCommand):
    help = (
        "Show for each queue how many entries are ready and for how long the oldest has been, how many workers hold, "
        "how many are delayed, and how many nobody could read."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def run(self, **options: Any) -> None:
        made = engine()
        found = backend_of(made.queue).stats()
        if options["format"] == "json":
            rows = [
                {
                    "queue": s.queue,
                    "ready": s.ready,
                    "oldest_ready_seconds": None if s.oldest_ready is None else s.oldest_ready.total_seconds(),
                    "claimed": s.claimed,
                    "delayed": s.delayed,
                    "dead": s.dead,
                }
                for s in found
            ]
            self.stdout.write(json.dumps(rows))
            return
        if not found:
            self.say(f"no entries: queue backend {made.conf.queue_backend!r} is empty")
            return
        self.stdout.write(
            table(
                COLUMNS,
                [
                    (s.queue, s.ready, s.oldest_ready and span_in_words(s.oldest_ready), s.claimed, s.delayed, s.dead)
                    for s in found
                ],
            )
        )
