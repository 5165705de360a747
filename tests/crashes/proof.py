"""What must be true of a run once it has closed, however many processes died on the way; and what to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from django_durable.auditing import audit_project
from django_durable.engine import engine
from django_durable.models import ActivityTask, Mail, Worker, WorkflowExecution
from durable_core.audit import Scope
from tests.scenarios import ledger
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness import WorkerProcess
    from tests.sites import Site


def assert_sound(site: Site, handle: Any, *, replay: str = "strict") -> None:
    """A closed run and its children: nothing left behind, and nothing that an audit finds."""
    family = [site.execution(handle)]
    family += WorkflowExecution.objects.using(site.alias).filter(parent=family[0])
    wait_until(lambda: not _leftovers(site, family), lambda: f"nothing to be left: {_leftovers(site, family)}")
    found = audit_project(scope=Scope(only=[execution.pk for execution in family]), replay=replay).violations
    assert found == [], "\n".join(map(str, found))


def _leftovers(site: Site, family: list[WorkflowExecution]) -> list[str]:
    tasks = ActivityTask.objects.using(site.alias).filter(execution__in=family)
    queues = {execution.queue for execution in family} | set(tasks.values_list("queue", flat=True))
    entries = [stats for stats in engine().queue.stats() if stats.queue in queues]
    unread = Mail.objects.using(site.alias).filter(execution__in=family)
    # How an activity or a child ended may be written while its run is canceled: it is thrown away after half a minute.
    canceled = [execution.pk for execution in family if execution.status == "CANCELED"]
    unread = unread.exclude(~Q(type="signal_received"), execution__in=canceled, due_at__isnull=False)
    still = tasks.filter(Q(status="RUNNING") | Q(status="QUEUED"))
    return [str(stats) for stats in entries] + [str(m) for m in unread] + [f"{t} {t.status}" for t in still]


def until_up(site: Site, worker: WorkerProcess) -> Worker:
    """The row of a worker process, once it has said that it is there."""
    rows = Worker.objects.using(site.alias).filter(pid=worker.pid)
    return wait_until(rows.first, f"worker {worker.pid} to be up; it said:\n{worker.said}")


def until_begun(key: str, times: int = 1) -> list[str]:
    """What the activity with this key has noted, once it has begun so often."""
    return wait_until(lambda: lines if len(lines := ledger.effects(key)) >= times else None, f"{key} to begin")
