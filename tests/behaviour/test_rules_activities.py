"""Rules 14 to 19 of semantics.md: activities, their retries, time limits and deaths."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction

from django_durable import cancel_workflow, start_workflow
from django_durable.models import Worker
from tests.scenarios import ledger
from tests.sites import entered
from tests.waiting import wait_until


def in_backoff(site, handle, attempt=1):
    """The task of a run's only activity, while it waits for the attempt behind this one."""

    def reached():
        tasks = site.tasks(handle)
        return tasks[0] if tasks and tasks[0].attempt == attempt and tasks[0].retry_at is not None else None

    return wait_until(reached, f"backoff behind attempt {attempt}")


def backoff_of(site, policy, *, attempt=1, kind="ValueError"):
    """Seconds between an attempt's failure and the next attempt, as they are planned."""
    handle = site.start("tries", name="fails", args=["boom", kind], policy=policy)
    task = in_backoff(site, handle, attempt)
    assert cancel_workflow(handle)
    return (task.retry_at - task.started_at).total_seconds()


# 14: retries


@pytest.mark.parametrize(
    ("policy", "attempt", "least", "most"),
    [
        ({"initial_interval": 100, "maximum_interval": 1000}, 1, 100, 101),
        ({"initial_interval": 0.02, "backoff_coefficient": 5000, "maximum_interval": 1000}, 2, 100, 101),
        ({"initial_interval": 1e6}, 1, 60, 61),  # the default maximum_interval
        ({"initial_interval": 0.02, "backoff_coefficient": 1e9, "maximum_interval": 30}, 2, 30, 31),
        ({"initial_interval": 100, "maximum_interval": 1000, "jitter": 0.5}, 1, 50, 101),
        ({"strategy": "linear", "initial_interval": 0.1, "backoff_coefficient": 5000}, 2, 0.2, 0.9),
    ],
)
def test_rule_14_the_retry_policy_sets_the_backoff(site, policy, attempt, least, most):
    if policy.get("strategy") == "linear":
        policy = {**policy, "maximum_attempts": 4}
    assert least <= backoff_of(site, policy, attempt=attempt) < most


def test_rule_14_maximum_attempts_ends_the_retries(site, key):
    policy = {"initial_interval": 0.01, "maximum_attempts": 2}
    error = site.run("tries", name="fails_before", args=[key, 5], policy=policy)
    assert (error["type_name"], error["message"], error["attempt"]) == ("ConnectionError", "attempt 2", 2)
    assert len(ledger.effects(key)) == 2


def test_rule_14_no_maximum_means_no_limit(site, key):
    policy = {"initial_interval": 0, "maximum_attempts": 0}
    assert site.run("tries", name="fails_before", args=[key, 12], policy=policy) == {"result": 12}


@pytest.mark.parametrize("refused", ["KeyError", "LookupError"])
def test_rule_14_non_retryable_error_types_match_base_types(site, refused):
    policy = {"initial_interval": 0.01, "maximum_attempts": 3, "non_retryable_error_types": [refused]}
    assert site.run("tries", name="fails", args=["boom", "KeyError"], policy=policy)["attempt"] == 1
    assert site.run("tries", name="fails", args=["boom", "ValueError"], policy=policy)["attempt"] == 3


def test_rule_14_retry_if_is_asked(site, key):
    assert site.run("tries", name="fails_if_asked", args=[key, "never"])["attempt"] == 1
    handle = site.start("tries", name="fails_if_asked", args=[key, "again"])
    in_backoff(site, handle)
    assert cancel_workflow(handle)


def test_rule_14_an_error_may_say_when_to_come_back(site):
    assert 500 <= backoff_of(site, {"initial_interval": 1}, kind="TryLater") < 501


# 15: time limits


def test_rule_15_schedule_to_close_ends_retries(site):
    policy = {"initial_interval": 0.05, "backoff_coefficient": 1}
    error = site.run("tries", name="fails", policy=policy, options={"timeout": 0.3})
    assert (error["class"], error["kind"]) == ("ActivityTimeout", "schedule_to_close")
    assert error["cause"]["type"] == "ValueError"
    assert error["attempt"] > 1


def test_rule_15_schedule_to_close_ends_an_attempt_that_runs(site, key):
    error = site.run("tries", name="gated", args=[key], options={"timeout": 0.2})
    ledger.open_gate(key)
    assert (error["class"], error["kind"], error["attempt"]) == ("ActivityTimeout", "schedule_to_close", 1)
    assert len(ledger.effects(key)) == 1


def test_rule_15_schedule_to_start_ends_a_wait_in_the_queue(site, key, queue):
    options = {"queue": queue, "schedule_to_start": 0.1}  # nobody serves it
    error = site.run("tries", name="effect", args=[key], options=options)
    assert (error["class"], error["kind"]) == ("ActivityTimeout", "schedule_to_start")
    assert ledger.effects(key) == []


def test_rule_15_start_to_close_ends_an_attempt_which_is_retried(site, key):
    error = site.run("tries", name="spins", args=[key], options={"start_to_close": 0.15})
    assert (error["class"], error["kind"], error["attempt"]) == ("ActivityTimeout", "start_to_close", 2)
    assert len(ledger.effects(key)) == 2


def test_rule_15_a_missing_heartbeat_ends_an_attempt_which_is_retried(site, key):
    """And the next attempt gets the details of the last heartbeat."""
    handle = site.start("tries", name="silent", args=[key], options={"heartbeat_timeout": 0.2})
    assert handle.result(timeout=30) == {"result": "{'at': 7}"}
    assert site.tasks(handle)[0].attempt == 2
    ledger.open_gate(key)


def test_rule_15_timeout_of_a_workflow_is_from_start_to_close(site):
    handle = site.start("sleeps", seconds=60, timeout=timedelta(seconds=0.05))
    execution = site.until(handle, "TIMED_OUT")
    assert execution.finished_at >= execution.deadline
    assert execution.error.startswith("WorkflowTimeout")


# 16: failures for good


def test_rule_16_an_activity_that_fails_for_good_wakes_its_workflow(site):
    handle = site.start("tries", name="fails")
    assert handle.result(timeout=30)["message"] == "boom"
    assert site.tasks(handle)[0].status == "FAILED"
    assert site.tasks(handle)[0].error == "ValueError: boom"


@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt"])
def test_rule_16_an_activity_that_calls_sys_exit_or_raises_a_base_exception_is_a_failed_attempt(site, key, how):
    error = site.run("tries", name="exits", args=[key, how])
    assert error["type_name"] == {"sys.exit": "SystemExit"}.get(how, how)
    assert error["attempt"] == len(ledger.effects(key)) == 3


# 16 and 17: deaths


@pytest.fixture(scope="module")
def deaths(quiet_site_on):
    """Two worker processes under a parent, with activities and code that kill them, and others beside."""
    with entered(quiet_site_on) as site:
        queue = "deaths"

        def start(name, /, **given):
            return start_workflow(site.on_queue(name, queue), **given)

        endless = {"initial_interval": 0.01, "maximum_attempts": 0}
        with site.project.worker("--queue-name", queue, "--procs", "2"):
            once = start("tries", name="dies_once", args=["deaths-once"]).result(timeout=60)
            kills = start("tries", name="exits", args=["deaths-kill", "sigkill"], policy=endless)
            # An activity that happens to be under way at all three deaths fails for good, too: these see two at most.
            wait_until(lambda: ledger.effects("deaths-kill"), "the first death")
            others = [start("sequence", n=3) for _ in range(3)]
            killed = kills.result(timeout=60)
            beside = [other.result(timeout=60) for other in others]
            with transaction.atomic(using=site.alias):  # so that one worker claims them together
                code = start("kills_its_worker", key="deaths-code")
                others = [start("returns", value=3) for _ in range(3)]
            blocked = site.until(code, "BLOCKED")
            beside += [other.result(timeout=60) for other in others]
            results = {"once": once, "kills": killed, "others": beside}
        return results, blocked, ledger.effects("deaths-kill"), ledger.effects("deaths-code")


@pytest.mark.promise("P4")
def test_rule_16_a_worker_that_dies_is_a_failed_attempt_like_any_other(deaths):
    results, *_ = deaths
    assert results["once"] == {"result": 2}


def test_rule_17_an_activity_that_kills_its_worker_too_often_fails_for_good_and_the_others_go_on(deaths):
    results, _, effects, _ = deaths
    assert results["kills"]["type_name"] == "WorkerDied"
    assert "MAX_CRASHES is 3" in results["kills"]["message"]
    assert results["kills"]["attempt"] == len(effects) == 3
    assert results["others"] == [3] * 6


def test_rule_17_a_run_whose_code_kills_its_worker_too_often_is_blocked(deaths):
    _, blocked, _, effects = deaths
    assert blocked.error.startswith("WorkerDied: 3 workers died")
    assert "durable_retry" in blocked.error
    assert len(effects) == 3


@pytest.mark.promise("P4")
def test_rule_17_attempts_are_counted_and_committed_before_user_code_runs(site):
    assert site.run("tries", name="own_row") == {"result": ["RUNNING", 1, 1, True]}


# 18: overdue activities


def test_rule_18_a_timed_out_activity_is_interrupted_in_its_thread(site, key):
    once = {"maximum_attempts": 1}
    site.run("tries", name="spins_on", args=[key], policy=once, options={"start_to_close": 0.1})
    wait_until(lambda: len(ledger.effects(key)) == 2, "the interruption")
    assert ledger.effects(key)[1].endswith("ActivityInterrupted")


@pytest.mark.parametrize("limit", ["timeout", "heartbeat_timeout"])
def test_rule_18_an_activity_that_the_store_has_timed_out_is_interrupted_too(site, key, limit):
    """Its worker hears of it at its next heartbeat."""
    once = {"maximum_attempts": 1}
    site.run("tries", name="spins_on", args=[key], policy=once, options={limit: 0.1})
    wait_until(lambda: len(ledger.effects(key)) == 2, "the interruption")
    assert ledger.effects(key)[1].endswith("ActivityInterrupted")


@pytest.mark.parametrize("quiet_site_on", ["postgres"], indirect=True)
def test_rule_18_a_process_with_an_activity_that_will_not_stop_is_replaced(quiet_site, queue, key):
    """Its neighbours come to their end first."""
    site = quiet_site
    once = {"maximum_attempts": 1}
    with site.project.worker("--queue-name", queue, "--procs", "2") as worker:
        stuck = start_workflow(
            site.on_queue("tries", queue),
            name="will_not_stop",
            args=[key],
            policy=once,
            options={"start_to_close": 0.1},
        )
        assert stuck.result(timeout=30)["kind"] == "start_to_close"
        pid = ledger.effects(key)[0].split()[0]
        neighbours = [start_workflow(site.on_queue("echo_gated", queue), key=f"{key}-{number}") for number in range(6)]
        for number in range(6):
            wait_until(partial(ledger.effects, f"{key}-{number}"), "the neighbours to begin")
        wait_until(lambda: "its thread is given up" in worker.said, "the thread to be given up")
        wait_until(lambda: "it has lost a thread" in worker.said, "the process to drain")
        for number in range(6):
            ledger.open_gate(f"{key}-{number}")
        assert [neighbour.result(timeout=30) for neighbour in neighbours] == [1] * 6
        wait_until(lambda: "is replaced" in worker.said, "the process to be replaced")
        after = start_workflow(site.on_queue("echoes", queue), value=1)
        assert after.result(timeout=30) == 1
        assert f"process {pid}) is replaced" in worker.said
    assert {task.attempt for neighbour in neighbours for task in site.tasks(neighbour)} == {1}


# 19: heartbeats


def test_rule_19_heartbeats_come_from_their_own_thread(quiet_site, queue, key):
    """Workflow code that holds the loop, and an activity that does not come back: the worker is alive all the same."""
    site = quiet_site
    activity = start_workflow(site.on_queue("echo_gated", queue), key=key)
    with site.project.worker("--queue-name", queue):
        wait_until(lambda: ledger.effects(key), "the activity to begin")
        code = start_workflow(site.on_queue("code_at_gate", queue), key=f"{key}-code")
        wait_until(lambda: ledger.effects(f"{key}-code"), "the code to hold the loop")
        worker_id = site.tasks(activity)[0].worker_id
        began = Worker.objects.using(site.alias).get(pk=worker_id).heartbeat_at
        late = began + timedelta(seconds=2)  # WORKER_TIMEOUT is 1.5 s
        wait_until(lambda: Worker.objects.using(site.alias).get(pk=worker_id).heartbeat_at > late, "heartbeats")
        ledger.open_gate(f"{key}-code")
        ledger.open_gate(key)
        assert activity.result(timeout=30) == 1
        code.signal("go", 2)
        assert code.result(timeout=30) == 2
    assert len(ledger.effects(key)) == 1
    assert len(ledger.effects(f"{key}-code")) == 1


def test_rule_19_cancellation_reaches_the_activity_at_its_next_heartbeat(site, key, queue):
    handle = site.start("busy", key=key, elsewhere=queue)
    wait_until(lambda: ledger.effects(key), "the activity to begin")
    assert cancel_workflow(handle)
    wait_until(lambda: len(ledger.effects(key)) == 2, "the activity to hear of it")
    assert ledger.effects(key)[1].endswith("ActivityCanceled")
    [task] = [task for task in site.tasks(handle) if task.activity_name == "heartbeats_until_canceled"]
    wait_until(lambda: site.execution(handle).activities.get(pk=task.pk).status == "CANCELED", "CANCELED")
