"""durable_retry ID: try a BLOCKED run again."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable import api
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = "Have a BLOCKED workflow execution tried again at once, after its code was mended."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)

    def run(self, **options: Any) -> None:
        api.retry_workflow(options["execution"])
        if options["verbosity"] > 0:
            self.say("a worker will try it again")
