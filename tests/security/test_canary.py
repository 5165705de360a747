"""A secret goes through everything, and is found in the columns for payloads and nowhere else."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from django_durable import remote_workflow, retry_workflow, send_signal, start_workflow
from tests.security.places import columns_with, redis_bytes
from tests.waiting import wait_until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.sites import Site

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.security.settings"}
PAYLOADS = {
    "workflowexecution.input",
    "workflowexecution.result",
    "workflowexecution.error",
    "historyevent.details",
    "activitytask.input",
    "activitytask.result",
    "activitytask.error",
    "activitytask.failure",
    "activitytask.heartbeat_details",
    "mail.details",
}
SILENT = [["durable_doctor"], ["durable_queue"], ["durable_plugins"], ["check"]]


@pytest.fixture
def canary() -> str:
    return f"S3CR3T{uuid4().hex}"


def ears(site: Site) -> AbstractContextManager[psycopg.Connection[Any] | None]:
    """A session that hears all notifications of the site, where there are any."""
    if site.on_sqlite:
        return nullcontext()
    raw = psycopg.connect(**connections[site.alias].get_connection_params(), autocommit=True)
    raw.execute("LISTEN django_durable_queueentry")
    raw.execute("LISTEN durable_queue")
    return raw


def said_by(site: Site, *command: str) -> str:
    """What a command answers, and what it complains of."""
    out, err = StringIO(), StringIO()
    try:
        call_command(*command, stdout=out, stderr=err)
    except (CommandError, SystemExit) as error:
        err.write(str(error))
    return out.getvalue() + err.getvalue()


def test_a_secret_is_only_where_payloads_are(
    open_site: Site, queue: str, canary: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = open_site
    caplog.set_level(logging.INFO)

    def start(name: str, on: str = queue) -> Any:
        return start_workflow(remote_workflow(name, queue=on), secret=canary)

    quick = {"WORKFLOW_CACHE_SIZE": 0, "PLUGINS": ["tests.security.leaky.hooks"]}
    blocking = {**quick, "ON_WORKFLOW_ERROR": "block"}
    with ears(site) as heard:
        leaks, fails = start("leaks"), start("spills_itself")
        waits = start("leaks", on=f"{queue}-nobody")  # stands in the queue
        send_signal(waits, "go", canary)
        with site.project.worker("--queue-name", queue, durable=quick, **SETTINGS) as worker:
            site.until_waiting(leaks, "signal")
            send_signal(leaks, "go", {"with": canary})
            site.until(leaks, "COMPLETED")
            site.until(fails, "FAILED")
        with site.project.worker("--queue-name", f"{queue}-2", durable=blocking, **SETTINGS) as strict:
            blocked = start("spills_itself", on=f"{queue}-2")
            site.until(blocked, "BLOCKED")
            retry_workflow(blocked)
            wait_until(lambda: strict.said.count("a run is blocked") >= 2, "it to be blocked again")
        for said, marks in (
            (worker.said, ("its retry policy failed", "plugin 'tests.security.leaky.hooks' failed", "see $.args[0]")),
            (strict.said, ("a run is blocked: ValueError at",)),
        ):
            assert not [mark for mark in marks if mark not in said], said  # so there was something to give it away
            assert canary not in said
        if heard is not None:
            notes = list(heard.notifies(timeout=0))
            assert notes or site.queue.get("BACKEND") == "redis"
            assert {note.payload for note in notes} <= {""}
    assert columns_with(site, canary) == PAYLOADS
    if site.queue.get("BACKEND") == "redis":
        stored = list(redis_bytes(site))
        assert len(stored) > 3
        assert not [text for text in stored if canary.encode() in text]
    for command in SILENT:
        assert canary not in said_by(site, *command), command
    assert canary in said_by(site, "durable_status", str(leaks))  # which is what it is for
    assert not [record for record in caplog.records if canary in repr(vars(record))]
