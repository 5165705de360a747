"""Questions to people, through the real worker: answered once, in time, and whatever dies on the way."""

from __future__ import annotations

import signal

import pytest
from django.db import transaction

from django_durable import (
    TaskAnswered,
    TaskClosed,
    UnknownTask,
    WorkflowCanceled,
    answer_task,
    cancel_workflow,
    open_tasks,
    retry_workflow,
    send_signal,
)
from django_durable.models import HumanTask
from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.waiting import wait_until

LATE = 0.5  # seconds


def tasks_of(handle, number=1):
    """Its open tasks, once there are so many."""

    def found():
        tasks = list(open_tasks().filter(execution=handle.id).order_by("call_id"))
        return tasks if len(tasks) == number else None

    return wait_until(found, f"{number} open tasks")


def status_of(site, task):
    return HumanTask.objects.using(site.alias).get(pk=task.pk).status


@pytest.mark.promise("P3")
def test_a_person_answers_once_and_the_history_says_who(site):
    handle = site.start("asks", form=["yes", "no"], assignee="ann")
    [task] = tasks_of(handle)
    assert site.execution(handle).waiting_for["kind"] == "task"
    with transaction.atomic(using=site.alias):
        answer_task(task, "no", by="ben")
        transaction.set_rollback(True, using=site.alias)
    answer_task(str(task.pk), "yes", by="ann")
    with pytest.raises(TaskAnswered, match="ann answered"):
        answer_task(task.pk, "no", by="ben")
    assert handle.result(timeout=30) == "yes"
    events = {event.type: event.details for event in handle.execution.history.all()}
    assert (events["task_asked"]["assignee"], events["task_asked"]["task_id"]) == ("ann", str(task.pk))
    assert events["task_answered"] == {"by": "ann", "answer": "yes"}
    assert_sound(site, handle)


def test_two_of_three_are_enough(site, key):
    handle = site.start("needs_two_of", names=["ann", "ben", "cy"], key=key)
    ann, _, cy = tasks_of(handle, 3)
    answer_task(cy, "yes", by="cy")
    answer_task(ann, "yes", by="ann")
    approved, [[left, why]] = handle.result(timeout=30)
    assert (sorted(approved), left, why) == (["ann", "cy"], "ben", "two are enough")
    assert len(ledger.effects(key)) == 1
    assert not open_tasks().filter(execution=handle.id).exists()
    assert_sound(site, handle)


def test_of_answers_that_come_together_none_is_lost(site, key):
    """The third comes with those that make it needless: it is answered, and its workflow hears that."""
    handle = site.start("needs_two_of", names=["ann", "ben", "cy"], key=key)
    tasks = tasks_of(handle, 3)
    with transaction.atomic(using=site.alias):
        for task in tasks:
            answer_task(task, "yes")
    approved, ended = handle.result(timeout=30)
    assert (approved, ended) == (["ann", "ben"], [["cy", "yes"]])
    assert_sound(site, handle)


def test_a_question_that_nobody_answers_goes_to_somebody_else(site, key):
    handle = site.start("reminds_and_escalates", key=key, first=0.1, last=LATE)
    [first] = tasks_of(handle)
    wait_until(lambda: ledger.effects(f"{key}-reminded"), "the reminder")
    wait_until(lambda: status_of(site, first) == "EXPIRED", "the time to be over")
    [second] = tasks_of(handle)
    assert (second.assignee, second.expires_at) == ("boss", None)
    with pytest.raises(TaskClosed, match="it expired at"):
        answer_task(first, "late")
    answer_task(second, "fine", by="boss")
    assert handle.result(timeout=30) == "fine"
    assert_sound(site, handle)


@pytest.mark.parametrize("how", ["scope", "graceful", "at once"])
def test_a_cancel_closes_the_question(site, how):
    handle = site.start({"scope": "asks_in_a_scope", "graceful": "clears_up_behind_a_question"}.get(how, "asks"))
    [task] = tasks_of(handle)
    if how == "scope":
        send_signal(handle, "stop")
        assert handle.result(timeout=30) == "stopped"
    else:
        assert cancel_workflow(handle, graceful=how == "graceful")
    wait_until(lambda: status_of(site, task) == "CANCELED", "the question to be closed")
    with pytest.raises(TaskClosed, match="it was canceled"):
        answer_task(task, 1)
    if how == "graceful":
        send_signal(handle, "go")
        with pytest.raises(WorkflowCanceled):
            handle.result(timeout=30)
    assert_sound(site, handle)


def test_a_coroutine_gets_its_answer(site):
    handle = site.start("asks_as_a_coroutine")
    [task] = tasks_of(handle)
    answer_task(task, "b")
    assert handle.result(timeout=30) == "b"
    assert_sound(site, handle)


def test_a_run_that_is_opened_again_asks_again(site):
    handle = site.start("asks", within=0.1)
    wait_until(lambda: site.execution(handle).status == "FAILED", "its time to be over")
    task = HumanTask.objects.using(site.alias).get(execution=handle.id)
    with transaction.atomic(using=site.alias):
        retry_workflow(handle, reason="ann was ill")
        answer_task(task, "better late", by="ann")
    assert handle.result(timeout=30) == "better late"
    assert_sound(site, handle)


# Deaths


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2", "run-claimed:2"])
def test_a_question_survives_a_death_at(point, quiet_site, queue, key):
    """Once before it was asked, once when it is answered."""
    site = quiet_site
    handle = site.start(site.on_queue("needs_two_of", queue), names=["ann", "ben"], key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        for task in tasks_of(handle, 2):
            answer_task(task, "yes", by=task.assignee)
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert handle.result(timeout=30) == [["ann", "ben"], []]
        assert_sound(site, handle)
    assert site.history(handle).count("task_answered") == 2


@pytest.mark.parametrize(("point", "is_there"), [("start-inside", False), ("start-committed", True)])
def test_an_answer_is_whole_or_not_there_when_its_process_dies_at(point, is_there, site):
    handle = site.start("asks")
    [task] = tasks_of(handle)
    command = ("durable_answer", str(task.pk), "--input", "7", "--by", "ann")
    dying = site.project.manage(*command, DURABLE_CRASH_AT=point)
    assert dying.returncode == -signal.SIGKILL, dying.stderr
    if is_there:
        with pytest.raises(TaskAnswered, match="ann"):
            answer_task(task, 8)
    else:
        answer_task(task, 8)
    assert handle.result(timeout=30) == (7 if is_there else 8)
    assert_sound(site, handle)


def test_an_id_that_is_none_is_refused(site):
    with pytest.raises(UnknownTask):
        answer_task("00000000-0000-4000-8000-000000004711", 1)
