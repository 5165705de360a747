"""durable_status ID: what a run does, and what it has done."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django_durable.api.executions import id_of
from django_durable.api.handles import WorkflowHandle
from django_durable.api.queries import query_workflow, status_of
from django_durable.management.shared import DurableCommand, add_execution, add_input, read_object, table
from django_durable.redaction import redacted, redacted_details, redacted_value
from django_durable.wording import instant_in_words, json_in_words, span_in_words, waiting_in_words

if TYPE_CHECKING:
    from django_durable.models import WorkflowExecution

EVENTS_SHOWN = 50  # newest keys
DETAILS = 70  # characters of an event's details in the table


class Command(DurableCommand):
    help = "Show a workflow execution: its status, what it waits for, its activities and its history."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_execution(parser)
        parser.add_argument("--query", metavar="NAME", help="print the answer of a query, as JSON, instead")
        add_input(parser, "keywords of the query, an object")
        parser.add_argument("--history", type=int, default=20, metavar="N", help="newest events to show (0: all)")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def run(self, **options: Any) -> None:
        handle = WorkflowHandle(id_of(options["execution"]))
        if options["query"] is not None:
            payload = read_object(options["input"], "the input of a query")
            answer = query_workflow(handle, options["query"], **payload)
            self.stdout.write(json.dumps(redacted(answer), default=str))
            return
        row = handle.execution
        if options["format"] == "json":
            self.stdout.write(json.dumps(as_json(row, options["history"]), default=str))
        else:
            self.stdout.write("\n".join(as_text(row, options["history"])))


def as_json(row: WorkflowExecution, limit: int) -> dict[str, Any]:
    """For scripts: times in ISO format, the newest *limit* events, oldest first."""
    answer = status_of(row)
    for name in ("input", "workflow_id", "queue", "history_length"):
        answer[name] = getattr(row, name)
    answer |= {name: redacted(answer[name]) for name in ("input", "result")}
    for name in ("created_at", "started_at", "finished_at", "deadline"):
        at = getattr(row, name)
        answer[name] = None if at is None else at.isoformat()
    answer["parent"] = None if row.parent_id is None else str(row.parent_id)
    answer["chain_id"] = None if row.chain_id is None else str(row.chain_id)
    answer["forked_from"] = None if row.forked_from_id is None else str(row.forked_from_id)
    answer["newest"] = str(row.newest.id)
    answer["events"] = redacted({event.key: event.value for event in row.events.order_by("id")})
    answer["activities"] = [
        {name: getattr(task, name) for name in ("id", "activity_name", "status", "attempt", "error")}
        for task in row.activities.order_by("scheduled_at", "id").defer("input", "result", "heartbeat_details")
    ]
    answer["history"] = [
        {
            "seq": event.seq,
            "type": event.type,
            "call_id": event.call_id,
            "details": redacted_details(event),
            "created_at": event.created_at.isoformat(),
        }
        for event in newest_events(row, limit)
    ]
    return answer


def as_text(row: WorkflowExecution, limit: int) -> Iterator[str]:
    now = datetime.now(UTC)
    yield f"{row.workflow_name}  {row.id}"
    yield from _facts(row, now)
    activities = list(row.activities.order_by("scheduled_at", "id"))
    if activities:
        yield "\nactivities"
        header = ("name", "status", "attempt", "scheduled", "queue", "error")
        yield table(
            header,
            [
                (a.activity_name, a.status, a.attempt, instant_in_words(a.scheduled_at), a.queue, a.error)
                for a in activities[-50:]
            ],
        )
    yield from _events_set(row, now)
    events = newest_events(row, limit)
    if events:
        older = row.history_length - len(events)
        yield f"\nhistory{f', after {older} older events' if older > 0 else ''}"
        rows = [(e.seq, f"{e.created_at:%H:%M:%S.%f}"[:-3], e.type, e.call_id, _details(e)) for e in events]
        yield table(("seq", "time", "type", "call", "details"), rows, width=lambda place: DETAILS if place == 4 else 40)


def _details(event: Any) -> str:
    return json_in_words(redacted_details(event), limit=DETAILS)


def _events_set(row: WorkflowExecution, now: datetime) -> Iterator[str]:
    values = list(row.events.order_by("-id")[:EVENTS_SHOWN])
    if values:
        yield "\nevents"
        rows = [
            (
                value.key,
                f"{span_in_words(now - value.set_at)} ago",
                json_in_words(redacted_value(value.key, value.value), limit=DETAILS),
            )
            for value in reversed(values)
        ]
        yield table(("key", "set", "value"), rows, width=lambda place: DETAILS if place == 2 else 40)


def _facts(row: WorkflowExecution, now: datetime) -> Iterator[str]:
    status = row.status
    ended = row.finished_at is not None
    facts: list[tuple[str, object]] = [("status", status)]
    if not ended and row.waiting_for:
        waiting = row.waiting_for
        facts.append(("waits for", waiting_in_words(waiting, now)))
        facts.append(("at", waiting.get("at")))
    if not ended and row.paused_at is not None:
        facts.append(("paused", f"since {instant_in_words(row.paused_at)} {row.pause_reason}".rstrip()))
    facts += [
        ("workflow id", row.workflow_id),
        ("parent", row.parent_id),
        ("forked from", row.forked_from_id),
        ("goes on for", row.chain_id),
        ("goes on as", newest.id if (newest := row.newest) != row else None),
        ("queue", row.queue),
        ("created", f"{instant_in_words(row.created_at)} ({span_in_words(now - row.created_at)} ago)"),
        ("begins", instant_in_words(row.start_at) if row.start_at and not row.started_at else None),
        ("deadline", instant_in_words(row.deadline)),
    ]
    if ended:
        facts.append(("took", span_in_words(row.finished_at - row.created_at)))
    facts.append(("input", json_in_words(redacted(row.input), limit=1000)))
    if status == "COMPLETED":
        facts.append(("result", json_in_words(redacted(row.result), limit=1000)))
    facts.append(("error", row.error))
    for name, value in facts:
        if value is not None and value != "":
            yield f"  {name:<12}{value}"


def newest_events(row: WorkflowExecution, limit: int) -> list[Any]:
    events = row.history.order_by("-seq")
    return list(reversed(events[:limit] if limit > 0 else events))
