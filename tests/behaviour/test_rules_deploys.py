"""Rules 5 to 8 of semantics.md, through deploys: worker processes with different code, one after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command

from django_durable import (
    UnknownWorkflowError,
    register,
    remote_workflow,
    retry_workflow,
    run_workflow,
    send_signal,
    start_workflow,
    wait_workflow,
)
from tests.scenarios import ledger
from tests.sites import entered
from tests.waiting import wait_until

CHANGES = {
    # What the message says of history and code. Each has its own scenario.
    "swapped": ["holds activity 'effect' (call 0) at seq 2", "asked for a sleep or timer (call 0)", "probably"],
    "signal_swapped": [
        "holds activity 'effect' (call 0) at seq 2",
        "asked for a wait for signal 'first'",
        "ctx.patched",
    ],
    "missing_call": ["holds activity 'echo' (call 1) at seq 4", "asked for a wait for signal 'go'", "removed"],
    "surplus_call": ["holds a wait for signal 'go'", "asked for activity 'effect' (call 1)", "added"],
    "renamed_activity": ["holds activity 'effect'", "asked for activity 'echo'", "register it with name="],
    "renamed_child": ["holds child workflow 'returns'", "asked for child workflow 'echoes'", "put the old code back"],
    "ends_early": ["holds a wait for signal 'go'", "has ended (workflow_completed)", "removed"],
    "raises_early": [
        "holds a wait for signal 'go'",
        "has ended (workflow_failed with RuntimeError) at ",
        "put the old code back",
    ],
    "other_signal": ["holds a wait for signal 'first'", "asked for a wait for signal 'gone'", "ctx.patched"],
}


def events_of(site, handle):
    return list(site.execution(handle).history.order_by("seq").values_list("seq", "type", "call_id", "details"))


@dataclass
class BadDeploy:
    """Runs that a release began, the next one could not go on with, and the first one finished."""

    site: Any
    handles: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)  # histories
    blocked: dict[str, Any] = field(default_factory=dict)  # rows
    after: dict[str, Any] = field(default_factory=dict)  # histories while blocked
    effects: dict[str, Any] = field(default_factory=dict)  # after the bad release
    said: str = ""
    strict: Any = None


@pytest.fixture(scope="module")
def bad_deploy(quiet_site_on):
    """One deploy for all the changes: release 1, then 2, then 1 again."""
    with entered(quiet_site_on) as site:
        story, queue = BadDeploy(site), "bad-deploy"
        serve = ("--queue-name", queue)
        for name in (*CHANGES, "changed_arguments"):
            story.handles[name] = start_workflow(site.on_queue(name, queue), key=f"deploy-{name}")
        with site.project.worker(*serve, DURABLE_TEST_CODE="1"):
            for name, handle in story.handles.items():
                if name in ("signal_swapped", "other_signal"):
                    send_signal(handle, "first")
                wait_until(partial(_waits_for_go, site, handle), f"{name} to wait")
                story.before[name] = events_of(site, handle)
        for handle in story.handles.values():
            send_signal(handle, "go")
        strict = {"STRICT_INPUTS": True}
        with site.project.worker(*serve, DURABLE_TEST_CODE="2", durable=strict):
            story.strict = site.until(story.handles["changed_arguments"], "BLOCKED")
            for name in CHANGES:
                story.blocked[name] = site.until(story.handles[name], "BLOCKED")
                story.after[name] = events_of(site, story.handles[name])
                story.effects[name] = ledger.effects(f"deploy-{name}")
        retry_workflow(story.handles["changed_arguments"])
        with site.project.worker(*serve, DURABLE_TEST_CODE="2") as worker:
            story.handles["changed_arguments"].result(timeout=30)
        story.said = worker.said
        for name in CHANGES:
            call_command("durable_retry", str(story.handles[name]), verbosity=0)
        with site.project.worker(*serve, DURABLE_TEST_CODE="1"):
            for name in CHANGES:
                story.handles[name].result(timeout=30)
    return story


def _waits_for_go(site, handle):
    return (site.execution(handle).waiting_for or {}).get("what") == "go"


@pytest.mark.promise("P8")
@pytest.mark.parametrize("change", CHANGES)
def test_rule_6_a_mismatch_blocks_with_a_message_worth_reading(bad_deploy, change):
    row = bad_deploy.blocked[change]
    assert row.error.startswith("NondeterminismError: ")
    for part in CHANGES[change]:
        assert part in row.error
    assert "deployed_workflows.py:" in row.error
    assert row.waiting_for["kind"] == "code"


@pytest.mark.promise("P8")
@pytest.mark.parametrize("change", CHANGES)
def test_p8_a_mismatch_writes_nothing(bad_deploy, change):
    assert bad_deploy.after[change] == bad_deploy.before[change]
    assert len(bad_deploy.effects[change]) == 1
    assert bad_deploy.blocked[change].mailbox.count() == 0  # it is closed now; the signal was read by the old code


@pytest.mark.promise("P8")
@pytest.mark.parametrize("change", CHANGES)
def test_p8_a_rollback_of_the_code_lets_the_run_finish(bad_deploy, change):
    handle = bad_deploy.handles[change]
    with entered(bad_deploy.site):
        assert handle.result(timeout=0) == "code 1"
        assert len(ledger.effects(f"deploy-{change}")) == 1


def test_rule_5_changed_arguments_warn(bad_deploy):
    with entered(bad_deploy.site):
        assert bad_deploy.handles["changed_arguments"].result(timeout=0) == "old"
        assert len(ledger.effects("deploy-changed_arguments")) == 1
    assert "The arguments of activity 'effect' (call 0) are not the recorded ones: see $.args[1]." in bad_deploy.said
    assert "The recorded ones hold." in bad_deploy.said


def test_rule_5_changed_arguments_are_a_mismatch_with_strict_inputs(bad_deploy):
    error = bad_deploy.strict.error
    assert "The arguments of activity 'effect' (call 0) are not the recorded ones: see $.args[1]." in error
    assert "STRICT_INPUTS" in bad_deploy.strict.error


@pytest.mark.promise("P8")
def test_p8_a_blocked_run_is_tried_again_by_itself(quiet_site, queue, key):
    site = quiet_site
    handle = start_workflow(site.on_queue("swapped", queue), key=key)
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        site.until_waiting(handle, "signal")
    send_signal(handle, "go")
    with site.project.worker("--queue-name", queue):
        site.until(handle, "BLOCKED")
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"):
        assert handle.result(timeout=30) == "code 1"


# 7: patches


@pytest.mark.promise("P8")
def test_rule_7_a_patch_lives_through_patched_deprecated_removed(quiet_site, queue, key):
    """Four releases. Each finishes what the one before began, and begins something for the next."""
    site = quiet_site
    began: list[tuple[str, Any]] = []
    kinds = {"patched_once": 1, "patched_in_loop": 3, "patched_in_branch": 1}
    for release, expected in (("1", None), ("2", "old"), ("3", "new"), ("4", "new")):
        with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE=release):
            for name, handle in began:
                for _ in range(kinds[name]):
                    send_signal(handle, "go", True)
            for name, handle in began:
                result = handle.result(timeout=30)
                if name == "patched_in_branch":  # they had not come to the change: new code is new code
                    assert result == "new"
                else:
                    assert result == [expected] * kinds[name]
            began = [(name, start_workflow(site.on_queue(name, queue), key=f"{key}-{release}")) for name in kinds]
            for _, handle in began:
                site.until_waiting(handle, "signal")
    # One mail for the loop and one for the run beside it while release 1 had them, and none again.
    assert len(ledger.effects(f"{key}-1-old")) == 4
    markers = [site.history(handle).count("version_marker") for _, handle in began]
    assert markers == [0, 0, 0]


def test_rule_7_get_version_keeps_what_the_run_began_with(quiet_site, queue, key):
    site = quiet_site
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="2"):
        handle = start_workflow(site.on_queue("versioned", queue), key=key)
        site.until_waiting(handle, "signal")
    send_signal(handle, "go")
    with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="3"):
        assert handle.result(timeout=30) == 2
    assert len(ledger.effects(key)) == 1


@pytest.fixture(scope="module")
def rolling_deploy(quiet_site_on):
    """Runs that release 2 knows, while only a worker of release 1 is up; then one of release 2."""
    with entered(quiet_site_on) as site:
        queue, later = "rolling", "rolling-later"
        handles = {
            "marker": start_workflow(site.on_queue("patched_once", queue), key="rolling"),
            "activity": start_workflow(site.on_queue("needs_new_activity", queue), queue=later),
        }
        with site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="2"):
            site.until_waiting(handles["marker"], "signal")
            site.until_waiting(handles["activity"], "activity")
        handles["workflow"] = start_workflow(site.on_queue("newcomer", queue))
        send_signal(handles["marker"], "go")
        left = {}
        with site.project.worker("--queue-name", f"{queue},{later}", DURABLE_TEST_CODE="1") as worker:
            for name, handle in handles.items():
                site.until_waiting(handle, "worker")
                execution = site.execution(handle)
                left[name] = (execution.status, execution.waiting_for["what"], execution.failures, site.tasks(handle))
        with site.project.worker("--queue-name", f"{queue},{later}", DURABLE_TEST_CODE="2"):
            results = {name: handle.result(timeout=30) for name, handle in handles.items()}
        return left, results, worker.said, {name: site.tasks(handle) for name, handle in handles.items()}


def test_rule_7_an_unknown_marker_is_left_to_a_newer_worker(rolling_deploy):
    left, results, said, _ = rolling_deploy
    status, what, failures, _ = left["marker"]
    assert (status, failures) == ("RUNNING", 0)
    assert what == "a worker that has workflow version 'patched_once'"
    assert "patch marker new-mail" in said
    assert results["marker"] == ["new"]


def test_rule_13_an_unknown_workflow_is_left_to_another_worker(rolling_deploy):
    left, results, said, _ = rolling_deploy
    status, what, _, _ = left["workflow"]
    assert status == "PENDING"
    assert what == "a worker that has workflow 'newcomer'"
    assert "no workflow 'newcomer' here" in said
    assert results["workflow"] == "new"


def test_rule_13_an_unknown_activity_is_left_to_another_worker_and_charged_no_attempt(rolling_deploy):
    left, results, said, tasks = rolling_deploy
    _, what, _, [task] = left["activity"]
    assert (task.status, task.attempt) == ("QUEUED", 0)
    assert what == "a worker that has activity 'new_activity'"
    assert "no activity 'new_activity' here" in said
    assert results["activity"] == "new"
    assert tasks["activity"][0].attempt == 1


def test_rule_13_a_name_of_another_project_needs_its_queue(quiet_site, queue):
    """Release 1 knows none of these names; workers of release 2 on another queue do."""
    site, theirs = quiet_site, f"{queue}-theirs"
    handle = start_workflow(site.on_queue("delegates", queue), queue=theirs)
    refused = site.project.manage("durable_start", "newcomer", DURABLE_TEST_CODE="1")
    started = site.project.manage("durable_start", "newcomer", "--queue", theirs, DURABLE_TEST_CODE="1")
    assert refused.returncode == 1
    assert "Unknown workflow 'newcomer'" in refused.stderr
    with (
        site.project.worker("--queue-name", queue, DURABLE_TEST_CODE="1"),
        site.project.worker("--queue-name", theirs, DURABLE_TEST_CODE="2"),
    ):
        assert handle.result(timeout=30) == ["new", "new", "TypeError"]
        assert wait_workflow(started.stdout.strip(), timeout=30) == "new"


def test_rule_13_a_remote_workflow_cannot_be_run_here():
    with pytest.raises(UnknownWorkflowError, match="cannot be run in this process"):
        run_workflow(remote_workflow("of_another_project", queue="theirs"))


# 8: replay is read-only


def test_rule_8_replay_writes_nothing_calls_nothing_logs_nothing(quiet_site, queue, key):
    """A worker that takes over, replays, and finds nothing to do."""
    site = quiet_site
    handle = start_workflow(site.on_queue("logs", queue), key=key)
    with site.project.worker("--queue-name", queue) as first:
        site.until_waiting(handle, "signal")
    before, version = events_of(site, handle), site.execution(handle).version
    assert first.said.count("one line") == 1
    with site.project.worker("--queue-name", queue) as second:
        send_signal(handle, "nobody waits for this")
        wait_until(lambda: len(events_of(site, handle)) > len(before), "the replay")
        assert [kind for _, kind, _, _ in events_of(site, handle)[len(before) :]] == ["signal_received"]
        assert site.execution(handle).version == version + 1
        send_signal(handle, "go")
        handle.result(timeout=30)
    assert "one line" not in second.said
    assert second.said.count("the last line") == 1
    assert len(ledger.effects(key)) == 1
    assert [task.attempt for task in site.tasks(handle)] == [1]


def test_every_workflow_of_the_scenarios_is_known_here():
    """`release` must be 2 in the process that tests, or it could not start what release 2 has."""
    assert "newcomer" in register.workflows
