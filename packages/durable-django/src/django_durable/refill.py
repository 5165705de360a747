"""Another queue, or an empty one: have everything that could need an entry get one."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Q

from django_durable.engine import engine
from django_durable.models import ActivityTask, WorkflowExecution
from durable_core.execution import Status, TaskStatus


class Refilled(NamedTuple):
    runs: int
    activities: int


def refill() -> Refilled:
    """Make all open runs and queued activities due; workers turn what is due into entries, a batch at a time.

    Needed after a change from a queue that loses nothing: what stands in such a queue is noted nowhere else. An entry
    too many changes nothing.
    """
    made = engine()
    alias, now = made.conf.database, made.store.now()
    # What has its time to come has its `due_at`: a start that was put off, a retry in backoff. BLOCKED waits for code.
    runs = WorkflowExecution.objects.using(alias).filter(status__in=[Status.PENDING, Status.RUNNING])
    runs = runs.exclude(status=Status.PENDING, start_at__gt=now)
    activities = ActivityTask.objects.using(alias).filter(status=TaskStatus.QUEUED).exclude(retry_at__gt=now)
    later = Q(due_at__isnull=True) | Q(due_at__gt=now)
    return Refilled(runs.filter(later).update(due_at=now), activities.filter(later).update(due_at=now))
