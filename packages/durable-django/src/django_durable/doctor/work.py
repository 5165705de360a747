"""Whether somebody does the work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min

from django_durable.conf import conf
from django_durable.engine import engine
from django_durable.models import ActivityTask, Mail, Worker, WorkflowExecution
from django_durable.wording import span_in_words
from durable_core.execution import Status, TaskStatus
from durable_core.ports import PRIVATE, Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet

LATE = timedelta(seconds=60)  # after which something due that nobody has looked at is no coincidence
SHOWN = 5


def examine() -> Iterator[Finding]:
    now = engine().store.now()
    workers = list(Worker.objects.using(conf().database))
    silent_since = now - timedelta(seconds=conf().worker_timeout)
    alive = [worker for worker in workers if worker.heartbeat_at >= silent_since]
    yield from _workers(workers, alive)
    yield from _queues(alive, now)
    yield from _overdue(now)
    yield from _blocked()
    yield from _paused(now)


def _workers(workers: list[Worker], alive: list[Worker]) -> Iterator[Finding]:
    silent = len(workers) - len(alive)
    if silent:
        # Any live worker buries them within a heartbeat or two.
        yield Finding(
            Level.WARNING if alive else Level.PROBLEM,
            "workers",
            f"{silent} died without a word, and nobody has buried them yet",
            "A live worker does, and gives their work to others." if alive else "Start one: manage.py durable_worker",
        )
    if alive:
        yield Finding(Level.OK, "workers", f"{len(alive)} alive: {', '.join(map(str, alive[:SHOWN]))}")
    elif not silent:
        level = Level.PROBLEM if _open_runs().exists() else Level.WARNING
        yield Finding(level, "workers", "none is up", "Start one: manage.py durable_worker")


def _queues(alive: list[Worker], now: datetime) -> Iterator[Finding]:
    """Queues in which runs or activities wait, and that no live worker serves."""
    runs = _by_queue(_open_runs().exclude(status=Status.BLOCKED))
    activities = _by_queue(ActivityTask.objects.using(conf().database).filter(status=TaskStatus.QUEUED))
    used = {queue for queue in runs | activities if not queue.startswith(PRIVATE)}
    deserted = sorted(queue for queue in used if not any(_serves(worker, queue) for worker in alive))
    for queue in deserted[:SHOWN]:
        waiting = f"{_count(runs.get(queue, 0), 'open run')} and {_count(activities.get(queue, 0), 'queued activity')}"
        yield Finding(
            Level.PROBLEM,
            "queues",
            f"no worker serves {queue!r}, where {waiting} wait",
            f"manage.py durable_worker --queue-name {queue}",
        )
    if len(deserted) > SHOWN:
        yield Finding(Level.PROBLEM, "queues", f"and {len(deserted) - SHOWN} more without workers")
    if not deserted:
        yield Finding(Level.OK, "queues", f"{len(used)} in use, all of them served" if used else "none is in use")


def _by_queue(rows: QuerySet[Any]) -> dict[str, int]:
    return dict(rows.order_by().values_list("queue").annotate(number=Count("pk")))


def _count(number: int, what: str) -> str:
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"


def _serves(worker: Worker, queue: str) -> bool:
    return queue in worker.queues if worker.queues else queue not in (worker.exclude or ())


def _overdue(now: datetime) -> Iterator[Finding]:
    """Timers, deadlines, retries and mail whose time has come and gone."""
    late = []
    for what, model in (("runs", WorkflowExecution), ("activities", ActivityTask), ("mail", Mail)):
        rows = model._default_manager.using(conf().database).filter(due_at__lt=now - LATE)
        found = rows.aggregate(number=Count("pk"), since=Min("due_at"))
        if found["number"]:
            late.append(f"{found['number']:,} {what}, the oldest for {span_in_words(now - found['since'])}")
    if late:
        yield Finding(
            Level.PROBLEM,
            "schedule",
            f"due and not looked at: {'; '.join(late)}",
            "Is a worker up, and does it keep up? See workers above, and the workers' logs.",
        )
    else:
        yield Finding(Level.OK, "schedule", "nothing is late")


def _blocked() -> Iterator[Finding]:
    runs = _open_runs().filter(status=Status.BLOCKED)
    number = runs.count()
    if not number:
        yield Finding(Level.OK, "runs", "none is BLOCKED")
        return
    names = runs.order_by().values("workflow_name").annotate(number=Count("id")).order_by("-number")[:SHOWN]
    words = ", ".join(f"{row['number']:,} of {row['workflow_name']}" for row in names)
    yield Finding(
        Level.WARNING,
        "runs",
        f"{number:,} BLOCKED: {words}",
        "manage.py durable_status ID says why; after the fix they go on by themselves, at once with durable_retry.",
    )


def _paused(now: datetime) -> Iterator[Finding]:
    paused = _open_runs().filter(paused_at__isnull=False).aggregate(number=Count("pk"), since=Min("paused_at"))
    if paused["number"]:
        since = span_in_words(now - paused["since"])
        advice = "manage.py durable_resume ID lets one go on."
        yield Finding(Level.WARNING, "runs", f"{paused['number']:,} paused, the oldest for {since}", advice)


def _open_runs() -> QuerySet[WorkflowExecution]:
    opens = [status.value for status in Status if not status.is_closed]
    return WorkflowExecution.objects.using(conf().database).filter(status__in=opens)
