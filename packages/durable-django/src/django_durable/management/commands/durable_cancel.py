"""durable_cancel ID: cancel a run."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from django_durable.api.executions import id_of
from django_durable.api.handles import WorkflowHandle
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = "Cancel a workflow execution. Exits with 1 if it was closed already."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("--reason", default="", metavar="TEXT", help="is kept with the execution")
        parser.add_argument("--keep-queued", action="store_true", help="let queued activities run all the same")
        parser.add_argument(
            "--graceful", action="store_true", help="ask the workflow's code, which may clean up, instead of ending it"
        )

    def run(self, **options: Any) -> None:
        handle = WorkflowHandle(id_of(options["execution"]))
        canceled = handle.cancel(
            reason=options["reason"], keep_queued=options["keep_queued"], graceful=options["graceful"]
        )
        if not canceled:
            newest = handle.execution.newest
            raise CommandError(f"execution {newest.id} was closed already ({newest.status}).")
        if options["verbosity"] > 0:
            self.say("cancellation requested" if options["graceful"] else "canceled")
