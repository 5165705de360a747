from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test import override_settings

import django_durable as durable
from django_durable import (
    DurableError,
    PayloadError,
    UnknownExecutionError,
    UnknownQueryError,
    UnknownWorkflowError,
    WaitTimeout,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
    WorkflowFailed,
    WorkflowTimeout,
    cancel_workflow,
    local,
    query_workflow,
    register,
    retry_workflow,
    run_workflow,
    send_signal,
    start_workflow,
    wait_workflow,
)
from django_durable.engine import make_worker, worker_settings
from django_durable.models import ActivityTask, HistoryEvent, QueueEntry, Worker, WorkflowExecution
from django_durable.store.database import Database
from durable_core.handles import ActivityHandle
from tests.project.app.durable_workflows import approval, order
from tests.project.app.models import Order
from tests.store.databases import registered, sqlite_settings


class Undo(Exception):
    """Rolls a transaction back."""


@contextmanager
def undone():
    """A transaction that is rolled back."""
    with suppress(Undo), transaction.atomic():
        yield
        raise Undo


@pytest.fixture(params=["autocommit", "atomic"])
def mode(request):
    """Both ways in which `run_workflow` works."""
    if request.param == "autocommit":
        yield request.param
        return
    with undone():
        yield request.param


def work_until_idle():
    make_worker(worker_settings()).run(until_idle=True)


# Start


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (durable.WorkflowHandle, (UUID(int=7),)),
        (durable.ModelRef, ("auth.user", 7)),
        (durable.BatchResult, ((),)),
        (ActivityHandle, ("0", "send")),
    ],
)
def test_generic_values_are_made_by_their_subscripted_name_too_and_stay_frozen(kind, values):
    made = kind[int](*values)
    assert made == kind(*values)
    with pytest.raises(AttributeError, match="cannot change"):
        made.anything = 7
    with pytest.raises(AttributeError, match="cannot change"):
        del made.anything


def test_a_handle_is_its_id():
    handle = start_workflow(order, number="1")
    assert str(handle) == str(handle.id)
    assert UUID(str(handle)) == handle.id
    assert handle.status == "PENDING"
    assert handle.execution.input == {"number": "1"}


def test_start_by_name_with_a_timeout():
    execution = start_workflow("order", timeout=60, number="1").execution
    assert execution.deadline is not None
    assert execution.workflow_name == "order"


def test_mistakes_surface_at_the_call_and_write_nothing():
    with pytest.raises(UnknownWorkflowError, match="Did you mean 'order'"):
        start_workflow("ordr", number="1")
    with pytest.raises(TypeError, match=r"order\(ctx, number\)"):
        start_workflow(order, nummer="1")
    with pytest.raises(PayloadError, match="set"):
        start_workflow(order, number={1})
    assert not WorkflowExecution.objects.exists()


@pytest.mark.promise("P1")
def test_start_joins_the_callers_transaction():
    with undone():
        handle = start_workflow(order, number="1")
    assert not WorkflowExecution.objects.exists()
    assert not QueueEntry.objects.exists()
    with pytest.raises(UnknownExecutionError, match="rolled back"):
        wait_workflow(handle, timeout=0)


@pytest.mark.promise("P2")
def test_one_open_run_per_workflow_id():
    mine = approval.using(workflow_id="mine")
    first = start_workflow(mine)
    assert start_workflow(mine) == first
    with pytest.raises(WorkflowAlreadyStarted):
        start_workflow(mine, note="other")


@pytest.mark.parametrize("bad", ["7", "", None, 7, b"x"])
def test_what_is_no_id_is_said_to_be_none(bad):
    with pytest.raises(UnknownExecutionError, match="UUID"):
        wait_workflow(bad, timeout=0)


def test_every_form_of_an_execution_is_taken():
    handle = start_workflow(approval)
    for form in (handle, handle.id, str(handle), handle.id.hex, handle.execution):
        assert query_workflow(form, "status")["status"] == "PENDING"
    with pytest.raises(UnknownExecutionError):
        query_workflow(uuid4(), "status")
    assert issubclass(UnknownExecutionError, LookupError)


# Wait


def test_wait_looks_once_with_timeout_zero():
    handle = start_workflow(approval)
    with pytest.raises(WaitTimeout):
        handle.result(timeout=0)
    with pytest.raises(TimeoutError):
        wait_workflow(handle, timeout=0.05)


def test_wait_raises_inside_the_transaction_that_started_the_run():
    with transaction.atomic():
        handle = start_workflow(approval)
        with transaction.atomic(), pytest.raises(DurableError, match="transaction that started run"):
            handle.result()
    with pytest.raises(WaitTimeout):
        handle.result(timeout=0)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere a transaction sees what others commit")
def test_wait_raises_inside_any_transaction_on_sqlite():
    handle = start_workflow(approval)
    with transaction.atomic():
        with pytest.raises(DurableError, match="on SQLite"):
            handle.result(timeout=5)
        with pytest.raises(WaitTimeout):
            handle.result(timeout=0)


def test_a_start_in_a_savepoint_that_was_rolled_back_is_forgotten():
    with transaction.atomic():
        with undone():
            handle = start_workflow(approval)
        with pytest.raises(UnknownExecutionError):
            handle.result(timeout=0)


# Signals, queries, cancel, retry


def test_a_signal_reaches_its_run():
    handle = start_workflow(approval)
    handle.signal("approved", {"by": "me"})
    work_until_idle()
    assert handle.result(timeout=0) == {"by": "me"}
    with pytest.raises(WorkflowClosed):
        send_signal(handle, "approved")


def test_queries():
    handle = start_workflow(approval)
    assert query_workflow(handle) == query_workflow(handle, "status")
    assert handle.query("describe") == "approval is pending"
    assert query_workflow(handle, "describe", loud=True) == "APPROVAL IS PENDING"
    with pytest.raises(UnknownQueryError, match="'describe'"):
        query_workflow(handle, "descibe")


def test_status_tells_what_a_run_waits_for():
    handle = start_workflow(approval)
    work_until_idle()
    answer = query_workflow(handle, "status")
    assert set(answer) == {
        "id",
        "workflow_name",
        "status",
        "result",
        "error",
        "waiting_for",
        "pending_activities",
    }
    assert answer["waiting_for"]["what"] == "approved"


def test_cancel():
    handle = start_workflow(approval)
    assert cancel_workflow(handle, reason="no use") is True
    assert cancel_workflow(handle) is False
    with pytest.raises(WorkflowCanceled, match="no use"):
        handle.result()


def test_retry_is_for_blocked_runs():
    handle = start_workflow(approval)
    with pytest.raises(DurableError, match="not BLOCKED"):
        retry_workflow(handle)
    WorkflowExecution.objects.filter(pk=handle.id).update(status="BLOCKED", crashes=3, failures=7, due_at=None)
    QueueEntry.objects.all().delete()
    retry_workflow(handle)
    handle.signal("approved", 1)
    work_until_idle()
    assert handle.result(timeout=0) == 1
    with pytest.raises(WorkflowClosed, match="only runs that are FAILED or TIMED_OUT"):
        retry_workflow(handle)
    with pytest.raises(UnknownExecutionError):
        retry_workflow(uuid4())


# run_workflow


def test_run_workflow_drives_a_run_to_its_end(mode):
    assert run_workflow(order, number="7") == [True, "7 is on its way"]
    assert Order.objects.get().number == "7"
    assert not Worker.objects.exists()
    assert not QueueEntry.objects.exists()


def test_run_workflow_runs_children_and_named_queues_here(mode):
    assert run_workflow("parent_order", number="7") == "7 is on its way"


def test_run_workflow_runs_transactional_activities(mode):
    """In a transaction of the caller's, what they write and the run itself commit, or do not, with that."""
    assert run_workflow("booking", number="7") == ["7", "ValueError"]
    assert list(Order.objects.values_list("number", flat=True)) == ["7"]


def test_run_workflow_retries(mode):
    assert run_workflow("retried", fails=2) == 3


def test_run_workflow_raises_as_the_run_ended(mode):
    with pytest.raises(WorkflowFailed, match="no money"):
        run_workflow("declined")
    with pytest.raises(WorkflowTimeout):
        run_workflow("too_slow")


def test_run_workflow_delivers_signals_of_its_own_activities(mode):
    assert run_workflow("approved_by_itself") == {"by": "itself"}


def test_an_activity_that_breaks_the_database_breaks_only_itself(mode):
    assert run_workflow("double_payment", number="7") == "IntegrityError"
    assert Order.objects.count() == 1


def test_activities_run_in_the_callers_thread_inside_a_transaction(mode):
    pid, thread = run_workflow("located")
    assert pid == os.getpid()
    assert (thread == threading.get_ident()) is (mode == "atomic")


def test_what_run_workflow_wrote_is_rolled_back_with_its_transaction():
    with undone():
        run_workflow(order, number="7")
    assert not Order.objects.exists()
    assert not WorkflowExecution.objects.exists()
    assert not HistoryEvent.objects.exists()


def test_run_workflow_says_when_nothing_can_bring_what_a_run_waits_for():
    with transaction.atomic(), pytest.raises(DurableError, match="signal 'approved'"):
        run_workflow(approval)


def test_run_workflow_says_when_a_run_is_blocked(mode):
    blocking = override_settings(DURABLE={"ON_WORKFLOW_ERROR": "block"})
    with blocking, pytest.raises(DurableError, match="BLOCKED"):
        run_workflow("declined")


def test_other_workers_leave_its_run_alone():
    """An all-queue worker that is up takes nothing of a run that is driven elsewhere."""
    names = []
    stop = threading.Event()

    def other():
        worker = make_worker(worker_settings(tick=0.01))
        names.append(worker)
        worker.run(until=stop.is_set)
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for number in range(5):
            assert run_workflow("located")[0] == os.getpid()
            run_workflow(order, number=str(number))
    finally:
        stop.set()
        names[0].stop()
        thread.join()
    assert not ActivityTask.objects.filter(worker_id=names[0].id).exists()


# Async


def test_async_twins():
    async def story():
        handle = await durable.astart_workflow(approval, note="x")
        await durable.asend_signal(handle, "approved", 5)
        with pytest.raises(WaitTimeout):
            await durable.await_workflow(handle, timeout=0.01)
        assert (await handle.aquery("status"))["status"] == "PENDING"
        other = await durable.astart_workflow(approval)
        assert await other.acancel(reason="no") is True
        assert await durable.arun_workflow(order, number="9") == [True, "9 is on its way"]
        return handle

    handle = asyncio.run(story())
    work_until_idle()
    assert asyncio.run(durable.await_workflow(handle, timeout=5)) == 5


def test_registered_functions_stay_plain():
    assert register.find_workflow(order).name == "order"
    assert order.using(queue="x").options.queue == "x"


# Databases


class ReadsFromReplica:
    """A router as many projects have it."""

    replica = ""

    def db_for_read(self, model, **hints):
        return self.replica if model._meta.app_label == "django_durable" else None


def test_rows_of_a_run_come_from_its_own_database(tmp_path, monkeypatch):
    """A replica lags behind: a run would be there, and its history not yet. Here it lags by all of its tables."""
    handle = start_workflow("declined")
    make_worker(worker_settings()).run(until_idle=True)
    with (
        registered(sqlite_settings(tmp_path / "replica.sqlite3")) as replica,
        override_settings(DATABASE_ROUTERS=[f"{__name__}.ReadsFromReplica"]),
    ):
        monkeypatch.setattr(ReadsFromReplica, "replica", replica)
        execution = handle.execution
        assert query_workflow(handle)["status"] == "FAILED"
        assert execution.history.count() == execution.history_length
        assert [activity.activity_name for activity in execution.activities.all()] == ["decline"]
        assert list(execution.children.all()) == []


def test_run_workflow_in_a_transaction_sleeps_by_the_databases_clock(monkeypatch):
    slept = []
    now = Database.now
    monkeypatch.setattr(Database, "now", lambda self: now(self) + timedelta(hours=1))

    def sleep(span):
        slept.append(span)
        time.sleep(min(span, 0.1))

    monkeypatch.setattr(local, "time", SimpleNamespace(sleep=sleep))
    with undone():
        run_workflow(order, number="7")
    assert slept
    assert max(slept) < 1


def test_waiting_for_no_time_looks_once_in_a_transaction():
    handle = start_workflow("approval")
    for none in (0, timedelta()):
        with undone(), pytest.raises(WaitTimeout):
            wait_workflow(handle, timeout=none)


def test_positional_input_is_stored_by_name():
    handle = start_workflow(order, 7, timeout=60)
    assert handle.execution.input == {"number": 7}
    with pytest.raises(TypeError, match="given twice"):
        start_workflow(order, 7, number=8)
