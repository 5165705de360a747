"""durable_signal ID NAME: send a signal."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable.api.messages import send_signal
from django_durable.management.shared import DurableCommand, add_execution, add_input, read_json


class Command(DurableCommand):
    help = "Send a signal to a workflow execution. It is kept until the workflow waits for it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("name", metavar="NAME", help="name of the signal")
        add_input(parser, "the payload (default null)")
        parser.add_argument("--dedupe-key", metavar="KEY", help="sent again with the same key, it is sent once")

    def run(self, **options: Any) -> None:
        payload = None if options["input"] is None else read_json(options["input"])
        send_signal(options["execution"], options["name"], payload, dedupe_key=options["dedupe_key"])
        if options["verbosity"] > 0:
            self.say(f"signal {options['name']!r} sent")
