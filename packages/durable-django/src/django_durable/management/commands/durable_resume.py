"""durable_resume ID: let a paused run go on."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from django_durable import life
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = "Let a paused workflow execution go on. Exits with 1 if it was not paused."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)

    def run(self, **options: Any) -> None:
        if not life.resume_workflow(options["execution"]):
            raise CommandError(f"execution {options['execution']} was not paused.")
        if options["verbosity"] > 0:
            self.say("resumed")
