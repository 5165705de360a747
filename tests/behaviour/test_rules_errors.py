"""Rules 9 to 13 of semantics.md: what becomes of errors. What an older worker does not know: test_rules_deploys.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from django_durable import (
    ConfigurationError,
    LimitExceeded,
    PayloadError,
    UnknownWorkflowError,
    WorkflowFailed,
    cancel_workflow,
    register,
    retry_workflow,
    send_signal,
    start_workflow,
)
from django_durable.engine import engine
from django_durable.models import Mail, WorkflowExecution
from durable_core.ports import MAX_UNREAD, Letter
from tests.scenarios import ledger
from tests.waiting import wait_until

# 9: an exception that leaves workflow code


def test_rule_9_an_exception_that_leaves_workflow_code_fails_the_run(site):
    handle = site.start("raises")
    with pytest.raises(WorkflowFailed, match="ValueError: boom") as failed:
        handle.result(timeout=30)
    assert failed.value.type_name == "ValueError"
    assert site.execution(handle).status == "FAILED"
    assert site.execution(handle).error == "ValueError: boom"
    assert site.history(handle)[-1] == "workflow_failed"


@pytest.mark.parametrize("kind", ["SystemExit", "GeneratorExit"])
def test_rule_9_so_does_one_that_is_no_exception(site, kind):
    handle = site.start("raises", kind=kind)
    assert site.until(handle, "FAILED").error == f"{kind}: boom"


def test_rule_9_on_workflow_error_block_parks_the_run_until_the_code_is_mended(quiet_site, queue, key):
    site = quiet_site
    settings = {"ON_WORKFLOW_ERROR": "block"}
    handle = start_workflow(site.on_queue("raises_until_mended", queue), key=key)
    with site.project.worker("--queue-name", queue, durable=settings) as worker:
        execution = site.until(handle, "BLOCKED")
        assert "RuntimeError: mend me" in execution.error
        assert execution.waiting_for["kind"] == "code"
        assert site.history(handle) == ["workflow_started", "activity_scheduled"]  # the outcome is kept as mail
        assert worker.said.count("a run is blocked") >= 1
    ledger.open_gate(key)  # while nobody is there who would try it again by himself
    retry_workflow(handle)
    with site.project.worker("--queue-name", queue, durable=settings):
        assert handle.result(timeout=30) == "mended"
    assert len(ledger.effects(key)) == 1


def test_rule_9_a_blocked_run_is_tried_again_with_backoff(quiet_site, queue, key):
    site = quiet_site
    settings = {"ON_WORKFLOW_ERROR": "block"}
    handle = start_workflow(site.on_queue("raises_until_mended", queue), key=key)

    def tried(times):
        execution = site.execution(handle)
        return execution if execution.failures >= times else None

    with site.project.worker("--queue-name", queue, durable=settings):
        for times in (1, 3):
            execution = wait_until(partial(tried, times), f"{times} tries")
            delay = (execution.due_at - execution.updated_at).total_seconds()
            assert delay == pytest.approx(2 ** (execution.failures - 1), abs=0.3)


# 10: error records


def test_rule_10_an_error_record_keeps_type_bases_message_traceback_cause_and_attempt(site):
    error = site.run("tries", name="fails", args=["boom", "KeyError"])
    assert error["class"] == "ActivityError"
    assert error["type_name"] == "KeyError"
    assert error["bases"][:2] == ["LookupError", "Exception"]
    assert error["message"] == "'boom'"
    assert error["attempt"] == 1
    assert "durable_activities.py" in error["traceback"]
    assert (error["cause"]["type"], error["cause"]["message"]) == ("ConnectionError", "the first cause")


def test_rule_10_the_failure_of_a_run_keeps_them_too(site):
    handle = site.start("raises")
    site.until(handle, "FAILED")
    failure = site.execution(handle).history.get(type="workflow_failed").details["failure"]
    assert failure["type"] == "ValueError"
    assert failure["bases"][0] == "Exception"
    assert "durable_workflows.py" in failure["traceback"]
    assert failure["cause"]["type"] == "KeyError"


def test_an_activity_that_raises_what_an_outage_raises_has_failed_like_any_other(site):
    error = site.run("tries", name="fails", args=["could not serialize access", "OperationalError"])
    assert (error["class"], error["type_name"], error["attempt"]) == ("ActivityError", "OperationalError", 1)


def test_rule_10_a_broken_str_is_survived(site):
    error = site.run("tries", name="fails", args=["boom", "Unspeakable"])
    assert error["type_name"] == "Unspeakable"
    assert "__str__ raised RuntimeError" in error["message"]
    handle = site.start("raises", kind="Unspeakable")
    assert "__str__ raised RuntimeError" in site.until(handle, "FAILED").error


def test_rule_10_a_message_of_5_mb_is_survived(site):
    error = site.run("tries", name="fails_at_length", args=[5_000_000])
    assert error["message"].endswith("(5,000,000 characters)")
    assert len(error["message"]) < 20_000
    handle = site.start("raises", length=5_000_000)
    assert len(site.until(handle, "FAILED").error) < 20_000


# 11: what cannot be serialised

NAMED = {"nan": "NaN", "bytes": "bytes", "cycle": "cycle", "object": "type object", "large": "limit is 1,000,000"}


@pytest.mark.parametrize("what", NAMED)
def test_rule_11_arguments_raise_at_the_call_before_any_command_exists(site, what):
    handle = site.start("hands_over", what=what)
    kind, message = handle.result(timeout=30)
    assert kind == "PayloadError"
    assert NAMED[what] in message
    assert "activity 'echo'" in message
    assert site.history(handle) == ["workflow_started", "workflow_completed"]
    if what != "large":
        assert "$.args[0].inside[0]" in message


def test_rule_11_an_activity_result_is_a_failure_that_is_not_retried_after_one_effect(site, key):
    error = site.run("tries", name="unserialisable", args=[key])
    assert error["type_name"] == "PayloadError"
    assert "set" in error["message"]
    assert "$.bad" in error["message"]
    assert error["attempt"] == 1
    assert len(ledger.effects(key)) == 1


@pytest.mark.parametrize("what", ["set", "nan", "bytes", "large"])
def test_rule_11_a_workflow_result_fails_the_run(site, what):
    handle = site.start("returns_bad", what=what)
    error = site.until(handle, "FAILED").error
    assert error.startswith("PayloadError: the result of workflow 'returns_bad'")
    assert ("limit" if what == "large" else {"nan": "NaN"}.get(what, what)) in error


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {1, 2}, object()])
def test_rule_11_input_and_signals_raise_in_the_caller(site, value):
    with pytest.raises(PayloadError, match="input of workflow 'returns'"):
        site.start("returns", value=value)
    handle = site.start("waits_for_answer")
    with pytest.raises(PayloadError, match="payload of signal 'answer'"):
        send_signal(handle, "answer", value)
    send_signal(handle, "answer", 1)
    assert handle.result(timeout=30) == ["answer", 1]


# 12: limits


def test_rule_12_a_payload_over_the_limit_is_refused_and_nothing_is_written(site):
    def runs():
        return WorkflowExecution.objects.using(site.alias).count()

    handle = site.start("waits_for_answer")
    before = runs()
    with pytest.raises(PayloadError, match="1,000,000"):
        site.start("returns", value="x" * 1_000_001)
    with pytest.raises(PayloadError, match="1,000,000"):
        send_signal(handle, "answer", "x" * 1_000_001)
    assert runs() == before
    assert site.execution(handle).mailbox.count() == 0
    assert site.run("returns", value="x" * 999_000) == "x" * 999_000
    send_signal(handle, "answer", 1)


def test_rule_12_a_value_nested_too_deep_is_refused(site):
    def nested(depth):
        value: list[Any] = []
        for _ in range(depth - 1):
            value = [value]
        return value

    assert site.run("returns", value=nested(90)) == nested(90)
    with pytest.raises(PayloadError, match="100 levels"):
        site.start("returns", value=nested(200))
    with pytest.raises(PayloadError, match="100 levels"):
        site.start("returns", value=nested(100_000))


def test_rule_12_a_full_mailbox_takes_no_more_signals(site, queue):
    handle = start_workflow(site.on_queue("waits_for_answer", queue))  # nobody serves this queue
    letter = Letter(handle.id, "signal_received", None, '{"name":"noise","payload":null}')
    with engine().store.transaction():
        engine().store.deliver([letter] * MAX_UNREAD)
    with pytest.raises(LimitExceeded, match="10,000 messages wait unread"):
        send_signal(handle, "answer", 1)
    assert Mail.objects.using(site.alias).filter(execution_id=handle.id).count() == MAX_UNREAD
    assert cancel_workflow(handle)


def test_rule_12_names_over_their_limit_are_refused(site):
    name = "n" * 300
    handle = site.start("waits_for_answer")
    with pytest.raises(ConfigurationError, match="200"):
        send_signal(handle, name)
    with pytest.raises(ConfigurationError, match="200"):
        send_signal(handle, "")
    for option in ("workflow_id", "queue"):
        with pytest.raises(ConfigurationError, match="200"):
            register.find_workflow("returns").using(**{option: name})
    with pytest.raises(UnknownWorkflowError):
        site.start(name)
    send_signal(handle, "answer")
    handle.result(timeout=30)


def test_rule_12_a_long_history_warns_and_a_longer_one_fails_the_run(site):
    handle = site.start("many_side_effects", n=10_001)
    assert handle.result(timeout=60) == 10_001
    assert "a history has 10003 events" in site.up.said
    handle = site.start("many_side_effects", n=50_001)
    error = site.until(handle, "FAILED").error
    assert error.startswith("LimitExceeded: ")
    assert "50,000" in error


# 13: unknown names


def test_rule_13_an_unknown_workflow_is_refused_at_the_call_with_the_nearest_names(site):
    with pytest.raises(UnknownWorkflowError, match="Did you mean 'echoes'") as refused:
        site.start("ecoes", value=1)
    assert isinstance(refused.value, LookupError)


def test_rule_13_an_unknown_activity_is_refused_at_the_call_with_the_nearest_names(site):
    handle = site.start("hands_over", what="unknown")
    kind, message = handle.result(timeout=30)
    assert kind == "UnknownActivityError"
    assert "Did you mean 'echo'" in message
    assert site.history(handle) == ["workflow_started", "workflow_completed"]


def test_rule_13_arguments_that_do_not_fit_the_signature_are_a_type_error_at_the_call(site):
    with pytest.raises(TypeError, match=r"returns\(ctx, value=None\)"):
        site.start("returns", wrong=1)
    handle = site.start("hands_over", what="signature")
    kind, message = handle.result(timeout=30)
    assert kind == "TypeError"
    assert "its signature is echo(value: 'Any') -> 'Any'" in message
    assert site.history(handle) == ["workflow_started", "workflow_completed"]
