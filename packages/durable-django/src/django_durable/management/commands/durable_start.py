"""durable_start NAME: start a run."""

from __future__ import annotations

import argparse
import math
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError

from django_durable.api.handles import WorkflowHandle
from django_durable.api.starting import signal_with_start, start
from django_durable.management.shared import DurableCommand, add_input, read_json, read_object
from django_durable.redaction import redacted
from django_durable.wording import json_in_words
from durable_core.definitions import WorkflowDefinition, register, remote_workflow
from durable_core.errors import WaitTimeout, WorkflowCanceled, WorkflowError, WorkflowFailed, WorkflowTimeout
from durable_core.options import IdConflictPolicy, IdReusePolicy
from durable_core.shapes import plain

FAILED, CANCELED, TIMED_OUT, WAIT_RAN_OUT = 3, 4, 5, 124  # exit codes with --wait
FOR_EVER = math.inf


class Command(DurableCommand):
    help = (
        "Start a workflow, and print the id of its execution. With --wait the exit code tells how it ended: "
        "0 completed, 3 failed, 4 canceled, 5 timed out, 124 the wait ran out."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="of a workflow; with --queue also one of another project")
        add_input(parser, "the workflow's keywords, an object")
        parser.add_argument("--timeout", type=float, metavar="SECONDS", help="from start to close")
        parser.add_argument("--queue", metavar="NAME", help="whose workers run it (the workflow's own, or default)")
        parser.add_argument("--workflow-id", metavar="ID", help="an id of your own: one open run has it")
        parser.add_argument("--id-reuse", choices=list(IdReusePolicy), help="whether a closed run may have had that id")
        parser.add_argument("--id-conflict", choices=list(IdConflictPolicy), help="what to do if an open run has it")
        parser.add_argument("--signal", metavar="NAME", help="signal the open run with that id; start it if none is")
        parser.add_argument("--signal-input", metavar="JSON", help="the signal's payload (default null): as --input")
        parser.add_argument(
            "--wait",
            nargs="?",
            type=_seconds,
            const=FOR_EVER,
            metavar="SECONDS",
            help="wait until it has ended, at most so long; its result goes to stderr",
        )

    def run(self, **options: Any) -> None:
        workflow = _workflow(options["name"], options["queue"])
        if options["workflow_id"] is not None:
            workflow = workflow.using(workflow_id=options["workflow_id"])
        workflow = workflow.using(id_reuse_policy=options["id_reuse"], id_conflict_policy=options["id_conflict"])
        kwargs = read_object(options["input"], "the input of a workflow")
        handle = self.start(workflow, kwargs, options)
        self.stdout.write(str(handle))
        self.stdout.flush()
        if (wait := options["wait"]) is not None:
            self.wait(handle, None if wait == FOR_EVER else wait)

    def start(
        self, workflow: WorkflowDefinition, kwargs: dict[str, Any], options: dict[str, Any]
    ) -> WorkflowHandle[Any]:
        timeout, signal, text = options["timeout"], options["signal"], options["signal_input"]
        if signal is None:
            if text is not None:
                raise CommandError("--signal-input is the payload of a signal: name it by --signal.")
            return start(workflow, kwargs, timeout=timeout)
        payload = None if text is None else read_json(text, "--signal-input")
        return signal_with_start(workflow, signal, payload, timeout=timeout, **kwargs)

    def wait(self, handle: WorkflowHandle, timeout: float | None) -> None:
        try:
            result = handle.result(timeout)
        except WaitTimeout as error:
            raise CommandError(str(error), returncode=WAIT_RAN_OUT) from error
        except WorkflowError as error:
            raise CommandError(str(error), returncode=_code_of(error)) from error
        self.say(f"completed: {json_in_words(redacted(plain(result)))}")


def _seconds(text: str) -> float:
    """Checked before the run is started, which would be there all the same."""
    with suppress(ValueError):
        if 0 <= float(text) < FOR_EVER:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, 0 or more")


def _workflow(name: str, queue: str | None) -> WorkflowDefinition:
    if queue is None:
        return register.find_workflow(name)
    if name in register.workflows:
        return register.find_workflow(name).using(queue=queue)
    return remote_workflow(name, queue=queue)


def _code_of(error: WorkflowError) -> int:
    match error:
        case WorkflowFailed():
            return FAILED
        case WorkflowCanceled():
            return CANCELED
        case WorkflowTimeout():
            return TIMED_OUT
        case _:
            return 1
