"""durable_pause ID: stop deciding for a run."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from django_durable import life
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = "Have nothing decided for a workflow execution until it is resumed. Exits with 1 if it was paused already."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("--reason", default="", metavar="TEXT", help="is shown with the execution")

    def run(self, **options: Any) -> None:
        if not life.pause_workflow(options["execution"], reason=options["reason"]):
            raise CommandError(f"execution {options['execution']} was paused already.")
        if options["verbosity"] > 0:
            self.say("paused")
