"""The public surface of semantics.md, as projects and operators use it. Its commands: test_surface_commands.py."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from django_durable import (
    ConfigurationError,
    UnknownExecutionError,
    UnknownQueryError,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowTimeout,
    acancel_workflow,
    aquery_workflow,
    asend_signal,
    astart_workflow,
    await_workflow,
    cancel_workflow,
    query_workflow,
    register,
    send_signal,
    signal_workflow,
    start_workflow,
    wait_workflow,
)
from tests.scenarios import durable_workflows as workflows
from tests.scenarios import ledger
from tests.waiting import wait_until

# Names and handles


@pytest.mark.parametrize(
    "form", [lambda handle: handle, lambda handle: handle.id, str, lambda handle: handle.execution]
)
def test_every_function_takes_a_handle_a_uuid_its_text_or_the_row(site, form):
    handle = site.start("waits_for_answer")
    assert str(UUID(str(handle))) == str(handle)
    given = form(handle)
    assert query_workflow(given)["id"] == str(handle)
    send_signal(given, "answer", 1)
    assert wait_workflow(given, timeout=30) == ["answer", 1]
    assert cancel_workflow(given) is False


@pytest.mark.parametrize("wrong", ["no uuid", 7, None])
def test_what_is_no_execution_is_refused(site, wrong):
    with pytest.raises(UnknownExecutionError, match="expected"):
        send_signal(wrong, "answer")


def test_a_workflow_is_given_by_name_function_or_changed_copy(site):
    for workflow in ("returns", workflows.returns, workflows.returns.using(priority=1)):
        assert start_workflow(workflow, value=1).result(timeout=30) == 1
    assert workflows.returns(None, 5) == 5  # still a plain function
    assert signal_workflow is send_signal


def test_a_handle_does_what_the_functions_do(site):
    handle = site.start("waits_for_answer")
    site.until_waiting(handle, "signal")
    assert handle.status == "RUNNING"
    assert not handle.status.is_closed
    assert handle.query("status")["status"] == "RUNNING"
    handle.signal("answer", 1)
    assert handle.result(30) == ["answer", 1]
    assert handle.status.is_closed
    assert handle.cancel() is False


# Statuses


def test_statuses_from_pending_to_completed(quiet_site, queue):
    site = quiet_site
    handle = start_workflow(site.on_queue("waits_for_answer", queue), patience=60)
    assert handle.status == "PENDING"
    assert handle.execution.started_at is None
    with site.project.worker("--queue-name", queue):
        execution = site.until_waiting(handle, "signal")
        assert (execution.status, execution.result, execution.finished_at) == ("RUNNING", None, None)
        handle.signal("answer")
        handle.result(timeout=30)
    execution = handle.execution
    assert execution.status == "COMPLETED"
    assert execution.created_at <= execution.started_at <= execution.finished_at
    assert execution.waiting_for is None


def test_waiting_for_says_what_since_until_and_where(site):
    handle = site.start("waits_for_answer", patience=60)
    waiting = site.until_waiting(handle, "signal").waiting_for
    assert waiting["what"] == "answer"
    since, until = (datetime.fromisoformat(waiting[name]) for name in ("since", "until"))
    assert until - since == timedelta(seconds=60)
    assert abs(datetime.now(UTC) - since) < timedelta(seconds=30)
    path, _, line = waiting["at"].rpartition(":")
    assert path.endswith("durable_workflows.py")
    assert int(line) > 0
    cancel_workflow(handle)


# Queries


def test_the_query_status_is_always_there(site, key):
    handle = site.start("echo_gated", key=key)
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    site.until_waiting(handle, "activity")
    answer = query_workflow(handle, "status")
    assert answer.pop("waiting_for")["what"] == "gated"
    assert answer == {
        "id": str(handle),
        "workflow_name": "echo_gated",
        "status": "RUNNING",
        "result": None,
        "error": "",
        "pending_activities": ["gated"],
    }
    ledger.open_gate(key)
    handle.result(timeout=30)
    answer = query_workflow(handle)
    assert (answer["status"], answer["result"], answer["pending_activities"]) == ("COMPLETED", 1, [])


def test_a_query_gets_the_execution_and_its_keywords(site):
    handle = site.start("collects", names=["a", "b"])
    assert query_workflow(handle, "names_of") == "a,b"
    assert handle.query("names_of", upper=True) == "A,B"
    with pytest.raises(UnknownQueryError, match="names_of") as refused:
        query_workflow(handle, "names")
    assert isinstance(refused.value, LookupError)
    cancel_workflow(handle)


# For async code


def test_async_twins(site):
    async def closing(story):
        try:
            await story
        finally:  # the thread that sync code runs in outlives this site, whose alias another one may get
            await sync_to_async(forget)()

    def forget():
        connections[site.alias].close()
        del connections[site.alias]

    async def story():
        handle = await astart_workflow("waits_for_answer")
        with pytest.raises(WaitTimeout):
            await await_workflow(handle, 0.05)
        await asend_signal(handle, "answer", 1)
        assert await await_workflow(handle, 30) == ["answer", 1]
        assert (await aquery_workflow(handle))["status"] == "COMPLETED"
        assert await acancel_workflow(handle) is False
        other = await astart_workflow("waits_for_answer")
        assert await other.acancel(reason="async") is True
        with pytest.raises(WorkflowCanceled):
            await other.aresult(30)

    asyncio.run(closing(story()))


# Options of a start


def test_run_after_puts_off_the_start(site):
    handle = start_workflow(workflows.returns.using(run_after=timedelta(seconds=0.4)), value=1)
    later = start_workflow(workflows.returns.using(run_after=timedelta(hours=1)), value=1)
    moment = start_workflow(workflows.returns.using(run_after=datetime.now(UTC) + timedelta(seconds=0.1)), value=2)
    assert moment.result(timeout=30) == 2
    assert handle.result(timeout=30) == 1
    execution = handle.execution
    assert execution.started_at >= execution.start_at > execution.created_at
    assert later.status == "PENDING"
    assert cancel_workflow(later)


def test_a_signal_does_not_start_a_run_before_its_time(site):
    handle = start_workflow(workflows.waits_for_answer.using(run_after=0.4))
    send_signal(handle, "answer", 1)
    assert handle.result(timeout=30) == ["answer", 1]
    assert handle.execution.started_at >= handle.execution.start_at > handle.execution.created_at


def test_timeout_of_a_start_ends_the_run(site):
    handle = start_workflow("waits_for_answer", timeout=0.05)
    with pytest.raises(WorkflowTimeout):
        handle.result(timeout=30)
    handle = start_workflow(workflows.waits_for_answer.using(timeout=timedelta(seconds=0.05)))
    with pytest.raises(TimeoutError):
        handle.result(timeout=30)


def test_higher_priority_goes_first(quiet_site, queue, key):
    site = quiet_site
    for priority in (0, 5, -5, 9):
        workflow = site.on_queue("notes", queue, priority=priority)
        start_workflow(workflow, key=key, text=f"{priority}")
    with site.project.worker("--queue-name", queue, "--batch", "1", "--threads", "1", "--until-idle") as worker:
        assert worker.wait() == 0
    assert [line.split()[1] for line in ledger.effects(key)] == ["9", "5", "0", "-5"]


def test_queues_are_served_by_name(quiet_site, queue, key):
    site = quiet_site
    other = f"{queue}-other"
    here = start_workflow(site.on_queue("returns", queue), value=1)
    there = start_workflow(site.on_queue("returns", other), value=2)
    activity = start_workflow(
        site.on_queue("tries", queue), name="effect", args=[key, "elsewhere"], options={"queue": other}
    )
    with site.project.worker("--queue-name", queue, "--until-idle") as worker:
        assert worker.wait() == 0
    assert (here.status, there.status) == ("COMPLETED", "PENDING")
    assert [task.queue for task in site.tasks(activity)] == [other]
    with site.project.worker("--queue-name", f"{queue},{other}"):
        assert there.result(timeout=30) == 2
        assert activity.result(timeout=30) == {"result": "elsewhere"}


def test_durable_worker_ends_when_it_was_told_to(quiet_site, queue):
    site = quiet_site
    handles = [site.start(site.on_queue("echoes", queue), value=n) for n in range(3)]
    done = site.project.manage(
        "durable_worker", "--batch", "20", "--tick", "0.2", "--queue-name", queue, "--until-idle"
    )
    assert done.returncode == 0, done.stderr
    assert [handle.result(timeout=0) for handle in handles] == [0, 1, 2]
    done = site.project.manage("durable_worker", "--queue-name", queue, "--iterations", "2")
    assert done.returncode == 0, done.stderr


def test_wrong_options_are_refused_with_the_right_ones(site):
    with pytest.raises(ConfigurationError, match="Did you mean 'priority'"):
        workflows.returns.using(priorty=1)
    with pytest.raises(ConfigurationError, match="naive"):
        workflows.returns.using(run_after=datetime(2030, 1, 1))  # noqa: DTZ001 - that is the mistake
    with pytest.raises(ConfigurationError, match="0 or more"):
        start_workflow("returns", timeout=-1)
    with pytest.raises(ConfigurationError, match="whole number"):
        workflows.returns.using(priority="high")


# Round trips

TEXTS = ["", "\x00", "a\x00b", "\ud800", "é日本\U0001f600", "\u2028\u2029", "'; DROP TABLE", "%s %(x)s {0}", "\\", '"']
NUMBERS = [0, -1, 2**63, -(2**70), 10**400, 1.5, 1e308, 5e-324, 0.1 + 0.2]


def test_text_of_any_kind_makes_the_round_trip(site):
    value = {text: text for text in TEXTS}
    assert site.run("echoes", value=value) == value
    handle = site.start("waits_for_answer")
    send_signal(handle, "answer", TEXTS)
    assert handle.result(timeout=30) == ["answer", TEXTS]


def test_numbers_of_any_size_make_the_round_trip(site):
    result = site.run("echoes", value=NUMBERS)
    assert result == NUMBERS
    assert [type(number) for number in result] == [type(number) for number in NUMBERS]


def test_keys_keep_their_order(site):
    value = {"z": 1, "a": {"y": 2, "b": 3}}
    assert repr(site.run("echoes", value=value)) == repr(value)


def test_errors_of_any_text_are_kept(site):
    error = site.run("tries", name="fails", args=["a\x00b \ud800 é"])
    assert error["message"] == "a\x00b \ud800 é"


def test_names_of_any_text_are_kept(site):
    name = "a signal, é 日本 'quoted' \U0001f600"
    handle = site.start("waits_for_answer", name=name)
    send_signal(handle, name, 1)
    assert handle.result(timeout=30) == ["answer", 1]
    keyed = start_workflow(register.find_workflow("returns").using(workflow_id=name), value=1)
    assert keyed.execution.workflow_id == name
    assert keyed.result(timeout=30) == 1
