"""One run, as far as it can go: what becomes of it, whatever state it is found in."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.codec import Payload
from durable_core.decision import RunSettings
from durable_core.errors import CodeStuck
from durable_core.execution import Status
from durable_core.ports import Mail
from durable_core.testing import ManualClock
from durable_core.worker import advancing
from durable_core.worker.advancing import Advancer, Block, Leave, Nothing
from durable_core.worker.attempts import completed as outcome_of
from durable_core.worker.liveness import CodeWatch
from durable_core.worker.settings import WorkerSettings
from durable_core.worker.slots import Proposal, Slot
from tests.core.stories import EPOCH, RUN_ID, Story, completed, loads, signal
from tests.core.test_attempts import task_of
from tests.core.test_proposals import record_of

SECOND = timedelta(seconds=1)
NOW = EPOCH + 60 * SECOND
WORKER = UUID(int=60)


class Found:
    """A run as a worker finds it, and the worker."""

    def __init__(self, fn, *, mail=(), story=None, run_settings=None, settings=None, **record):
        self.story = story or Story(fn, settings=run_settings)
        self.slot = Slot(RUN_ID, self.story.fresh(fn), record_of(**record), version=4, status=Status.RUNNING)
        if story is not None:
            self.slot.history = list(story.history)
            self.slot.history_length = len(story.history)
        self.slot.mail = [Mail(number, *self._letter(fact)) for number, fact in enumerate(mail, start=1)]
        self.settings = WorkerSettings(**(settings or {}))
        self.promised: list[Any] = []
        self.room = 10
        self.watch: Any = CodeWatch(ManualClock(), 10.0)

    @staticmethod
    def _letter(fact):
        return fact.type, fact.call_id, e.details_of(fact)

    def starts_here(self, name, reserved):
        self.promised.append((name, reserved))
        return reserved < self.room

    def advance(self, *, now=NOW, reserved=0, again_at=None, draining=False):
        desk: Any = SimpleNamespace(starts_here=self.starts_here)
        advancer = Advancer(self.story.registry, self.settings, desk, self.watch, WORKER)
        return advancer.advance(self.slot, now, reserved=reserved, again_at=again_at, draining=draining)

    def proposed(self, **options):
        proposal = self.advance(**options)
        assert isinstance(proposal, Proposal)
        return proposal.commit


def waits(ctx):
    return ctx.wait_signal("go")


def after(fn, *facts):
    """A run that a worker has brought so far, and that is in the store."""
    story = Story(fn)
    story.start(*facts)
    return story


def about_the_run(record):
    return (record.execution_id, record.workflow_name) == (str(RUN_ID), "story")


# First steps


def test_first_step_begins_with_the_input_of_the_run():
    commit = Found(lambda ctx, n: ctx.wait_signal(f"go {n}"), input='{"n":7}').proposed()
    started, waiting = [e.event_of(record) for record in commit.events]
    assert isinstance(waiting, e.SignalWaitStarted)
    assert started == e.WorkflowStarted(workflow_name="story", input=Payload('{"n":7}'))
    assert waiting.name == "go 7"
    assert {record.created_at for record in commit.events} == {NOW}
    assert commit.worker_id == WORKER


def test_mail_comes_in_its_order_and_before_what_ended_here():
    def fn(ctx):
        ctx.start_activity("old")
        ctx.sleep(1000)

    found = Found(fn, story=after(fn), mail=[signal("a", 1), signal("b", 2)])
    found.slot.outcomes = [outcome_of(task_of(call_id="0"), Payload("5"))]
    commit = found.proposed()
    assert [record.type for record in commit.events] == ["signal_received", "signal_received", "activity_completed"]
    first, second, ended = [e.event_of(record) for record in commit.events]
    assert (first, second) == (signal("a", 1), signal("b", 2))
    assert ended == completed(0, 5)
    assert list(commit.mail_read) == [1, 2]


def test_history_is_replayed_once():
    found = Found(waits, story=after(waits), mail=[signal("other")])
    assert [record.seq for record in found.proposed().events] == [3]
    assert found.slot.history is None
    found.slot.mail = [Mail(9, *found._letter(signal("go", 1)))]
    assert [record.seq for record in found.proposed().events] == [4, 5]


# What is left alone


def test_run_that_is_closed_or_was_never_committed_is_let_go():
    assert Found(waits).advance() is not None
    found = Found(waits)
    found.slot.record = None
    assert found.advance() is Nothing.TO_DO


@pytest.mark.parametrize(("early", "is_begun"), [(1, False), (0, True), (-1, True)])
def test_run_is_not_begun_before_its_time(early, is_begun):
    advance = Found(waits, mail=[signal("go")], start_at=NOW + early * SECOND).advance()
    assert isinstance(advance, Proposal) if is_begun else advance is Nothing.TO_DO


def test_run_that_has_begun_asks_for_its_start_no_more():
    found = Found(waits, story=after(waits), mail=[signal("go")], start_at=NOW + SECOND)
    assert isinstance(found.advance(), Proposal)


def test_wake_up_that_changes_nothing_is_not_written():
    assert Found(waits, story=after(waits)).advance() is Nothing.NEW


@pytest.mark.parametrize(
    ("fn", "changes"),
    [
        (lambda ctx: ctx.sleep(1000), {}),  # whoever woke it has taken its due_at away
        (waits, {"mail": [Mail(1, "activity_completed", "9", '{"attempt":1,"result":1}')]}),
        (waits, {"status": Status.BLOCKED}),
        (waits, {"crashes": 1}),
    ],
    ids=["waits for a time", "mail that means nothing", "was blocked", "was suspected"],
)
def test_nothing_new_is_written_where_something_is_over_with_it(fn, changes):
    found = Found(fn, story=after(fn))
    for name, value in changes.items():
        setattr(found.slot, name, value)
    commit = found.proposed()
    assert list(commit.events) == []
    assert commit.status is Status.RUNNING


# What this worker cannot do


def test_run_of_an_unknown_workflow_is_left_with_a_hint(caplog):
    found = Found(waits, workflow_name="child_")
    found.slot.run = None
    assert found.advance() == Leave(
        json.dumps({"kind": "worker", "what": "a worker that has workflow 'child_'"}, separators=(",", ":"))
    )
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("no workflow 'child_' here (")
    assert "'child'" in record.getMessage()
    assert (record.execution_id, record.workflow_name) == (str(RUN_ID), "child_")


def test_run_of_newer_code_is_left_to_that(caplog):
    def newer(ctx):
        ctx.patched("a-change")
        ctx.wait_signal("go")

    found = Found(waits, story=after(newer))
    leave = found.advance()
    assert isinstance(leave, Leave)
    assert loads(leave.waiting_for) == {"kind": "worker", "what": "a worker that has workflow version 'story'"}
    [record] = caplog.records
    assert "a-change" in record.getMessage()
    assert about_the_run(record)


# What cannot go on


def test_run_whose_code_was_changed_is_blocked():
    def other(ctx):
        ctx.sleep(5)

    block = Found(other, story=after(waits)).advance()
    assert isinstance(block, Block)
    assert block.error.startswith("NondeterminismError: The history holds a wait for signal 'go'")
    assert (block.tries_again, block.told) == (True, "")


def test_text_of_an_exception_is_for_the_run_and_not_for_logs():
    def fails(ctx):
        raise ValueError("a secret")

    block = Found(fails, run_settings=RunSettings(block_on_error=True)).advance()
    assert isinstance(block, Block)
    assert block.error.startswith("CodeFailed: ValueError: a secret")
    assert block.told.startswith("ValueError at ")
    assert "secret" not in block.told


def test_code_that_computes_for_too_long_is_blocked():
    found, seen = Found(waits), []

    @contextmanager
    def over(run):
        seen.append(run)
        yield
        raise CodeStuck

    found.watch = SimpleNamespace(over=over)
    assert found.advance() == Block("CodeStuck: the workflow's code ran for too long without a ctx call")
    assert seen == [found.slot.run]


@pytest.mark.parametrize("status", [Status.RUNNING, Status.BLOCKED])
def test_run_that_killed_too_many_workers_is_not_tried_again(status):
    found = Found(waits, settings={"max_crashes": 2})
    found.slot.crashes, found.slot.status = 2, status
    advance = found.advance()
    if status is Status.BLOCKED:
        assert advance is Nothing.TO_DO
    else:
        assert isinstance(advance, Block)
        assert advance.error.startswith("WorkerDied: 2 workers died while they ran this workflow's code. ")
        assert (advance.tries_again, advance.told) == (False, "")
    found.slot.crashes = 1
    assert isinstance(found.advance(), Proposal)


# What people read


def test_warnings_of_a_decision_name_the_run(caplog):
    def careless(ctx):
        ctx.start_activity("old")

    assert Found(careless).proposed().status is Status.COMPLETED
    [record] = caplog.records
    assert record.getMessage().startswith("The workflow returned while 1 of its activities")
    assert record.levelno == logging.WARNING
    assert about_the_run(record)


@pytest.mark.parametrize(("limit", "warns"), [(2, False), (3, True), (4, True), (5, False)])
def test_long_history_is_told_of_once_when_it_gets_there(limit, warns, caplog, monkeypatch):
    """Two events stand in it, and two more come."""
    monkeypatch.setattr(advancing, "WARN_HISTORY", limit)

    def fn(ctx):
        ctx.wait_signal("go")
        ctx.wait_signal("on")

    Found(fn, story=after(fn), mail=[signal("go")]).proposed()
    told = [record for record in caplog.records if "a history has 4 events" in record.getMessage()]
    assert [about_the_run(record) for record in told] == [True] * warns


def test_names_of_a_run_that_is_not_known_are_empty():
    assert advancing.ids_of(Slot(RUN_ID)) == {"execution_id": str(RUN_ID), "workflow_name": ""}


# Activities that begin here


def three(ctx):
    for name in ("old", "new", "old"):
        ctx.start_activity(name)
    ctx.wait_signal("go")


def test_places_are_promised_once_each():
    found = Found(three)
    found.room = 4
    commit = found.proposed(reserved=2)
    assert found.promised == [("old", 2), ("new", 3), ("old", 4)]
    assert [task.claimed for task in commit.tasks] == [True, True, False]


def test_place_that_was_refused_is_not_counted():
    found = Found(three)
    found.room = 0
    assert not any(task.claimed for task in found.proposed().tasks)
    assert [reserved for _, reserved in found.promised] == [0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({}, True),
        ({"queues": ("mail",)}, True),
        ({"queues": ("other",)}, False),
        ({"exclude": ("mail",)}, False),
        ({"exclude": ("other",)}, True),
        ({"queues": ("mail",), "exclude": ("mail",)}, True),
    ],
)
def test_activity_of_a_queue_that_is_served_elsewhere_does_not_begin_here(settings, begins):
    commit = Found(three, settings=settings).proposed()
    assert {task.claimed for task in commit.tasks} == {begins}


def test_worker_that_drains_begins_nothing_and_keeps_no_run():
    found = Found(three)
    commit = found.proposed(draining=True, again_at=NOW + SECOND)
    assert commit.worker_id is None
    assert [(task.claimed, task.due_at) for task in commit.tasks] == [(False, NOW + SECOND)] * 3
    assert found.promised == []


def test_run_that_ends_begins_nothing():
    found = Found(lambda ctx: ctx.start_activity("old") and None)
    commit = found.proposed()
    assert commit.status is Status.COMPLETED
    assert not any(task.claimed for task in commit.tasks)
    assert found.promised == []
