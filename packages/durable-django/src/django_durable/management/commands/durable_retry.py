"""durable_retry ID: have a run go on after a fix."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable import life
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = "Have a workflow execution that is BLOCKED, FAILED or TIMED_OUT go on, after its code was mended."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("--reason", default="", metavar="TEXT", help="is kept in the history of a reopened one")

    def run(self, **options: Any) -> None:
        life.retry_workflow(options["execution"], reason=options["reason"])
        if options["verbosity"] > 0:
            self.say("a worker will try it again")
