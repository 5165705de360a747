"""An answer against the time, another answer and a cancel: one of them wins, and the other is told."""

from __future__ import annotations

import pytest
from django.db import transaction

from django_durable import TaskAnswered, TaskClosed, answer_task, cancel_workflow
from django_durable.engine import engine
from tests.behaviour.test_asking import LATE, status_of, tasks_of
from tests.crashes.proof import assert_sound
from tests.crashes.test_races import ON_POSTGRES, nothing_decided, one_behind_the_other, opponents, until_waiting
from tests.sites import BACKENDS
from tests.waiting import wait_until


@pytest.mark.parametrize("busy_site_on", BACKENDS, indirect=True)
def test_an_answer_that_was_first_wins_over_the_time(busy_site):
    """The answer is on its way, and holds the run, when the time is over."""
    site = busy_site
    handle = site.start("asks", within=LATE)
    [task] = tasks_of(handle)
    with transaction.atomic(using=site.alias):
        answer_task(task, "in time", by="ann")
        wait_until(lambda: engine().store.now() > task.expires_at, "the time to be over")
    assert handle.result(timeout=30) == "in time"
    assert "task_expired" not in site.history(handle)
    assert_sound(site, handle)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("busy_site_on", ON_POSTGRES, indirect=True)
def test_an_answer_that_comes_while_its_end_is_written_is_refused(busy_site):
    """The decision that the time is over holds the run, and is not committed, when the answer comes."""
    site = busy_site
    handle = site.start("asks", within=LATE)
    [task] = tasks_of(handle)
    with opponents(site, 1) as others:
        with nothing_decided(busy_site):
            until_waiting(site, 1)
            late = others.begin(lambda: answer_task(task, "late", by="ann"))
            until_waiting(site, 2)
        assert isinstance(late.result(30), TaskClosed)
    assert site.until_closed(handle).status == "FAILED"
    assert status_of(site, task) == "EXPIRED"
    assert "task_answered" not in site.history(handle)
    assert_sound(site, handle)


@pytest.mark.parametrize("busy_site_on", BACKENDS, indirect=True)
def test_a_second_answer_waits_for_the_first_and_is_refused(busy_site):
    site = busy_site
    handle = site.start("asks")
    [task] = tasks_of(handle)
    with opponents(site, 1) as others:
        first, second = one_behind_the_other(
            site, others, lambda: answer_task(task, 1, by="ann"), lambda: answer_task(task, 2, by="ben")
        )
    assert first is None
    assert isinstance(second, TaskAnswered)
    assert second.by == "ann"
    assert handle.result(timeout=30) == 1
    assert_sound(site, handle)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("answer_first", [True, False])
@pytest.mark.parametrize("busy_site_on", BACKENDS, indirect=True)
def test_an_answer_and_a_cancel_of_the_run_end_with_what_was_first(busy_site, answer_first):
    site = busy_site
    handle = site.start("asks")
    [task] = tasks_of(handle)
    acts = [lambda: answer_task(task, 1, by="ann"), lambda: cancel_workflow(handle)]
    with opponents(site, 1) as others:
        first, second = one_behind_the_other(site, others, *(acts if answer_first else acts[::-1]))
    site.until_closed(handle)
    if answer_first:
        assert first is None
        assert status_of(site, task) == "ANSWERED"
        assert site.history(handle).count("task_answered") == 1
    else:
        assert first is True
        assert isinstance(second, TaskClosed)
        assert status_of(site, task) == "CANCELED"
        assert "task_answered" not in site.history(handle)
    assert_sound(site, handle)
