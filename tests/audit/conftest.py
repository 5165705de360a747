"""A database in which something of every kind has happened, and what an audit says of it."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connections

from django_durable import (
    UpdateRejected,
    answer_task,
    cancel_workflow,
    open_tasks,
    send_signal,
    start_workflow,
    update_workflow,
)
from django_durable.management.commands.durable_audit import Command
from django_durable.models import WorkflowExecution
from tests.sites import BACKENDS, Site, entered, key, site_on
from tests.store.databases import TABLES
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

__all__ = ["key"]


@dataclass
class World:
    """Runs of a site whose worker has gone: closed ones, and open ones that wait for each kind of thing."""

    site: Site
    done: UUID  # activities, one of them retried, a timer, a signal and a child
    child: UUID  # of *done*
    failed: UUID
    canceled: UUID
    timed_out: UUID
    asks: UUID  # waits for a signal
    asks_too: UUID
    sleeper: UUID
    order: UUID  # waits for an activity that is queued where no worker is
    parent: UUID  # waits for a signal, and has a child that does
    open_child: UUID
    pending: UUID
    continued: UUID
    next_run: UUID
    account: UUID  # has answered updates, and rejected one
    asking: UUID  # has asked three people, of whom one has answered

    def sql(self, statement: str, *params: Any) -> int:
        """Below all that would keep it from being done; how many rows it was done to. Table names want no prefix."""
        connection = connections[self.site.alias]
        for table in TABLES:
            statement = statement.replace(f" {table} ", f" django_durable_{table} ")
        keys = [self.key(p) if hasattr(p, "hex") and not isinstance(p, float) else p for p in params]
        with connection.cursor() as cursor:
            cursor.execute(statement, keys)
            return int(cursor.rowcount)

    def key(self, of: UUID) -> Any:
        return of.hex if self.site.on_sqlite else of

    def audit(self, *args: str) -> dict[str, Any]:
        """What the command says as JSON, in this process, and its exit code as `code`."""
        out = StringIO()
        code: Any = 0
        try:
            call_command("durable_audit", "--json", *args, stdout=out)
        except SystemExit as end:
            code = end.code
        found: dict[str, Any] = json.loads(out.getvalue())
        return {**found, "code": code}

    def command(self, *args: str) -> tuple[int, str, str]:
        """How the command line exits, and what it prints, in this process."""
        out, err = StringIO(), StringIO()
        code: Any = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                Command().run_from_argv(["manage.py", "durable_audit", "--skip-checks", *args])
            except SystemExit as end:
                code = end.code
        return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="session", params=BACKENDS)
def world_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with site_on(request.param, tmp_path_factory) as site:
        with entered(site):
            populated = _populate(site)
        yield populated


@pytest.fixture
def world(world_of: World) -> Iterator[World]:
    with entered(world_of.site):
        yield world_of


def _populate(site: Site) -> World:
    with site.project.worker("--queue-name", "default"):
        done = site.start("everything", key="done")
        asks, asks_too = (site.start(site.on_queue("waits_for_answer", "default", workflow_id=i)) for i in ("a", "b"))
        failed, sleeper = site.start("raises"), site.start("sleeps", seconds=86_400)
        canceled, parent = site.start("waits_for_answer"), site.start("waits_for_child", patience=None)
        timed_out = start_workflow("waits_for_answer", timeout=0.1)
        send_signal(done, "word", "signaled")
        for waiting in (asks, asks_too, canceled, parent):
            site.until_waiting(waiting, "signal")
        cancel_workflow(canceled, reason="nobody wants it")
        for closed in (done, failed, timed_out):
            site.until_closed(closed)
        site.until_waiting(sleeper, "timer")
        order = site.start("tries", name="echo", args=[1], options={"queue": "elsewhere"})
        wait_until(lambda: site.tasks(order), "an activity to be queued where no worker is")
        continued = site.start("counts_down", n=1)
        assert continued.result(timeout=30) == ["counted", 0]
        account = site.start("takes_updates", key="account")
        assert update_workflow(account, "add", {"amount": 3}, update_id="a", timeout=30) == 3
        with pytest.raises(UpdateRejected):
            update_workflow(account, "add", {"amount": 0}, update_id="b", timeout=30)
        asking = site.start("needs_two_of", names=["ann", "ben", "cleo"], key="asking")
        tasks = open_tasks().filter(execution=asking.id)
        wait_until(lambda: tasks.count() == 3, "people to be asked")
        answer_task(tasks.get(assignee="ann"), "yes", by="ann")
        wait_until(lambda: "task_answered" in site.history(asking), "the answer to be read")
    pending = site.start("echoes")
    children = WorkflowExecution.objects.using(site.alias)
    return World(
        site=site,
        done=done.id,
        child=children.get(parent=done.id).id,
        failed=failed.id,
        canceled=canceled.id,
        timed_out=timed_out.id,
        asks=asks.id,
        asks_too=asks_too.id,
        sleeper=sleeper.id,
        order=order.id,
        parent=parent.id,
        open_child=children.get(parent=parent.id).id,
        pending=pending.id,
        continued=continued.id,
        account=account.id,
        asking=asking.id,
        next_run=children.get(chain_id=continued.id).id,
    )
