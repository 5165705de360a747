"""The caller's side: what a start, a signal and a cancel write, and what a caller is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durable_core import events as e
from durable_core.client import Client
from durable_core.codec import NULL, encode
from durable_core.crashpoints import watched
from durable_core.definitions import Registry
from durable_core.errors import (
    ConfigurationError,
    DurableError,
    PayloadError,
    UnknownExecutionError,
    UnknownWorkflowError,
    WaitTimeout,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
    WorkflowError,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.execution import Status, TaskStatus
from durable_core.ports import CommitResult, Committed, EntryKind, Letter, Verdict, new_id
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings
from tests.core.stories import loads

MINUTE = timedelta(minutes=1)


class Office:
    """A client, and what is behind it."""

    def __init__(self, *, transactional=True, store=InMemoryHistoryStore, **options: Any) -> None:
        self.clock = ManualClock()
        self.store = store(self.clock)
        self.queue = InMemoryTaskQueue(self.clock, store=self.store if transactional else None)
        self.registry = Registry()
        self.client = Client(self.store, self.queue, self.registry, **options)

        @self.registry.activity
        def act(n):
            return n

        @self.registry.workflow
        def waits(ctx, n=0):
            """Waits for a signal, with an activity and a child under way."""
            ctx.start_activity("act", n)
            ctx.start_workflow("quiet")
            ctx.start_workflow(self.registry.workflows["quiet"].using(cancel_with_parent=False))
            return [n, ctx.wait_signal("go")]

        @self.registry.workflow
        def quiet(ctx):
            return ctx.wait_signal("never")

        @self.registry.workflow
        def fails(ctx):
            raise ValueError("no: never")

        @self.registry.workflow
        def nothing(ctx):
            pass

    def start(self, name="waits", timeout=None, **kwargs):
        return self.client.start(name, kwargs, timeout=timeout)

    def work(self, **settings):
        chosen = WorkerSettings(inline=True, **settings)
        Worker(self.store, self.queue, self.registry, self.clock, chosen).run(until_idle=True)

    def record(self, run_id):
        return self.client.find(run_id)

    def facts(self, run_id):
        return [e.event_of(record) for record in self.store.load([run_id])[run_id].events]

    def ready(self):
        return {stats.queue: stats.ready for stats in self.queue.stats()}

    def children(self, run_id):
        return [fact.child_id for fact in self.facts(run_id) if isinstance(fact, e.ChildWorkflowScheduled)]


@pytest.fixture
def office():
    return Office()


# Start


def test_a_start_writes_a_pending_run_and_an_entry(office):
    started = office.start(n=3)
    assert started.created
    record = office.record(started.run_id)
    assert (record.workflow_name, record.status, record.input) == ("waits", Status.PENDING, '{"n":3}')
    assert (record.queue, record.priority, record.workflow_id) == ("default", 0, None)
    assert (record.start_at, record.deadline, record.parent_id, record.history_length) == (None, None, None, 0)
    assert office.store.next_due() is None  # its queue loses nothing
    (claim,) = office.queue.claim(new_id(), {EntryKind.RUN: 9}, queues=(), exclude=())
    assert (claim.entry.kind, claim.entry.ref, claim.entry.queue) == (EntryKind.RUN, started.run_id, "default")
    assert (claim.entry.priority, claim.entry.preferred) == (0, None)


def test_a_start_takes_the_options_of_its_workflow(office):
    options = {"queue": "slow", "priority": 5, "timeout": 60, "workflow_id": "mine", "run_after": MINUTE}
    workflow = office.registry.workflows["waits"].using(**options)
    run_id = office.client.start(workflow, {}).run_id
    record, now = office.record(run_id), office.store.now()
    assert (record.queue, record.priority, record.workflow_id) == ("slow", 5, "mine")
    assert record.start_at == office.store.next_due() == now + MINUTE
    assert record.deadline == now + 2 * MINUTE  # from its start
    assert office.ready() == {}  # its time has not come


def test_a_timeout_of_the_call_goes_before_that_of_the_workflow(office):
    workflow = office.registry.workflows["waits"].using(timeout=60)
    record = office.record(office.client.start(workflow, {}, timeout=5).run_id)
    assert record.deadline == office.store.now() + timedelta(seconds=5)
    with pytest.raises(ConfigurationError, match=r"start_workflow\(timeout=\) is -1"):
        office.start(timeout=-1)


def test_a_start_whose_entry_may_be_lost_is_looked_after():
    office = Office(transactional=False, redelivery=MINUTE)
    run_id = office.start().run_id
    assert office.store.next_due() == office.store.now() + MINUTE
    assert office.ready() == {"default": 1}
    assert office.record(run_id).deadline is None


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "says"),
    [
        ("wait", {}, UnknownWorkflowError, "wait"),
        ("waits", {"m": 1}, TypeError, "m"),
        ("waits", {"n": object()}, PayloadError, r"the input of workflow 'waits' .* at \$\.n"),
        ("waits", {"n": "x" * 100}, PayloadError, r"the input of workflow 'waits' takes 108 bytes .* limit is 50"),
    ],
)
def test_a_start_that_makes_no_sense_writes_nothing(name, kwargs, error, says):
    office = Office(payload_limit=50)
    with pytest.raises(error, match=says):
        office.start(name, **kwargs)
    assert office.ready() == {}


def test_the_same_start_again_is_the_same_run(office):
    workflow = office.registry.workflows["waits"].using(workflow_id="mine")
    first = office.client.start(workflow, {"n": 1})
    again = office.client.start(workflow, {"n": 1})
    assert (again.run_id, again.created) == (first.run_id, False)
    assert office.ready() == {"default": 1}
    with pytest.raises(WorkflowAlreadyStarted, match=r"'mine' .*\{\"n\":1\}, not \{\"n\":2\}") as caught:
        office.client.start(workflow, {"n": 2})
    assert caught.value.execution_id == first.run_id
    with pytest.raises(WorkflowAlreadyStarted, match="of 'waits' with other"):
        office.client.start(office.registry.workflows["quiet"].using(workflow_id="mine"), {})
    office.client.cancel(first.run_id)
    assert office.client.start(workflow, {"n": 2}).created


def test_a_start_may_be_killed_before_and_after_its_commit(office):
    places = []
    with watched(lambda name: places.append((name, office.store.in_transaction()))):
        office.start()
    assert places == [("start-inside", True), ("start-committed", False)]


# Signals


def test_a_signal_is_mail_and_a_wake_up(office):
    run_id = office.start().run_id
    office.work()
    office.client.signal(run_id, "go", {"a": 1})
    (mail,) = office.store.load([run_id])[run_id].mail
    fact = e.event_of(e.EventRecord(0, mail.type, mail.call_id, mail.details, office.store.now()))
    assert fact == e.SignalReceived(name="go", payload=encode({"a": 1}))
    office.work()
    assert office.client.result(run_id, timeout=0) == [0, {"a": 1}]


@pytest.mark.parametrize(
    ("name", "payload", "error", "says"),
    [
        ("", 1, ConfigurationError, "the signal's name is ''"),
        ("go", object(), PayloadError, "the payload of signal 'go'"),
        ("go", "x" * 49, PayloadError, "the payload of signal 'go' takes 51 bytes"),
    ],
)
def test_a_signal_that_makes_no_sense_is_not_sent(name, payload, error, says):
    office = Office(payload_limit=50)
    run_id = office.start().run_id
    with pytest.raises(error, match=says):
        office.client.signal(run_id, name, payload)
    assert office.store.load([run_id])[run_id].mail == []


def test_a_signal_to_a_closed_or_unknown_run_is_refused(office):
    run_id = office.start("nothing").run_id
    office.work()
    with pytest.raises(
        WorkflowClosed, match=r"workflow 'nothing' \(.*\) is COMPLETED; it takes no signal 'go'"
    ) as caught:
        office.client.signal(run_id, "go")
    assert caught.value.execution_id == run_id
    stranger = new_id()
    with pytest.raises(UnknownExecutionError, match=f"No workflow execution {stranger}") as unknown:
        office.client.signal(stranger, "go")
    assert unknown.value.execution_id == stranger


# Cancel


def test_a_cancel_ends_a_run_its_tasks_and_its_children_at_once(office):
    run_id = office.start().run_id
    office.work(exclude=("slow",))
    heard: list[Any] = []
    office.client._hooks = Listening(heard)
    assert office.client.cancel(run_id, reason="not wanted")
    record = office.record(run_id)
    assert (record.status, record.error) == (Status.CANCELED, "WorkflowCanceled: not wanted")
    assert office.facts(run_id)[-1] == e.WorkflowCanceled(reason="not wanted")
    lost, kept = office.children(run_id)
    assert (office.record(lost).status, office.record(kept).status) == (Status.CANCELED, Status.RUNNING)
    assert office.record(lost).error == "WorkflowCanceled: its parent was canceled"
    assert [name for _, name, _ in heard] == ["waits", "quiet"]
    assert not office.client.cancel(run_id)
    assert not office.client.cancel(run_id, graceful=True)
    assert office.facts(run_id)[-2:].count(office.facts(run_id)[-1]) == 1
    stranger = new_id()
    with pytest.raises(UnknownExecutionError, match=f"No workflow execution {stranger}"):
        office.client.cancel(stranger)


@pytest.mark.parametrize("graceful", [False, True])
def test_a_reason_that_is_too_long_cancels_nothing(graceful):
    office = Office(payload_limit=50)
    run_id = office.start().run_id
    with pytest.raises(PayloadError, match="the reason of a cancel takes 51 bytes"):
        office.client.cancel(run_id, reason="x" * 49, graceful=graceful)
    assert office.store.load([run_id])[run_id].mail == []
    assert office.record(run_id).status is Status.PENDING
    assert office.client.cancel(run_id, reason="x" * 48, graceful=graceful)


def test_children_that_have_ended_meanwhile_are_left_alone(office, monkeypatch):
    run_id, ended, still_open = (office.start(name).run_id for name in ("waits", "nothing", "quiet"))
    office.work()
    family = {run_id: [new_id(), ended, still_open]}
    monkeypatch.setattr(office.store, "children", lambda parent: family.get(parent, []))
    office.client.cancel(run_id)
    assert office.record(ended).status is Status.COMPLETED
    assert office.record(still_open).status is Status.CANCELED


class Late(InMemoryHistoryStore):
    """Letters arrive behind the back of whoever has locked a run."""

    late: Sequence[e.HistoryEvent] = ()

    def lock(self, run_id):
        locked = super().lock(run_id)
        late, self.late = self.late, ()
        self.deliver([Letter.of(run_id, fact) for fact in late])
        return locked


@pytest.mark.parametrize(("keep_queued", "status"), [(False, TaskStatus.FAILED), (True, TaskStatus.QUEUED)])
def test_a_cancel_reads_what_arrives_meanwhile(keep_queued, status):
    office = Office(store=Late)
    slow = office.registry.activities["act"].using(queue="slow")
    office.registry.workflow_from(lambda ctx: ctx.run_activity(slow, 1), name="queues")
    run_id = office.start("queues").run_id
    office.work(exclude=("slow",))
    (claim,) = office.queue.claim(new_id(), {EntryKind.ACTIVITY: 9}, queues=("slow",), exclude=())
    office.client.signal(run_id, "go", 1)
    before = office.facts(run_id)
    late = e.SignalReceived(name="late", payload=encode(2))
    office.store.late = [late, e.ActivityCompleted(call_id="7", attempt=1, result=NULL)]
    office.client.cancel(run_id, reason="enough", keep_queued=keep_queued)
    early = e.SignalReceived(name="go", payload=encode(1))
    assert office.facts(run_id) == [*before, early, late, e.WorkflowCanceled(reason="enough")]
    assert office.store.load([run_id])[run_id].mail == []
    assert office.store.task_status(claim.entry.ref) is status


def test_the_history_of_a_canceled_run_does_not_go_back_in_time(office, monkeypatch):
    run_id = office.start().run_id
    office.work()
    last = office.store.load([run_id])[run_id].events[-1].created_at
    monkeypatch.setattr(office.store, "now", lambda: last - MINUTE)  # the clock of another process
    office.client.cancel(run_id)
    assert office.store.load([run_id])[run_id].events[-1].created_at == last


def test_a_store_that_breaks_its_promise_is_named(office, monkeypatch):
    run_id = office.start().run_id
    refused = Committed({run_id: CommitResult(Verdict.CONFLICT)}, [])
    monkeypatch.setattr(office.store, "commit", lambda commits: refused)
    with pytest.raises(DurableError, match=rf"run {run_id} could not be closed \(conflict\) although it was locked"):
        office.client.cancel(run_id)


class Listening:
    """Hooks that hear of events."""

    def __init__(self, heard: list[Any]) -> None:
        self._heard = heard

    def announce(self, news: Any) -> None:
        self._heard += news


def test_a_run_that_never_ran_has_a_history_from_start_to_cancel(office):
    run_id = office.start(n=4).run_id
    office.client.signal(run_id, "go", 1)
    office.client.signal(run_id, "go", 2)
    office.client.cancel(run_id, graceful=True, reason="asked")
    office.client.cancel(run_id)
    started, one, two, ended = office.facts(run_id)
    assert started == e.WorkflowStarted(workflow_name="waits", input=started.input)
    assert started.input == '{"n":4}'
    assert [loads(one.payload), loads(two.payload)] == [1, 2]
    assert ended == e.WorkflowCanceled(reason="")
    assert [record.seq for record in office.store.load([run_id])[run_id].events] == [1, 2, 3, 4]
    assert office.record(run_id).history_length == 4
    assert office.store.load([run_id])[run_id].mail == []


@pytest.mark.parametrize(("options", "status"), [({}, TaskStatus.FAILED), ({"keep_queued": True}, TaskStatus.QUEUED)])
def test_queued_activities_fail_with_a_cancel_unless_they_are_kept(office, options, status):
    slow = office.registry.activities["act"].using(queue="slow")

    @office.registry.workflow
    def queues(ctx):
        return ctx.run_activity(slow, 1)

    run_id = office.start("queues").run_id
    office.work(exclude=("slow",))
    (claim,) = office.queue.claim(new_id(), {EntryKind.ACTIVITY: 9}, queues=("slow",), exclude=())
    office.client.cancel(run_id, **options)
    assert office.store.task_status(claim.entry.ref) is status


def test_a_parent_hears_that_its_child_was_canceled(office):
    @office.registry.workflow
    def parent(ctx):
        try:
            ctx.run_workflow("quiet")
        except WorkflowCanceled as error:
            return error.reason

    run_id = office.start("parent").run_id
    office.work()
    (child,) = office.children(run_id)
    office.client.cancel(child, reason="by hand")
    office.work()
    assert office.client.result(run_id, timeout=0) == "by hand"


def test_a_graceful_cancel_is_mail(office):
    run_id = office.start().run_id
    office.work()
    assert office.client.cancel(run_id, reason="please", graceful=True)
    assert office.record(run_id).status is Status.RUNNING
    office.work()
    assert office.record(run_id).error == "WorkflowCanceled: please"
    assert e.WorkflowCancelRequested(reason="please", graceful=True) in office.facts(run_id)


def test_wake_ups_wait_for_the_callers_transaction_where_the_queue_cannot_join_it():
    later: list[Callable[[], None]] = []
    office = Office(transactional=False, after_commit=later.append)
    run_id = office.start().run_id
    office.client.signal(run_id, "go")
    assert office.ready() == {}
    for send in later:
        send()
    assert office.ready() == {"default": 2}


# Results


def test_a_result_is_what_the_run_returned_or_raised(office):
    nothing, fails, quiet, late = (office.start(name).run_id for name in ("nothing", "fails", "quiet", "quiet"))
    timed = office.start("quiet", timeout=1).run_id
    office.work()
    assert office.client.result(nothing) is None
    with pytest.raises(WorkflowFailed, match=rf"workflow 'fails' \({fails}\) failed: ValueError: no: never") as failed:
        office.client.result(fails)
    assert (failed.value.execution_id, failed.value.type_name) == (fails, "ValueError")
    office.client.cancel(quiet, reason="a: b")
    with pytest.raises(WorkflowCanceled, match=rf"workflow 'quiet' \({quiet}\) was canceled: a: b") as canceled:
        office.client.result(quiet)
    assert (canceled.value.execution_id, canceled.value.reason) == (quiet, "a: b")
    office.clock.advance(2)
    office.work()
    with pytest.raises(WorkflowTimeout, match="timed out") as timeout:
        office.client.result(timed)
    assert timeout.value.execution_id == timed
    with pytest.raises(WaitTimeout, match=rf"workflow 'quiet' \({late}\) is still RUNNING after 0 s"):
        office.client.result(late, timeout=0)
    with pytest.raises(WaitTimeout, match=r"after 0\.01 s"):
        office.client.result(late, timeout=0.01)
    with pytest.raises(UnknownExecutionError):
        office.client.result(new_id(), timeout=0)
    with pytest.raises(ConfigurationError, match=r"result\(timeout=\) is -1"):
        office.client.result(nothing, timeout=-1)


def test_a_caller_waits_until_the_run_has_ended(office, monkeypatch):
    run_id = office.start("quiet").run_id
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            office.client.cancel(run_id)

    monkeypatch.setattr("durable_core.client.time.sleep", sleep)
    with pytest.raises(WorkflowCanceled):
        office.client.result(run_id)
    assert len(pauses) == 20
    assert pauses[:3] == pytest.approx([0.002, 0.003, 0.0045])  # soon at first
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.1


@pytest.mark.parametrize(("timeout", "expected"), [(0, []), (0.01, [0.002, 0.003, 0.0045, 0.0005])])
def test_a_wait_with_a_timeout_is_no_longer_than_that(office, monkeypatch, timeout, expected):
    run_id = office.start("quiet").run_id
    now, pauses = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)
        assert len(pauses) < 9, "it waits on and on"

    monkeypatch.setattr("durable_core.client.time.sleep", sleep)
    monkeypatch.setattr("durable_core.client.time.monotonic", lambda: now)
    with pytest.raises(WaitTimeout, match=f"after {timeout} s"):
        office.client.result(run_id, timeout=timeout)
    assert pauses == pytest.approx(expected)


def test_a_run_whose_next_one_is_gone_has_no_result(office, monkeypatch):
    run_id = office.start().run_id
    record = replace(office.record(run_id), status=Status.CONTINUED_AS_NEW)
    monkeypatch.setattr(office.store, "get", lambda _: record)
    monkeypatch.setattr(office.store, "newest", lambda _: record)
    with pytest.raises(WorkflowError, match=rf"workflow 'waits' \({run_id}\) is CONTINUED_AS_NEW") as caught:
        office.client.result(run_id)
    assert caught.value.execution_id == run_id
