"""durable_tasks: what people are asked."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from django_durable.management.shared import DurableCommand, table
from django_durable.people.answering import open_tasks
from django_durable.wording import instant_in_words

if TYPE_CHECKING:
    from django_durable.models import HumanTask


class Command(DurableCommand):
    help = "List the open human tasks, the oldest first."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--assignee", metavar="NAME", help="only those for this user or group")
        parser.add_argument("--permission", metavar="APP.CODENAME", help="only those that take this permission")
        parser.add_argument("--workflow", metavar="NAME", help="only those that this workflow asks")
        parser.add_argument("--limit", type=int, default=100, metavar="N", help="how many (default 100)")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def run(self, **options: Any) -> None:
        chosen = {name: options[name] for name in ("assignee", "permission", "workflow")}
        tasks = open_tasks(**chosen)[: max(options["limit"], 0)]
        if options["format"] == "json":
            self.stdout.write(json.dumps([as_json(task) for task in tasks]))
            return
        rows = [
            (task.id, task.assignee or "", instant_in_words(task.asked_at), instant_in_words(task.expires_at), task)
            for task in tasks
        ]
        self.stdout.write(table(("id", "for", "asked", "until", "question"), rows) if rows else "No task is open.")


def as_json(task: HumanTask) -> dict[str, Any]:
    return {
        "id": str(task.id),
        "execution": str(task.execution_id),
        "question": task.question,
        "form": task.form,
        "assignee": task.assignee,
        "permission": task.permission,
        "asked_at": task.asked_at.isoformat(),
        "expires_at": None if task.expires_at is None else task.expires_at.isoformat(),
    }
