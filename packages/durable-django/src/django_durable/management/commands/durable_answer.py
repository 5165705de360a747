"""durable_answer ID: answer a human task."""

from __future__ import annotations

import argparse
from typing import Any

from django_durable.management.shared import DurableCommand, add_input, read_json
from django_durable.people.answering import answer_task


class Command(DurableCommand):
    help = "Answer a human task. Its workflow goes on with that; nobody else can answer it any more."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("task", metavar="ID", help="UUID of the human task, as durable_tasks lists it")
        add_input(parser, "the answer (default null); of a form, an object with its fields")
        parser.add_argument("--by", metavar="NAME", help="who answers, for the history; no permission is asked for")

    def run(self, **options: Any) -> None:
        answer = None if options["input"] is None else read_json(options["input"])
        answer_task(options["task"], answer, by=options["by"])
        if options["verbosity"] > 0:
            self.say("answered")
