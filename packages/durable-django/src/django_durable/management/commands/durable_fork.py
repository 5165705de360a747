"""durable_fork ID --from-seq N: a new run with the beginning of another's history."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable import life
from django_durable.management.shared import DurableCommand, add_execution


class Command(DurableCommand):
    help = (
        "Start a new workflow execution with the history of another before event N, which is decided anew by today's "
        "code. The other one stays as it is. Prints the new id, and nothing else, on stdout."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument(
            "--from-seq", type=int, required=True, metavar="N", help="the first event that is decided anew"
        )
        parser.add_argument("--workflow-id", metavar="ID", help="of the new execution; by default it has none")
        parser.add_argument("--keep-signals", action="store_true", help="send it all signals that came since, too")

    def run(self, **options: Any) -> None:
        handle = life.fork_workflow(
            options["execution"],
            options["from_seq"],
            workflow_id=options["workflow_id"],
            keep_signals=options["keep_signals"],
        )
        self.stdout.write(str(handle))
