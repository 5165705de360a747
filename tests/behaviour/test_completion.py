"""Activities that somebody else completes, through the real worker: which may have died long ago."""

from __future__ import annotations

import signal

import pytest
from django.db import transaction

from django_durable import (
    CompletionTokenUnknown,
    CompletionTokenUsed,
    cancel_workflow,
    complete_activity,
    fail_activity,
    heartbeat_activity,
)
from tests.crashes.proof import assert_sound
from tests.scenarios import ledger
from tests.waiting import wait_until

IMPATIENT = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}


def token_of(site, handle, key, attempt=1):
    """Of this attempt, once no worker has it any more."""

    def found():
        lines = ledger.effects(key)
        task = next(iter(site.tasks(handle)), None)
        if task is None or len(lines) < attempt or (task.status, task.worker_id) != ("RUNNING", None):
            return None
        return lines[attempt - 1].split()[1]

    return wait_until(found, f"attempt {attempt} to be left to others")


@pytest.mark.parametrize("name", ["asks_others", "asks_others_async"])
def test_an_activity_is_completed_from_outside(name, site, key):
    handle = site.start("tries", name=name, args=[key])
    token = token_of(site, handle, key)
    with transaction.atomic(using=site.alias):
        heartbeat_activity(token, {"seen": True})
        complete_activity(token, {"paid": 7})
    assert handle.result(timeout=30) == {"result": {"paid": 7}}
    with pytest.raises(CompletionTokenUsed):
        complete_activity(token, 8)
    [task] = site.tasks(handle)
    assert (task.status, task.attempt, task.heartbeat_details) == ("COMPLETED", 1, {"seen": True})
    assert token not in str(vars(task))
    assert_sound(site, handle)


def test_what_is_said_in_a_transaction_that_is_rolled_back_was_never_said(site, key):
    handle = site.start("tries", name="asks_others", args=[key])
    token = token_of(site, handle, key)
    with transaction.atomic(using=site.alias):
        complete_activity(token, 1)
        transaction.set_rollback(True, using=site.alias)
    complete_activity(token, 2)
    assert handle.result(timeout=30) == {"result": 2}


def test_a_failure_from_outside_is_tried_again_with_another_token(site, key):
    handle = site.start("tries", name="asks_others", args=[key])
    first = token_of(site, handle, key)
    fail_activity(first, ConnectionError("later"))
    second = token_of(site, handle, key, attempt=2)
    with pytest.raises(CompletionTokenUnknown):
        complete_activity(first, "stale")
    fail_activity(second, "no money", retryable=False)
    error = handle.result(timeout=30)
    assert (error["type_name"], error["message"], error["attempt"]) == ("CompletionFailed", "no money", 2)


def test_time_limits_hold_while_nobody_completes_it(site, key):
    once = {"maximum_attempts": 1}
    error = site.run("tries", name="asks_others", args=[key, 0.3], policy=once)
    assert (error["class"], error["kind"]) == ("ActivityTimeout", "completion")


def test_a_cancel_ends_what_somebody_else_was_to_complete(site, key):
    handle = site.start("tries", name="asks_others", args=[key])
    token = token_of(site, handle, key)
    assert cancel_workflow(handle)
    with pytest.raises(CompletionTokenUsed, match="FAILED already"):
        heartbeat_activity(token)


@pytest.mark.promise("P3")
@pytest.mark.parametrize(("left", "name"), [(True, "asks_others"), (False, "asks_others"), (True, "asks_others_async")])
def test_the_death_of_the_worker_does_not_touch_what_others_complete(left, name, quiet_site, queue, key):
    """Behind the moment at which it was left to others; a worker that dies before has failed as ever."""
    site = quiet_site
    handle = site.start(site.on_queue("tries", queue), name=name, args=[key, 3600, not left])
    with site.project.worker("--queue-name", queue, durable=IMPATIENT) as doomed:
        if left:
            token_of(site, handle, key)
            doomed.process.send_signal(signal.SIGKILL)
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=IMPATIENT):
        if left:
            other = site.start(site.on_queue("echoes", queue), value=1)
            assert other.result(timeout=30) == 1  # a worker that has looked around
        token = token_of(site, handle, key, attempt=1 if left else 2)
        complete_activity(token, "done")
        assert handle.result(timeout=30) == {"result": "done"}
        assert_sound(site, handle)
    assert site.tasks(handle)[0].attempt == len(ledger.effects(key)) == (1 if left else 2)
