"""What must be true of a run once it has closed, however many processes died on the way; and what to wait for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.db.models import Q

from django_durable.engine import engine
from django_durable.models import ActivityTask, HistoryEvent, Mail, Worker, WorkflowExecution
from tests.scenarios import ledger
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness import WorkerProcess
    from tests.sites import Site

ENDS = {
    "workflow_completed": "COMPLETED",
    "workflow_failed": "FAILED",
    "workflow_canceled": "CANCELED",
    "workflow_timed_out": "TIMED_OUT",
}
OUTCOMES = {"activity_completed", "activity_failed", "activity_timed_out", "activity_canceled"}
CHILD_OUTCOMES = {f"child_workflow_{end}" for end in ("completed", "failed", "canceled", "timed_out")}


def assert_sound(site: Site, handle: Any) -> None:
    """A closed run and its children: one end, no gap, no outcome twice, nothing left behind."""
    family = [site.execution(handle)]
    family += WorkflowExecution.objects.using(site.alias).filter(parent=family[0])
    for execution in family:
        assert_history_is_sound(site, execution)
    wait_until(lambda: not _leftovers(site, family), lambda: f"nothing to be left: {_leftovers(site, family)}")


def assert_history_is_sound(site: Site, execution: WorkflowExecution) -> None:
    events = list(HistoryEvent.objects.using(site.alias).filter(execution=execution).order_by("seq"))
    story = [(event.seq, event.type, event.call_id) for event in events]
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), story
    assert execution.history_length == len(events), story
    assert events[0].type == "workflow_started", story
    ends = [event.type for event in events if event.type in ENDS]
    assert ends == [events[-1].type], story
    assert execution.status == ENDS[events[-1].type], story
    for asked, answers in (("activity_scheduled", OUTCOMES), ("child_workflow_scheduled", CHILD_OUTCOMES)):
        scheduled = Counter(event.call_id for event in events if event.type == asked)
        answered = Counter(event.call_id for event in events if event.type in answers)
        assert max(scheduled.values(), default=1) == 1, story
        assert answered <= scheduled, story
        if execution.status == "COMPLETED" and "timer_fired" not in {event.type for event in events}:
            assert answered == scheduled, story  # its code waited for all it asked for
    timers = Counter(event.call_id for event in events if event.type == "timer_fired")
    assert max(timers.values(), default=1) == 1, story


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
