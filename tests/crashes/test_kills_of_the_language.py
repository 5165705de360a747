"""SIGKILL at every crash point of a run that speaks the rest of the language, with people who answer meanwhile."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from django_durable import (
    CompletionTokenUnknown,
    CompletionTokenUsed,
    TaskAnswered,
    WaitTimeout,
    answer_task,
    complete_activity,
    open_tasks,
    read_stream,
    update_workflow,
)
from tests.crashes.killing import IMPATIENT, crowd
from tests.crashes.proof import assert_sound
from tests.crashes.test_kill_matrix import REPEATED
from tests.project.app.models import Order
from tests.scenarios import ledger
from tests.scenarios.language_workflows import EFFECTS, SPOKEN
from tests.sites import PAIRS
from tests.waiting import wait_until

# The store decides here: what queues have to do with it is in the matrix of `everything`. `nox -s kills` takes all.
SOME = ("decision-inside:3", "activity-returned:3", "outcome-inside", "decision-committed:4")
LATER = ("decision-inside:4", "decision-committed:4", "activity-returned:2", "activity-returned:3")
ALL = os.environ.get("DURABLE_TEST_PAIRS") == "all"
ON = PAIRS if ALL else ("sqlite",)
AT = (*REPEATED, *LATER) if ALL else SOME


def add_five(handle, timeout):
    """The same update, however often it is asked for."""
    return update_workflow(handle, "add", {"amount": 5}, update_id="five", timeout=timeout)


def help_along(site, handle, key):
    """What people and other systems would do now."""
    for question in open_tasks().filter(execution=handle.id):
        with suppress(TaskAnswered):
            answer_task(question, "yes", by="ann")
    tasks = site.tasks(handle)
    tokens = dict(line.split()[1:] for line in ledger.effects(f"{key}-left"))  # of all these tasks
    for task in tasks:
        if task.activity_name == "leave_to_others" and (task.status, task.worker_id) == ("RUNNING", None):
            with suppress(CompletionTokenUsed, CompletionTokenUnknown):
                complete_activity(tokens[str(task.attempt)], "completed")


@pytest.mark.promise("P1", "P4")
@pytest.mark.parametrize("quiet_site_on", ON, indirect=True)
@pytest.mark.parametrize("point", AT)
def test_the_whole_language_survives_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("speaks", queue), key=key)
    with pytest.raises(WaitTimeout):
        add_five(handle, timeout=0)

    def died() -> bool:
        help_along(site, handle, key)
        return doomed.process.poll() is not None

    with site.project.worker(*crowd(queue), DURABLE_CRASH_AT=point, durable=IMPATIENT) as doomed:
        wait_until(died, f"a death at {point}")
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    assert site.execution(handle).status in ("PENDING", "RUNNING")

    def is_over() -> bool:
        help_along(site, handle, key)
        return site.execution(handle).status not in ("PENDING", "RUNNING")

    with site.project.worker(*crowd(queue), durable=IMPATIENT):
        wait_until(is_over, "the run to close")
        assert handle.result(timeout=30) == SPOKEN
        assert add_five(handle, timeout=30) == 5
        assert_sound(site, handle)
    assert_nothing_happened_twice_that_must_not(site, handle, key)


def assert_nothing_happened_twice_that_must_not(site, handle, key):
    history = site.history(handle)
    for once in ("task_answered", "workflow_update_accepted", "workflow_update_completed"):
        assert history.count(once) == 1, once
    assert Order.objects.using(site.alias).filter(number__startswith=key).count() == 1
    assert sorted(item.item for item in read_stream(handle, follow=False)) == ["begins", "ends", "told"]
    times = {effect: len(ledger.effects(f"{key}-{effect}")) for effect in EFFECTS}
    assert set(times.values()) <= {1, 2}, times  # an attempt that was lost is the only one
