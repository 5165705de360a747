"""durable_update ID NAME: ask a run to change, and print its answer."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import CommandError

from django_durable.api.messages import update_workflow
from django_durable.management.shared import DurableCommand, add_execution, add_input, read_object
from django_durable.redaction import redacted
from durable_core.errors import UpdateFailed, UpdateRejected, WaitTimeout

FAILED, REJECTED, WAIT_RAN_OUT = 3, 6, 124  # exit codes


class Command(DurableCommand):
    help = (
        "Send an update to a workflow execution, and print the answer as JSON. Exit code: 0 done, 3 its handler "
        "failed, 6 the run rejected it, 124 the wait ran out (it goes on: ask again with the same --update-id)."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("name", metavar="NAME", help="name of the update")
        add_input(parser, "keywords of the update, an object")
        parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so long (default: never)")
        parser.add_argument("--update-id", metavar="ID", help="an id of your own: sent again, it is the same update")

    def run(self, **options: Any) -> None:
        payload = read_object(options["input"], "the input of an update")
        try:
            answer = update_workflow(
                options["execution"],
                options["name"],
                payload,
                timeout=options["timeout"],
                update_id=options["update_id"],
            )
        except UpdateRejected as error:
            raise CommandError(str(error), returncode=REJECTED) from error
        except UpdateFailed as error:
            raise CommandError(str(error), returncode=FAILED) from error
        except WaitTimeout as error:
            raise CommandError(str(error), returncode=WAIT_RAN_OUT) from error
        self.stdout.write(json.dumps(redacted(answer)))
