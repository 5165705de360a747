"""From a run's decision to what is committed for it: every option of a call arrives where the store reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.codec import encode
from durable_core.execution import Status, TaskStatus
from durable_core.ports import OVERRUN, Letter, Mail, RunRecord
from durable_core.retry import RetryPolicy
from durable_core.worker.proposals import propose, propose_block
from durable_core.worker.slots import Slot
from tests.core.stories import EPOCH, RUN_ID, Story, activities_and_children, completed, failed, loads
from tests.core.test_attempts import task_of

NOW = EPOCH + timedelta(minutes=5)
SECOND = timedelta(seconds=1)
PARENT, WORKER = UUID(int=70), UUID(int=71)


def record_of(**changes):
    values = {
        "id": RUN_ID,
        "workflow_name": "story",
        "workflow_id": None,
        "status": Status.RUNNING,
        "version": 4,
        "history_length": 0,
        "input": "{}",
        "result": None,
        "error": "",
        "queue": "mail",
        "priority": 3,
        "start_at": None,
        "deadline": None,
        "parent_id": None,
        "parent_call_id": None,
        "cancel_with_parent": True,
        "chain_id": None,
        "timeout": None,
        "worker_id": None,
        "failures": 0,
        "crashes": 0,
        "created_at": EPOCH,
    }
    return RunRecord(**{**values, **changes})


def proposed(fn, *facts, here=(), again_at=None, registry=None, slot=None, **record):
    """What is proposed for a run that was started, and then given *facts*; activities named in *here* begin here."""
    story = Story(fn, registry=registry)
    decision = story.start()
    if facts:
        decision = story.give(*facts)
    slot = slot or Slot(RUN_ID)
    slot.run, slot.record, slot.version = story.run, record_of(**record), 4
    return propose(
        slot,
        decision,
        NOW,
        worker_id=WORKER,
        starts_here=lambda name, queue: (name, queue) in here,
        again_at=again_at,
    )


def test_a_decision_is_committed_whole():
    outcome: Any = object()
    claim: Any = object()
    slot = Slot(RUN_ID, mail=[Mail(5, "x", None, "{}"), Mail(9, "x", None, "{}")], outcomes=[outcome], claims=[claim])
    proposal = proposed(lambda ctx: ctx.sleep(60), slot=slot)
    commit = proposal.commit
    assert (commit.run_id, commit.version, commit.status) == (RUN_ID, 4, Status.RUNNING)
    assert [event.type for event in commit.events] == ["workflow_started", "timer_started"]
    assert (commit.history_length, commit.worker_id, list(commit.mail_read)) == (2, WORKER, [5, 9])
    assert commit.due_at == EPOCH + timedelta(minutes=1)
    assert loads(commit.waiting_for)["kind"] == "timer"
    assert (commit.result, commit.error, commit.failures, commit.crashes) == (None, "", 0, 0)
    assert list(commit.outcomes) == proposal.outcomes == [outcome]
    assert (proposal.claims, proposal.eager) == ([claim], [])
    assert (list(commit.tasks), list(commit.children), list(commit.letters)) == ([], [], [])


def test_an_end_is_committed_with_result_or_error():
    done = proposed(lambda ctx: 7).commit
    assert (done.status, done.result, done.error, done.waiting_for, done.due_at) == (
        Status.COMPLETED,
        "7",
        "",
        None,
        None,
    )
    broken = proposed(lambda ctx: 1 // 0).commit
    assert (broken.status, broken.result) == (Status.FAILED, None)
    assert broken.error.startswith("ZeroDivisionError: ")


# Activities


def test_an_activity_takes_what_it_was_not_told_from_its_run():
    (task,) = proposed(lambda ctx: ctx.run_activity("add", 1, 2)).commit.tasks
    assert (task.call_id, task.activity_name, loads(task.input)) == ("0", "add", {"args": [1, 2], "kwargs": {}})
    assert (task.queue, task.priority, task.retry_policy, task.claimed) == ("mail", 3, {}, False)
    limits = (task.expires_at, task.schedule_to_start, task.start_to_close, task.heartbeat_timeout, task.due_at)
    assert limits == (None, None, None, None, None)


OPTIONS = {
    "timeout": 60,
    "schedule_to_start": 20,
    "start_to_close": 10,
    "heartbeat_timeout": 5,
    "queue": "slow",
    "priority": 0,
    "retry_policy": RetryPolicy(maximum_attempts=2),
}


def with_options(**changes):
    registry = activities_and_children()
    add = registry.activities["add"].using(**{**OPTIONS, **changes})
    return {"fn": lambda ctx: ctx.run_activity(add, 1, 2), "registry": registry}


def test_an_activity_has_the_options_of_its_call():
    (task,) = proposed(**with_options()).commit.tasks
    assert (task.queue, task.priority, task.retry_policy) == ("slow", 0, {"maximum_attempts": 2})
    assert task.expires_at == NOW + 60 * SECOND
    limits = (task.schedule_to_start, task.start_to_close, task.heartbeat_timeout)
    assert limits == (20 * SECOND, 10 * SECOND, 5 * SECOND)


@pytest.mark.parametrize(
    ("changes", "again_at", "due_after"),
    [
        ({}, None, 20),
        ({}, 15, 15),
        ({"schedule_to_start": None}, None, 60),
        ({"schedule_to_start": None, "timeout": None}, None, None),
        ({"schedule_to_start": None, "timeout": None}, 30, 30),
    ],
)
def test_a_queued_activity_is_looked_at_when_its_wait_may_be_over(changes, again_at, due_after):
    again_at = None if again_at is None else NOW + again_at * SECOND
    (task,) = proposed(again_at=again_at, **with_options(**changes)).commit.tasks
    assert task.due_at == (None if due_after is None else NOW + due_after * SECOND)


@pytest.mark.parametrize(
    ("changes", "due_after"),
    [
        ({}, 5 * SECOND),
        ({"heartbeat_timeout": None}, 10 * SECOND + OVERRUN),
        ({"heartbeat_timeout": None, "start_to_close": None}, 60 * SECOND),
        ({"heartbeat_timeout": None, "start_to_close": None, "timeout": None}, None),
    ],
)
def test_an_activity_that_begins_here_is_looked_at_when_its_attempt_may_be_over(changes, due_after):
    proposal = proposed(here=[("add", "slow")], again_at=NOW + SECOND, **with_options(**changes))
    (task,), (begun,) = proposal.commit.tasks, proposal.eager
    assert task.claimed
    assert task.due_at == (None if due_after is None else NOW + due_after)
    assert (begun.id, begun.run_id, begun.status) == (task.id, RUN_ID, TaskStatus.RUNNING)
    assert (begun.attempt, begun.token, begun.started_at, begun.queued_at) == (1, 1, NOW, NOW)


def test_only_what_begins_here_is_begun_here():
    def fn(ctx):
        ctx.start_activity("old")
        ctx.start_activity("new")
        ctx.start_activity("old")
        ctx.sleep(1)

    proposal = proposed(fn, here=[("new", "mail")])
    assert [task.claimed for task in proposal.commit.tasks] == [False, True, False]
    assert [task.activity_name for task in proposal.eager] == ["new"]
    assert len({task.id for task in proposal.commit.tasks}) == 3


# Children


def test_a_child_takes_what_it_was_not_told_from_its_parent():
    (child,) = proposed(lambda ctx: ctx.run_workflow("child", n=2)).commit.children
    assert (child.workflow_name, child.input, child.queue, child.priority) == ("child", '{"n":2}', "mail", 3)
    assert (child.parent_id, child.parent_call_id, child.cancel_with_parent) == (RUN_ID, "0", True)
    assert (child.start_at, child.due_at, child.deadline, child.workflow_id) == (None, None, None, None)


def test_a_child_has_the_options_of_its_call():
    registry = activities_and_children()
    options = {"queue": "slow", "priority": 0, "timeout": 60, "run_after": 10, "cancel_with_parent": False}
    wanted = registry.workflows["child"].using(**options)
    (child,) = proposed(lambda ctx: ctx.run_workflow(wanted), registry=registry, again_at=NOW + SECOND).commit.children
    assert (child.queue, child.priority, child.cancel_with_parent) == ("slow", 0, False)
    assert child.start_at == child.due_at == NOW + 10 * SECOND
    assert child.deadline == NOW + 70 * SECOND  # from its start


def test_a_child_whose_wake_up_may_be_lost_is_looked_after():
    registry = activities_and_children()
    wanted = registry.workflows["child"].using(timeout=60)
    (child,) = proposed(lambda ctx: ctx.run_workflow(wanted), registry=registry, again_at=NOW + SECOND).commit.children
    assert (child.due_at, child.deadline) == (NOW + SECOND, NOW + 60 * SECOND)


# Letters


def test_a_parent_is_told_how_its_child_ended_and_only_then():
    child = {"parent_id": PARENT, "parent_call_id": "2"}
    (told,) = proposed(lambda ctx: 7, **child).commit.letters
    assert told == Letter.of(PARENT, e.ChildWorkflowCompleted(call_id="2", result=encode(7)))
    assert list(proposed(lambda ctx: ctx.sleep(1), **child).commit.letters) == []
    assert list(proposed(lambda ctx: 7).commit.letters) == []


def test_open_children_are_canceled_at_once_when_their_parent_ends():
    def fn(ctx):
        ctx.start_workflow("child")
        ctx.run_activity("old")

    ended = proposed(fn, failed(1), parent_id=PARENT, parent_call_id="2").commit
    request, told = ended.letters
    fact = e.event_of(e.EventRecord(0, request.type, request.call_id, request.details, NOW))
    assert fact == e.WorkflowCancelRequested(reason="its parent closed", graceful=False)
    assert told.run_id == PARENT
    (child,) = proposed(fn).commit.children
    assert request.run_id == child.id
    assert list(proposed(fn, completed(0)).commit.letters) == []


# Blocked


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 2), (5, 32), (8, 256), (9, 300), (10_000, 300)])
def test_a_blocked_run_is_tried_again_later_and_later(failures, seconds):
    slot = Slot(RUN_ID, record=record_of(), version=4, failures=failures, crashes=1, history_length=6)
    commit = propose_block(slot, "it does not fit", NOW)
    assert (commit.run_id, commit.version, commit.status) == (RUN_ID, 4, Status.BLOCKED)
    assert (commit.error, commit.failures, commit.crashes) == ("it does not fit", failures + 1, 1)
    assert (list(commit.events), commit.history_length, commit.worker_id) == ([], 6, None)
    assert commit.due_at == NOW + seconds * SECOND
    assert loads(commit.waiting_for) == {
        "kind": "code",
        "what": "a rollback, a patch or a fix",
        "since": NOW.isoformat(),
        "until": commit.due_at.isoformat(),
    }


def test_a_run_that_is_not_tried_again_by_itself_says_what_to_do():
    commit = propose_block(Slot(RUN_ID, record=record_of()), "it kills workers", NOW, tries_again=False)
    assert commit.due_at is None
    waiting_for = loads(commit.waiting_for)
    assert (waiting_for["what"], waiting_for["until"]) == ("a fix, and durable_retry", None)


# Records


def test_a_task_that_was_committed_is_the_one_that_was_proposed():
    (task,) = proposed(**with_options()).commit.tasks
    queued = task.committed(RUN_ID, NOW)
    assert (queued.status, queued.attempt, queued.token, queued.started_at) == (TaskStatus.QUEUED, 0, 0, None)
    copied = (queued.scheduled_at, queued.queued_at, queued.retry_at, queued.crashes, queued.heartbeat_at)
    assert copied == (NOW, NOW, None, 0, None)
    for name in ("id", "call_id", "activity_name", "input", "queue", "priority", "retry_policy", "expires_at"):
        assert getattr(queued, name) == getattr(task, name)
    for name in ("schedule_to_start", "start_to_close", "heartbeat_timeout"):
        assert getattr(queued, name) == getattr(task, name)
    assert task.committed(RUN_ID, NOW, retry_policy={"jitter": 1}).retry_policy == {"jitter": 1}
    assert type(queued) is type(task_of())


# Going on


def goes_on(**record):
    """The run that goes on for one that ends at `NOW`."""
    [run] = proposed(lambda ctx: ctx.continue_as_new(), **record).commit.children
    return run


def test_the_next_run_of_a_chain_has_as_much_time_as_the_first():
    """To the microsecond, however long its creation took: a chain may have millions of runs."""
    span, late = timedelta(minutes=10), timedelta(milliseconds=40)
    run = goes_on(timeout=span, deadline=EPOCH + span - late)
    assert (run.timeout, run.deadline) == (span, NOW + span)


def test_time_that_an_earlier_release_did_not_keep_is_counted_from_the_start():
    minute = timedelta(minutes=1)
    assert goes_on(deadline=EPOCH + 3 * minute).timeout == 3 * minute
    assert goes_on(deadline=EPOCH + 3 * minute, start_at=EPOCH + minute).timeout == 2 * minute
    assert (goes_on().timeout, goes_on().deadline) == (None, None)


def test_the_next_run_belongs_where_the_first_did():
    first = goes_on(workflow_id="w", parent_id=PARENT, parent_call_id="4", cancel_with_parent=False)
    assert (first.workflow_id, first.parent_id, first.parent_call_id) == ("w", PARENT, "4")
    assert (first.cancel_with_parent, first.chain_id, first.queue, first.priority) == (False, RUN_ID, "mail", 3)
    assert goes_on(chain_id=PARENT).chain_id == PARENT
